import TLS

/// TLS, through the session that connections have.
extension Parser {
    private nonisolated(unsafe) static let channel = TLSChannel()
    /// As usual, one that wants certificates of clients, and one that speaks whatever it can.
    private nonisolated(unsafe) static let servers = [
        TLSMaterial.context(.server, "client_tls_sslmode = allow"),
        TLSMaterial.context(.server, "client_tls_sslmode = verify-full\nclient_tls_ca_file = certificate"),
        TLSMaterial.context(
            .server, "client_tls_sslmode = require\nclient_tls_protocols = all\nclient_tls_ciphers = insecure"
        ),
    ]
    private nonisolated(unsafe) static let client = TLSMaterial.context(
        .client, "server_tls_sslmode = verify-full\nserver_tls_ca_file = certificate")

    /// Bytes that a session may write in answer to one input.
    private static let outputLimit = 64 * 1024

    /// Calls with the bytes in pieces, until it has had enough.
    private static func feed(_ bytes: [UInt8], pieceSize: Int, _ body: () -> Bool) {
        bytes.withUnsafeBytes { all in
            var offset = 0
            while offset < all.count {
                let end = min(all.count, offset + pieceSize)
                channel.input = UnsafeRawBufferPointer(rebasing: all[offset..<end])
                offset = end
                if !body() { break }
            }
        }
        channel.input = UnsafeRawBufferPointer(start: nil, count: 0)
    }

    /// A hello in one record, with all the lengths set right that are in front of its extensions.
    private static func framed(_ hello: [UInt8]) -> [UInt8] {
        var hello = hello
        func set(_ count: Int, _ bytes: Int, at place: Int) {
            for index in 0..<bytes {
                hello[place + index] = UInt8(truncatingIfNeeded: count >> (8 * (bytes - 1 - index)))
            }
        }
        guard hello.count > 44, hello.count < 1 << 14 else { return hello }
        set(hello.count - 5, 2, at: 3)
        set(hello.count - 9, 3, at: 6)
        // The session, the suites, the compressions.
        var place = 44 + Int(hello[43])
        guard place + 2 < hello.count else { return hello }
        place += 2 + (Int(hello[place]) << 8 | Int(hello[place + 1]))
        guard place < hello.count else { return hello }
        place += 1 + Int(hello[place])
        if place + 2 <= hello.count { set(hello.count - place - 2, 2, at: place) }
        return hello
    }

    /// A byte that says which server it is, and whether the hello is to be framed (128), one with the size of
    /// pieces (0: all at once), and what a client sends first.
    static let flights = Parser(
        name: "flights",
        seeds: [
            [0, 0, 22, 3, 1, 0, 4, 1, 0, 0, 0], [0, 0, 21, 3, 1, 0, 2, 2, 40],
            // A hello of SSL 2 that offers TLS 1.2.
            [
                2, 0, 0x80, 0x2E, 1, 3, 3, 0, 21, 0, 0, 0, 16, 0, 0, 0x2F, 0, 0, 0x35, 0, 0, 0x0A, 0, 0xC0,
                0x2B,
            ]
                + [0, 0xC0, 0x2F, 0, 0, 0xFF, 0, 0x13, 1] + Array(1...16),
        ],
        words: [
            [22, 3, 1], [22, 3, 3], [20, 3, 3, 0, 1, 1], [21, 3, 3, 0, 2, 1, 0], [23, 3, 3], [3, 4], [3, 3],
        ]
            + [
                [0, 43], [0, 51], [0, 10], [0, 13], [0, 16], [0, 41], [0, 45], [0, 0], [0, 23], [0, 29],
                [19, 1],
            ]
    ) { input in
        guard input.count > 2 else { return nil }
        let context = servers[Int(input[0] & 0x7F) % servers.count]
        guard let session = TLSSession(context, channel) else { return "no memory" }
        defer { session.free() }
        var written = 0
        var fault: String?
        let hello = input[0] & 0x80 == 0 ? Array(input[2...]) : framed(Array(input[2...]))
        feed(hello, pieceSize: input[1] == 0 ? .max : Int(input[1])) {
            let progress = session.shakeHands()
            written += channel.output.count
            channel.emptyOutput()
            switch progress {
            case .waiting: return true
            case .failed: return false
            case .done:
                fault = "somebody is through who has never seen our key"
                return false
            }
        }
        return written > outputLimit ? "\(written) bytes of answers" : fault
    }

