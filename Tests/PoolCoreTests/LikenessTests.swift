import Auth
import Base
import Testing

@testable import PoolCore

/// Whoever does not exist must look like somebody who does.
@Suite struct LikenessTests {
    private static func scramSecret(_ name: String, iterations: Int, salt: Int = 16) -> String {
        let verifier = ScramVerifier(
            deriving: Array("secret".utf8), salt: Array(repeating: 9, count: salt), iterations: iterations)
        return "\"\(name)\" \"\(String(decoding: verifier.text, as: UTF8.self))\"\n"
    }

    private static let md5Secret = "\"alice\" \"md5\(String(repeating: "0", count: 32))\"\n"

    /// What a client is asked at first: 3 in clear, 5 md5, 10 SASL.
    private func request(_ rig: Rig, _ user: String) -> UInt8 {
        let client = rig.client(user)
        defer { rig.hangUp(client) }
        return rig.messages(client).first?.body[3] ?? 0
    }

    private static let lists: [(String, UInt8)] = [
        (md5Secret, 5), (scramSecret("alice", iterations: 5), 10), ("\"alice\" \"secret\"\n", 5),
        ("\"alice\" \"\"\n", 5),
    ]

    @Test(arguments: lists)
    func withMD5NobodyIsAskedOtherwiseThanThoseWhoExist(users: String, expected: UInt8) {
        let rig = Rig("auth_type = md5", users: users)
        #expect(request(rig, "alice") == expected)
        for number in 0..<20 { #expect(request(rig, "nobody\(number)") == expected) }
    }

    @Test func inAMixedListNamesAreAskedAsManyDifferentThings() {
        let rig = Rig("auth_type = md5", users: Self.md5Secret + Self.scramSecret("bob", iterations: 5))
        let asked = (0..<40).map { request(rig, "nobody\($0)") }
        #expect(Set(asked) == [5, 10])
        #expect((0..<40).map { request(rig, "nobody\($0)") } == asked, "a name is always asked the same")
    }

    @Test func mocksHaveTheIterationsAndSaltsOfTheOthers() throws {
        let rig = Rig("auth_type = scram-sha-256", users: Self.scramSecret("alice", iterations: 77, salt: 20))
        for user in ["alice", "nobody"] {
            let client = rig.client(user)
            _ = rig.messages(client)
            let first = Array("n,,n=,r=abcdefgh".utf8)
            rig.receive(
                client, Send.message("p", Send.text("SCRAM-SHA-256") + [0, 0, 0, UInt8(first.count)] + first))
            let answer = try #require(rig.messages(client).first).text.split(separator: ",")
            #expect(answer.last == "i=77")
            // Twenty bytes in Base64, with the name of the field.
            #expect(answer[1].count == 2 + 28)
        }
    }

    @Test(arguments: ["plain", "md5"])
    func nobodyGetsInWithSomebodyElsesSecret(method: String) {
        let rig = Rig("auth_type = \(method)", users: "\"alice\" \"secret\"\n\"empty\" \"\"\n")
        for user in ["nobody", "empty"] {
            let client = rig.client(user)
            let request = rig.messages(client)[0].body
            var answer = Array("secret".utf8)
            if method == "md5" {
                let salt = request.suffix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
                answer = StoredSecret.plain(answer).md5Response(user: Array(user.utf8), salt: salt)!
            }
            rig.receive(client, Send.message("p", answer + [0]))
            #expect(rig.error(client).hasPrefix("28P01 password authentication failed"))
        }
    }

    @Test(arguments: [1, 4, 1000])
    func whatAClientProvesItselfWithIsOverwritten(pieceSize: Int) {
        let rig = Rig("auth_type = plain", users: "\"alice\" \"secret\"\n")
        let client = rig.accept()
        let login = Send.startup([("user", "alice"), ("database", "db")])
        rig.receive(client, login + Send.password("secret") + Send.query("select 1"), pieceSize: pieceSize)
        #expect(rig.isOpen(client))
        #expect(rig.secrets == Array("secret".utf8) + [0])
    }

    /// Counted instead of measured: by how much work a refusal differs.
    @Test func verifiersAreMadeBeforeAnybodyLogsIn() {
        let users = (0..<10).map { "\"user\($0)\" \"secret\"\n" }.joined()
        let rig = Rig("auth_type = scram-sha-256", users: users)
        rig.advance(milliseconds: 5000)
        #expect(rig.core.users.allSatisfy { $0.verifier != nil })
    }

    @Test func aPasswordInClearIsCheckedWithTheSameWorkForNobody() {
        let rig = Rig("auth_type = plain", users: Self.scramSecret("alice", iterations: 200_000))
        func took(_ user: String) -> Duration {
            ContinuousClock().measure { rig.receive(rig.client(user), Send.password("wrong")) }
        }
        _ = took("alice")
        // 200,000 iterations take tens of milliseconds, none take far less than one.
        let ratio = took("nobody") / took("alice")
        #expect(ratio > 0.2, "\(ratio)")
    }
}
