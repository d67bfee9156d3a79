import Testing

@testable import TLS

/// The words of `client_tls_protocols`.
@Suite struct TLSVersionsTests {
    @Test(
        arguments: [
            ("secure", 0b1100), ("default", 0b1100), ("all", 0b1111), ("tlsv1", 0b1111), ("tlsv1.2", 0b0100),
            ("tlsv1.2,tlsv1.3", 0b1100), ("TLSv1.1:TLSv1.2", 0b0110), ("all,!tlsv1.0", 0b1110),
            ("!tlsv1.3", 0b0111), (" tlsv1.3 , tlsv1.2 ", 0b1100),
        ] as [(String, UInt32)])
    func words(_ text: String, _ bits: UInt32) throws {
        #expect(try TLSVersions(text).bits == bits)
    }

    @Test(arguments: ["", "tlsv1.4", "sslv3", "secure,!all"])
    func nonsense(_ text: String) {
        #expect(throws: TLSError.self) { try TLSVersions(text) }
    }
}
