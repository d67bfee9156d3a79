import Base
import Testing

@testable import System

@Suite struct PasswordQuestionTests {
    private var server: LDAPServer {
        var server = LDAPServer()
        server.uris = "ldap://h:1"
        server.startsTLS = true
        server.name = "n"
        server.bindName = "b"
        server.bindPassword = [1, 2]
        server.base = "base"
        server.scope = 1
        server.filter = "(f)"
        return server
    }

    @Test func whatIsAskedAndAnsweredArrives() throws {
        for judge in [PasswordQuestion.Judge.pam(service: "s"), .ldap(server)] {
            let question = PasswordQuestion(
                id: 1 << 40, judge: judge, user: "ä", password: [200, 1], address: "::1")
            #expect(PasswordQuestion(try #require(question.encoded())) == question)
            #expect(!"\(question)".contains("200"))
        }
        let answer = PasswordAnswer(id: 7, verdict: .failed, reason: "why")
        #expect(PasswordAnswer(answer.encoded()) == answer)
    }

    @Test func partsOfThemAreNone() throws {
        let question = PasswordQuestion(
            id: 1, judge: .ldap(server), user: "u", password: [1], address: "a")
        let bytes = try #require(question.encoded())
        for count in 0..<bytes.count { #expect(PasswordQuestion(Array(bytes.prefix(count))) == nil) }
        #expect(PasswordQuestion(PasswordAnswer(id: 1, verdict: .right, reason: "").encoded()) == nil)
        #expect(ResolverRequest(bytes) == nil && ResolverAnswer(bytes) == nil)
    }

    @Test func whatIsTooLongIsNotAsked() {
        let question = PasswordQuestion(
            id: 1, judge: .pam(service: "s"), user: "u", password: [UInt8](repeating: 1, count: 20_000),
            address: "")
        #expect(question.encoded() == nil)
    }
}

@Suite struct RegularExpressionTests {
    @Test func expressionsFindTextsAndGroups() throws {
        let pattern = try TextPattern(compiling: "^(.*)@here\\.(com|net)$")
        #expect(pattern.match(Array("ann@here.net".utf8)) == TextPattern.Match(group: Array("ann".utf8)))
        #expect(pattern.match(Array("ann@here.org".utf8)) == nil)
        let digits = try TextPattern(compiling: "^u\\d+\\D[0-9\\]$")
        #expect(digits.match(Array("u12x\\".utf8)) == TextPattern.Match(group: nil))
        #expect(digits.match(Array("ux\\".utf8)) == nil)
        let anywhere = try TextPattern(compiling: "b")
        #expect(anywhere.match(Array("abc".utf8)) != nil)
        #expect(anywhere.match([0x61, 0, 0x62]) == nil)
    }

    @Test(arguments: ["(", "[a", "a{2,1}"])
    func brokenOnesAreRefused(text: String) {
        #expect(throws: TextPattern.Malformed.self) { try TextPattern(compiling: text) }
    }

    @Test func theMachineHasTheLoopbackInterface() {
        let loopback = NetworkInterfaces.addresses.first { $0.bytes == [127, 0, 0, 1] }
        #expect(loopback?.mask == [255, 0, 0, 0])
    }
}
