import Auth
import Base
import Testing

@testable import PoolCore

/// Both sides of SCRAM, as clients and PostgreSQL play them.
extension Rig {
    /// One SCRAM login of a client; answers the types of the messages it got.
    func scram(_ user: String, _ password: String) -> (ConnectionID, String) {
        let client = client(user)
        let types = types(client)
        return (client, types + prove(client, password))
    }

    /// A client that has been asked for SCRAM proves that it knows a password; answers the types of the
    /// messages it got for that.
    func prove(_ client: ConnectionID, _ password: String) -> String {
        var scram = ScramClient(credential: .password(Array(password.utf8)), nonce: Array(1...18))
        let first = scram.clientFirst
        _ = messages(client)
        receive(
            client, Send.message("p", Send.text("SCRAM-SHA-256") + [0, 0, 0, UInt8(first.count)] + first))
        let answer = messages(client)
        var types = String(answer.map(\.type))
        guard let data = answer.first?.body.dropFirst(4) else { return types }
        do throws(ScramError) { try scram.receiveServerFirst(Array(data).rawSpan, known: nil) } catch {
            return types + " \(error)"
        }
        while !scram.step(iterations: 10_000) {}
        receive(client, Send.message("p", scram.clientFinal))
        let end = messages(client)
        types += String(end.map(\.type))
        if end.first?.type == "R", end.first?.body.prefix(4) == [0, 0, 0, 12] {
            let isProven = scram.isServerProven(by: Array(end[0].body.dropFirst(4)).rawSpan)
            #expect(isProven)
        }
        return types
    }

    /// Plays PostgreSQL's side of SCRAM until the pooler's proof has come.
    func scramServer(_ connection: ConnectionID, _ verifier: ScramVerifier) -> Bool {
        _ = messages(connection, isFirst: true)
        receive(connection, Send.message("R", [0, 0, 0, 10] + Send.text("SCRAM-SHA-256") + [0]))
        var server = ScramServer(verifier: verifier, nonce: Array(1...18), isMock: false)
        guard let initial = messages(connection).first else { return false }
        guard case .continue(let data) = server.receive(initial.body.rawSpan) else { return false }
        receive(connection, Send.message("R", [0, 0, 0, 11] + data))
        advance(milliseconds: 10)
        guard let proof = messages(connection).first else { return false }
        guard case .success(let end, _) = server.receive(proof.body.rawSpan) else { return false }
        receive(connection, Send.message("R", [0, 0, 0, 12] + end) + Send.message("R", [0, 0, 0, 0]))
        return true
    }

    /// PostgreSQL asks for a password in clear; answers what it is given, and lets the server in.
    func plainServer(_ connection: ConnectionID) -> String {
        _ = messages(connection, isFirst: true)
        receive(connection, Send.message("R", [0, 0, 0, 3]))
        let password = messages(connection).first?.text ?? "nothing"
        guard isOpen(connection) else { return "nothing" }
        receive(connection, Send.message("R", [0, 0, 0, 0]))
        finishLogin(connection)
        return String(password.dropLast())
    }

    /// PostgreSQL's last words of a login.
    func finishLogin(_ connection: ConnectionID) {
        var bytes: [UInt8] = []
        for (name, value) in Rig.usual { bytes += Send.parameter(name, value) }
        receive(connection, bytes + Send.message("K", [0, 0, 0, 77, 1, 2, 3, 4]) + Send.ready())
    }
}
