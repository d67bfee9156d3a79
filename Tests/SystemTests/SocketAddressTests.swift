import System
import Testing

@Suite struct SocketAddressTests {
    /// What an operator writes must come back as logs print it.
    @Test(arguments: [
        ("127.0.0.1", "127.0.0.1:5432"), ("0.0.0.0", "0.0.0.0:5432"), ("::1", "[::1]:5432"),
        ("[::1]", "[::1]:5432"), ("2001:db8::ff00:42:8329", "[2001:db8::ff00:42:8329]:5432"),
        ("fe80::1%1", "[fe80::1%1]:5432"),
    ])
    func numericAddressesAreReadAndWritten(text: String, expected: String) throws {
        let address = try #require(SocketAddress(host: text, port: 5432))
        #expect(address.text == expected)
        #expect(address.port == 5432)
        let host = try #require(address.host)
        #expect(SocketAddress(host, port: 5432) == address)
    }

    @Test(arguments: [
        "", "localhost", "1.2.3", "1.2.3.4.5", "256.0.0.1", ":::", "[127.0.0.1", "::1%nosuchinterface",
    ])
    func whatIsNoAddressIsRefused(text: String) {
        #expect(SocketAddress(host: text, port: 1) == nil)
    }

    @Test func thePortCanBeChanged() {
        var address = SocketAddress.anyIPv6(port: 1)
        address.port = 65535
        #expect(address.text == "[::]:65535")
    }

    @Test func unixNamesAreReadAndWritten() throws {
        let path = try #require(SocketAddress(unixPath: "/tmp/.s.PGSQL.6432"))
        #expect(path.hostText == "/tmp/.s.PGSQL.6432")
        #expect(path.text == "unix:/tmp/.s.PGSQL.6432")
        let abstract = try #require(SocketAddress(unixPath: "@name"))
        #expect(abstract.hostText == "@name")
        #expect(abstract != path)
    }

    /// 107 bytes and the zero at the end are all that the kernel's structure holds.
    @Test func unixNamesHaveABoundedLength() {
        #expect(SocketAddress(unixPath: "/" + String(repeating: "a", count: 106)) != nil)
        #expect(SocketAddress(unixPath: "/" + String(repeating: "a", count: 107)) == nil)
        #expect(SocketAddress(unixPath: "") == nil)
        #expect(SocketAddress(unixPath: "/a\0b") == nil)
    }
}
