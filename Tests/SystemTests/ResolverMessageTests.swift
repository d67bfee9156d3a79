import Testing

@testable import System

@Suite struct ResolverMessageTests {
    @Test func questionsComeBack() {
        let request = ResolverRequest(
            id: 9, lifeMilliseconds: 15_000, failureLifeMilliseconds: 1, name: "db.example")
        let datagram = request.encoded()
        #expect(ResolverRequest(datagram) == request)
        for length in 0..<18 { #expect(ResolverRequest(Array(datagram.prefix(length))) == nil) }
    }

    @Test func answersComeBack() {
        let answer = ResolverAnswer(
            id: .max, addresses: [.ipv4([127, 0, 0, 1]), .ipv6([UInt8](repeating: 3, count: 16), scope: 2)],
            failure: "")
        let datagram = answer.encoded()
        #expect(ResolverAnswer(datagram) == answer)
        for length in 0..<datagram.count { #expect(ResolverAnswer(Array(datagram.prefix(length))) == nil) }
        let failure = ResolverAnswer(id: 1, addresses: [], failure: "no such name")
        #expect(ResolverAnswer(failure.encoded()) == failure)
    }

    @Test func outcomesOfACheckComeBack() {
        let lines = [
            ValidationOutcome.Line(isError: true, text: "a:1: wrong"), .init(isError: false, text: ""),
        ]
        for outcome in [
            ValidationOutcome(image: [1, 2, 3], lines: lines), ValidationOutcome(image: nil, lines: lines),
        ] {
            #expect(ValidationOutcome(outcome.encoded()) == outcome)
        }
        #expect(ValidationOutcome([]) == nil)
        #expect(ValidationOutcome([1, 5, 0, 0, 0]) == nil)
    }
}