    /// A byte that says who is who, the size of pieces, and a `RecordScript`.
    static let records = Parser(
        name: "records",
        seeds: [
            [0, 0, 0, 100, 1, 5, 2, 255, 0, 7], [1, 0, 0, 100, 2, 200, 0, 7], [2, 0, 0, 100, 3, 1, 0, 9, 7],
            [3, 0, 0, 100, 2, 200, 0, 7, 7], [0, 3, 0, 10, 3, 1, 0, 10, 3, 0, 2, 200, 6, 9, 1, 1],
            [4, 0, 0, 9, 5, 5, 24, 0, 0, 1, 2, 0, 9], [1, 0, 0, 20, 9, 0, 30, 9, 0, 5],
            [3, 0, 0, 20, 9, 0, 30], [2, 0, 0, 9, 11, 0, 0, 9, 1, 0, 8], [1, 0, 1, 9, 1, 8, 1, 7, 14, 0, 1],
            [2, 0, 5, 13, 4, 0, 0, 9, 0, 0, 0, 9, 1, 2, 3, 4, 0, 0], [0, 0, 0, 9, 10, 21, 2, 1, 0, 0, 8],
            [0, 0, 8, 40, 0, 9], [0, 0, 0, 9, 4, 21, 2, 2, 40], [0, 9, 2, 255, 13, 0, 0, 15, 0, 0],
        ]
    ) { input in
        guard input.count > 2 else { return nil }
        let isServer = input[0] & 2 == 0
        let version = input[0] & 1 == 0 ? TLSPeer.Version.tls13 : .tls12
        let context = isServer ? servers[Int(input[0] >> 2) % 2] : client
        guard let session = TLSSession(context, channel, serverName: "localhost") else { return "no memory" }
        defer { session.free() }
        let peer = TLSPeer(version, accepts: !isServer)
        defer { peer.free() }
        guard peer.meet(session, channel) else { return "hands are not shaken" }
        if !isServer, !session.matches(host: "localhost") { return "it is somebody else" }
        _ = (session.verifiedNames, session.peerEndPoint, session.cipher)
        let secret = version == .tls13 ? TLSPeer.secret(ofClient: isServer) : []
        var script = RecordScript(
            input[2...], peer, secret.isEmpty ? nil : RecordSealer(secret: secret))
        script.run()
        return read(script, session, pieceSize: input[1] == 0 ? .max : Int(input[1]) * 8)
    }

    /// Has a session read records; says what is wrong with what comes out.
    private static func read(_ script: RecordScript, _ session: TLSSession, pieceSize: Int) -> String? {
        var plain: [UInt8] = []
        var written = 0
        var end: TLSSession.Reading?
        feed(Array(script.records.joined()), pieceSize: pieceSize) {
            while true {
                let reading = session.read(channel)
                written += channel.output.count
                channel.emptyOutput()
                switch reading {
                case .bytes(let count): plain += channel.plain.prefix(count)
                case .empty: return true
                case .end, .broken:
                    end = reading
                    return false
                }
            }
        }
        guard script.written.starts(with: plain) else {
            return "\(plain.count) bytes that nobody has written"
        }
        switch end {
        case .end where !script.goodbyes.contains(plain.count): return "an end that nobody has told"
        case nil, .bytes, .empty, .end, .broken: break
        }
        if script.isGood, plain != script.written { return "\(plain.count) of \(script.written.count) bytes" }
        let text: [UInt8] = [1, 2, 3]
        _ = text.withUnsafeBytes { session.write($0) }
        session.sayGoodbye()
        written += channel.output.count
        channel.emptyOutput()
        return written > outputLimit ? "\(written) bytes of answers" : nil
    }
}
