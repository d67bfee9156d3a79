import Testing

@testable import sluicectl

@Suite struct JSONTests {
    @Test func aTableIsAListOfObjectsWithNumbersWhereTheColumnsAreNumbers() throws {
        var answer = Answer()
        answer.columns = [Column("n", type: 20), Column("avg", type: 1700), Column("t", type: 25)]
        answer.rows = [["9223372036854775807", "1.5", "12"], [nil, "NaN", "a\"/\u{1b}é"]]
        #expect(
            try JSONValue(answer).document() == #"""
                [
                  {
                    "avg" : 1.5,
                    "n" : 9223372036854775807,
                    "t" : "12"
                  },
                  {
                    "avg" : "NaN",
                    "n" : null,
                    "t" : "a\"/\u001bé"
                  }
                ]
                """#)
    }

    @Test func whatIsNotThereIsNull() {
        #expect(JSONValue(String?.none) == .null && JSONValue(Int?.none) == .null)
        #expect(JSONValue("x") == .text("x") && JSONValue(3) == .number(3))
    }

    @Test func theStateOfAnInstanceHasAllItsMembers() throws {
        var summary = Summary()
        summary.workers = (1, 2)
        summary.pausedDatabases = ["shop"]
        guard case .object(let members) = summary.json else { throw Failure(.refused, "not an object") }
        #expect(members["ready_workers"] == .number(1) && members["workers"] == .number(2))
        #expect(members["paused_databases"] == .list([.text("shop")]))
        #expect(members["configuration_file"] == .null)
        #expect(members.count == 16)
        #expect(summary.lines.contains("workers   1 of 2 ready"))
        #expect(summary.lines.contains("paused    shop"))
        #expect(!summary.lines.contains { $0.hasPrefix("disabled") })
    }

    @Test func poolsAreAddedUpWithoutTheConsole() {
        var answer = Answer()
        answer.columns = [
            "database", "cl_active", "cl_waiting", "sv_active", "sv_idle", "sv_login", "maxwait",
            "maxwait_us",
        ].map { Column($0) }
        answer.rows = [
            ["a", "5", "2", "1", "3", "1", "2", "500000"], ["b", "1", "0", "0", "1", "0", "0", "7"],
            ["pgbouncer", "9", "0", "0", "0", "0", "0", "0"],
        ]
        let sums = PoolSums(answer)
        #expect((sums.count, sums.clients, sums.waitingClients) == (2, 8, 2))
        #expect((sums.servers, sums.idleServers, sums.longestWaitMicroseconds) == (6, 4, 2_500_000))
    }
}
