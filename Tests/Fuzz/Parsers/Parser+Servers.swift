import Auth
import Base
import Console
import Wire

/// What servers say to us, and what those who have logged in say to the console.
extension Parser {
    private static func isInside(_ range: Range<Int>, _ body: [UInt8]) -> Bool {
        range.lowerBound >= 4 && range.upperBound == body.count
    }

    /// A byte that says what is read, and the body of a message.
    static let reply = Parser(
        name: "reply",
        seeds: [
            [0, 0, 0, 0, 0], [0, 0, 0, 0, 5, 1, 2, 3, 4], [0, 0, 0, 0, 12] + Array("v=AAAA".utf8),
            [0, 0, 0, 0, 10] + Array("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0".utf8),
            [1] + Array("SFATAL\0VFATAL\0C57P01\0Mtext\0Dmore\0Hhint\0\0".utf8),
            [2] + Array("client_encoding\0UTF8\0".utf8), [3, 0, 0, 0, 9, 1, 2, 3, 4], [4, 0x49],
            [5, 0x5A, 0, 0, 0, 5, 0x49],
        ]
    ) { input in
        let body = Array(input.dropFirst())
        switch input.first {
        case 0:
            guard let request = try? AuthenticationRequest.read(body.rawSpan) else { return nil }
            switch request {
            case .sasl(let range):
                let offered = body.rawSpan.extracting(range)
                _ = ScramClient.isOffered(in: offered)
                return isInside(range, body) ? nil : "mechanisms in \(range)"
            case .saslContinue(let range), .saslFinal(let range):
                return isInside(range, body) ? nil : "data in \(range)"
            case .ok, .cleartext, .md5, .unsupported: return nil
            }
        case 1:
            guard let fields = try? ErrorFields(body.rawSpan) else { return nil }
            _ = fields.closesConnection
            let state = fields.sqlState
            let count = fields.code.byteCount + fields.message.byteCount + fields.detail.byteCount
            guard count < body.count else { return "fields of \(count) bytes" }
            return state == nil || fields.code.byteCount == 5
                ? nil : "an SQLSTATE of \(fields.code.byteCount)"
        case 2:
            guard let status = try? ParameterStatus(body.rawSpan) else { return nil }
            return status.name.byteCount + status.value.byteCount + 2 == body.count
                ? nil : "bytes are left over"
        case 3:
            guard let key = try? BackendKeyData(body.rawSpan) else { return nil }
            return (4...256).contains(key.key.byteCount) ? nil : "a key of \(key.key.byteCount) bytes"
        case 4:
            guard (try? TransactionStatus.read(body.rawSpan)) != nil else { return nil }
            return body.count == 1 ? nil : "bytes are left over"
        default:
            var reader = MessageReader(body.rawSpan)
            guard let header = try? MessageHeader.read(&reader) else { return nil }
            return header.bodyByteCount >= 0 && reader.offset == 5 ? nil : "a body of \(header.bodyByteCount)"
        }
    }

    // MARK: SCRAM as the client

    private static func scramClient() -> ScramClient {
        ScramClient(credential: .password(Array("secret".utf8)), nonce: Array(1...18))
    }

    /// The two messages of a server that knows the password, to `client`.
    private static let rightAnswers: [[UInt8]] = {
        var client = scramClient()
        var exchange = server()
        let first = client.clientFirst
        let initial = Array("SCRAM-SHA-256\0".utf8) + [0, 0, 0, UInt8(first.count)] + first
        guard case .continue(let challenge) = exchange.receive(initial.rawSpan) else { return [] }
        do throws(ScramError) { try client.receiveServerFirst(challenge.rawSpan, known: nil) } catch {
            return []
        }
        while !client.step(iterations: 10) {}
        guard case .success(let final, _) = exchange.receive(client.clientFinal.rawSpan) else { return [] }
        return [challenge, final]
    }()

    /// The server's first and last message, each behind its length.
    static let challenge = Parser(
        name: "challenge",
        seeds: [
            joined(rightAnswers), joined([rightAnswers[0], Array("e=other-error".utf8)]),
            joined(bytes("r=AQIDBAUGBwgJCgsMDQ4PEBESx,s=AAAA,i=4096", "v=AAAA")),
        ],
        words: bytes("i=1", "i=10000000", "i=9223372036854775808", "s=", "v=", "m=")
    ) { input in
        var client = scramClient()
        let answers = messages(input)
        guard let first = answers.first else { return nil }
        do throws(ScramError) { try client.receiveServerFirst(first.rawSpan, known: nil) } catch {
            return client.isReady ? "it goes on behind a message that is none" : nil
        }
        // As many iterations as a server may ask for would take a second.
        for _ in 0..<4 where client.isDeriving { _ = client.step(iterations: 16) }
        guard client.isReady else { return client.clientFinal.isEmpty ? nil : "a proof before it is there" }
        guard let last = answers.dropFirst().first, client.isServerProven(by: last.rawSpan) else {
            return nil
        }
        return first == rightAnswers[0] ? nil : "a server without the password is believed"
    }

    // MARK: The console

    static let console = Parser(
        name: "console",
        seeds: bytes(
            "show pools;", "SET a = 'b''c'", "set x to \"y\"; ", "PAUSE db TIMEOUT 10;",
            "restart '/a b' FORCE",
            "kill_client 18446744073709551615", "show client_encoding", "select 1", "wait_close d", "-- c"),
        words: bytes("show ", "set ", " to ", "'", "timeout ", "force", "; ", "/*", "*/", "--")
    ) { input in
        guard let command = try? ConsoleCommand.parse(input) else { return nil }
        guard case .set(let key, let value) = command else { return nil }
        guard !key.isEmpty else { return "a setting without a name" }
        return key.count + value.count <= input.count ? nil : "more comes out than was put in"
    }
}
