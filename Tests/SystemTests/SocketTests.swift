import Glibc
import System
import Testing

@Suite struct SocketTests {
    @Test(arguments: ["127.0.0.1", "::1"])
    func aListenerAcceptsAndNamesBothEnds(host: String) throws {
        let listener = try Listener.open(try #require(SocketAddress(host: host, port: 0)))
        defer { Descriptors.close(listener) }
        #expect(Socket.isListening(listener))
        #expect(try Socket.accept(listener) == nil)
        let address = try #require(Socket.localAddress(of: listener))
        let client = try Socket.open(try #require(address.family))
        defer { Descriptors.close(client) }
        #expect(!Socket.isListening(client))
        try Socket.connect(client, to: address)
        let accepted = try #require(try acceptSoon(listener))
        defer { Descriptors.close(accepted) }
        #expect(Socket.peerAddress(of: accepted) == Socket.localAddress(of: client))
        #expect(Socket.localAddress(of: accepted) == address)
        #expect(Socket.peerCredentials(of: accepted) == nil)
    }

    /// `*` needs one socket of each family on the same port, so the IPv6 one must not take IPv4.
    @Test func bothFamiliesShareAPort() throws {
        let first = try Listener.open(.anyIPv6(port: 0))
        defer { Descriptors.close(first) }
        let port = try #require(Socket.localAddress(of: first)).port
        let second = try Listener.open(.anyIPv4(port: port))
        Descriptors.close(second)
    }

    /// A second instance that also sets SO_REUSEPORT would take half of our connections without a word.
    @Test func theProbeFindsAnotherInstance() throws {
        var options = Listener.Options()
        options.sharesPort = true
        let first = try Listener.open(try #require(SocketAddress(host: "127.0.0.1", port: 0)), options)
        let address = try #require(Socket.localAddress(of: first))
        let second = try Listener.open(address, options)
        do {
            try Listener.probe(address)
            Issue.record("the probe saw nobody")
        } catch {
            #expect(error.errno == Errno(EADDRINUSE))
            #expect(error.attempt == "bind to \(address.text)")
        }
        Descriptors.close(first)
        Descriptors.close(second)
        try Listener.probe(address)
    }

    @Test func unixListenersTellWhoConnects() throws {
        let path = "/tmp/pgsluice-test-\(getpid())-\(SecureRandom.number())"
        let address = try #require(SocketAddress(unixPath: path))
        var options = Listener.Options()
        options.unixMode = 0o700
        let listener = try Listener.open(address, options)
        defer {
            Descriptors.close(listener)
            unlink(path)
        }
        var status = stat()
        #expect(stat(path, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o700)
        let client = try Socket.open(.unix)
        defer { Descriptors.close(client) }
        try Socket.connect(client, to: address)
        let accepted = try #require(try acceptSoon(listener))
        defer { Descriptors.close(accepted) }
        let peer = try #require(Socket.peerCredentials(of: accepted))
        #expect(peer.processID == getpid())
        #expect(peer.userID == geteuid())
        #expect(Socket.localAddress(of: accepted)?.hostText == path)
        #expect(Socket.peerAddress(of: accepted)?.text == "unix")
    }

    @Test func abstractNamesWork() throws {
        let name = "@pgsluice-test-\(getpid())-\(SecureRandom.number())"
        let listener = try Listener.open(try #require(SocketAddress(unixPath: name)))
        defer { Descriptors.close(listener) }
        #expect(Socket.localAddress(of: listener)?.hostText == name)
    }

    @Test func connectionOptionsAreSetOnTCP() throws {
        var options = ConnectionOptions()
        options.keepAliveIdleSeconds = 77
        options.keepAliveIntervalSeconds = 7
        options.keepAliveCount = 3
        options.userTimeoutMilliseconds = 4321
        options.socketBufferByteCount = 4096
        let socket = try Socket.open(.ipv4)
        defer { Descriptors.close(socket) }
        #expect(options.apply(to: socket) == nil)
        #expect(option(socket, TCP_NODELAY) == 1)
        #expect(option(socket, TCP_KEEPIDLE) == 77)
        #expect(option(socket, TCP_KEEPINTVL) == 7)
        #expect(option(socket, TCP_KEEPCNT) == 3)
        #expect(option(socket, TCP_USER_TIMEOUT) == 4321)
        #expect(options.apply(to: -1)?.errno == Errno(EBADF))
        #expect(options.apply(toListener: -1)?.errno == Errno(EBADF))
    }

    /// A listener's connections have from it what is switched on or off, whatever it said before.
    @Test func connectionsHaveOptionsOfTheirListener() throws {
        let listener = try Listener.open(try #require(SocketAddress(host: "127.0.0.1", port: 0)))
        defer { Descriptors.close(listener) }
        let address = try #require(Socket.localAddress(of: listener))
        var options = ConnectionOptions()
        options.keepAliveIdleSeconds = 78
        for keepAlive in [true, false, true] {
            options.keepAlive = keepAlive
            #expect(options.apply(toListener: listener) == nil)
            let client = try Socket.open(.ipv4)
            defer { Descriptors.close(client) }
            try Socket.connect(client, to: address)
            let accepted = try #require(try acceptSoon(listener))
            defer { Descriptors.close(accepted) }
            #expect(option(accepted, TCP_NODELAY) == 1)
            #expect(option(accepted, SO_KEEPALIVE, SOL_SOCKET) == (keepAlive ? 1 : 0))
            #expect(options.apply(to: accepted, isAccepted: true) == nil)
            #expect((option(accepted, TCP_KEEPIDLE) == 78) == keepAlive)
        }
    }

    @Test func aRefusedConnectionSaysWhere() throws {
        let listener = try Listener.open(try #require(SocketAddress(host: "127.0.0.1", port: 0)))
        let address = try #require(Socket.localAddress(of: listener))
        Descriptors.close(listener)
        let client = try Socket.open(.ipv4)
        defer { Descriptors.close(client) }
        do {
            try Socket.connect(client, to: address)
            Issue.record("nobody listens, yet it connected")
        } catch {
            #expect(error.description == "connect to \(address.text): Connection refused")
        }
    }

    @Test func randomBytesDiffer() {
        #expect(SecureRandom.bytes(count: 0).isEmpty)
        let first = SecureRandom.bytes(count: 300)
        #expect(first.count == 300)
        #expect(first != SecureRandom.bytes(count: 300))
        #expect(SecureRandom.number() != SecureRandom.number())
    }

    private func option(
        _ descriptor: Int32, _ name: Int32, _ level: Int32 = Int32(IPPROTO_TCP)
    ) -> Int32 {
        var value: Int32 = -1
        var length = socklen_t(4)
        getsockopt(descriptor, level, name, &value, &length)
        return value
    }

    /// The handshake of a loopback connection is done, but give a loaded machine a moment.
    private func acceptSoon(_ listener: Int32) throws -> Int32? {
        _ = Poll.wait([Poll.Interest(listener, .read)], milliseconds: 5000)
        return try Socket.accept(listener)
    }
}
