import Auth
import Base
import Config
import Wire

extension Parser {
    static let verifier = ScramVerifier(
        deriving: Array("secret".utf8), salt: Array(1...16), iterations: 1)

    /// Messages of a client, each behind a byte with its length.
    static func messages(_ input: [UInt8]) -> [[UInt8]] {
        var rest = input[...]
        var messages: [[UInt8]] = []
        while let count = rest.popFirst() {
            messages.append(Array(rest.prefix(Int(count))))
            rest = rest.dropFirst(Int(count))
        }
        return messages
    }

    static func joined(_ messages: [[UInt8]]) -> [UInt8] {
        messages.flatMap { [UInt8($0.count)] + $0 }
    }

    static let clientFirst =
        Array("SCRAM-SHA-256\0".utf8) + [0, 0, 0, 16] + Array("n,,n=,r=abcdefgh".utf8)

    static func server() -> ScramServer {
        ScramServer(verifier: verifier, nonce: Array(1...18), isMock: false)
    }

    /// What the one proof is that is right, made as a client makes it.
    private static let rightProof: [UInt8] = {
        var client = ScramClient(credential: .password(Array("secret".utf8)), nonce: Array(1...18))
        var exchange = server()
        let first = client.clientFirst
        let initial = Array("SCRAM-SHA-256\0".utf8) + [0, 0, 0, UInt8(first.count)] + first
        guard case .continue(let data) = exchange.receive(initial.rawSpan) else { return [] }
        do throws(ScramError) { try client.receiveServerFirst(data.rawSpan, known: nil) } catch { return [] }
        while !client.step(iterations: 10) {}
        return joined([initial, client.clientFinal])
    }()

    static let password = Parser(
        name: "password",
        seeds: [
            Array("secret\0".utf8), [0], clientFirst, Array("SCRAM-SHA-256\0".utf8) + [255, 255, 255, 255],
        ]
    ) { input in
        if let password = PasswordMessage.password(in: input.rawSpan), password.byteCount + 1 != input.count {
            return "a password of \(password.byteCount) bytes"
        }
        guard let response = try? SASLInitialResponse(input.rawSpan) else { return nil }
        let count = response.mechanism.byteCount + 5 + response.data.byteCount
        return count == input.count ? nil : "\(count) of \(input.count) bytes are used"
    }

    static let scram = Parser(
        name: "scram",
        seeds: [
            rightProof, joined([clientFirst]),
            joined([clientFirst, Array("c=biws,r=abcdefgh,p=AAAA".utf8)]),
            joined([Array("SCRAM-SHA-256\0".utf8) + [255, 255, 255, 255], Array("n,,n=,r=abc".utf8)]),
        ]
    ) { input in
        var exchange = server()
        for (index, message) in messages(input).enumerated() {
            switch exchange.receive(message.rawSpan) {
            case .continue: if index > 1 { return "an exchange of \(index + 1) messages" }
            case .success:
                // Only who has the proof may get in, whatever else of the messages has been changed.
                let proof = rightProof.suffix(44)
                return message.suffix(44) == proof ? nil : "somebody got in"
            case .failure, .invalidMechanism: return nil
            }
        }
        return nil
    }

    // MARK: Files

    static let userList = Parser(
        name: "userlist",
        seeds: [
            Array("\"a\" \"b\"\n; comment\n\"a\"\"b\" \"md5\" x\n".utf8),
            Array("\"scram\" \"\(String(decoding: verifier.text, as: UTF8.self))\"\n\"\" \"x\"\n".utf8),
        ]
    ) { input in
        let list = UserList.parse(input)
        let lines = input.split(separator: 10, omittingEmptySubsequences: false).count
        guard list.entries.count + list.diagnostics.count <= 2 * lines else {
            return "more entries than lines"
        }
        for entry in list.entries where !(1...127).contains(entry.name.count) || entry.line > lines {
            return "an entry of line \(entry.line)"
        }
        return Set(list.entries.map(\.name)).count == list.entries.count ? nil : "somebody is there twice"
    }

    static let secret = Parser(
        name: "secret", seeds: [verifier.text, Array("md5".utf8) + Array(repeating: 0x61, count: 32), [0x78]]
    ) { input in
        guard case .scram(let found) = StoredSecret(input) else { return nil }
        guard found.iterations > 0, !found.salt.isEmpty else { return "no verifier at all" }
        return ScramVerifier(found.text.rawSpan) == found ? nil : "written and read it is another one"
    }

    static let configuration = Parser(
        name: "ini",
        seeds: [
            Array("[databases]\na = host=b port=1 password='x''y'\n* =\n[pgbouncer]\nlisten_port = 1\n".utf8),
            Array("[users]\nu = pool_mode=session\n[peers]\n1 = host=x\n%include y\n; c\n'a b' = \n".utf8),
            Array("[pgbouncer]\nproxy_protocol_from = 10.0.0.0/8, unix\nserver_lifetime = 1.5\n".utf8),
        ]
    ) { input in
        let image = ConfigurationImage(path: "i", files: [.init(path: "i", bytes: input)])
        let parsed = Configuration.parse(image)
        let hasErrors = parsed.diagnostics.contains { $0.severity == .error }
        guard (parsed.configuration == nil) == hasErrors else { return "no configuration, and no error" }
        return (try? ConfigurationImage(decoding: image.encode())) == image ? nil : "the image is another one"
    }
}
