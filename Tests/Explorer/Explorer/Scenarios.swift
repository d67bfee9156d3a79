@testable import SharedState

extension Message {
    fileprivate static func request(_ pool: Int = 0) -> Message { Message(kind: .request, pool: pool) }
    fileprivate static var release: Message { Message(kind: .release) }
    fileprivate static func close(_ pool: Int = 0) -> Message { Message(kind: .close, pool: pool) }
    fileprivate static func step(_ number: Int) -> Message { Message(kind: .script, number: number) }
}

extension Scenario {
    private static let (open, openOther, shut, shutOther) = (
        Message.step(0), Message.step(1), Message.step(2), Message.step(3)
    )
    private static let (lend, lendOn, withdraw) = (Message.step(4), Message.step(5), Message.step(6))
    private static let (admit, dismiss, rejoin) = (Message.step(7), Message.step(8), Message.step(9))

    private static func scenario(_ name: String, _ change: (inout Scenario) -> Void) -> Scenario {
        var scenario = Scenario(name)
        change(&scenario)
        return scenario
    }

    /// Three workers and two places.
    static let counting = scenario("servers are opened and closed") {
        $0.workerCount = 3
        $0.limits.pool = 2
        $0.scripts = [[open, shut, open], [open, shut], [open, shut]]
        $0.successorScript = [open]
    }

    /// Two pools that share their database's limit.
    static let sharing = scenario("two pools share a limit") {
        $0.poolCount = 2
        $0.limits.database = 1
        $0.scripts = [[open, shut, openOther], [openOther, shutOther, open]]
        $0.successorScript = [open, openOther]
    }

    static let clients = scenario("clients come and go") {
        $0.clientLimit = 2
        $0.workerCount = 3
        $0.scripts = [[admit, admit, dismiss], [admit, dismiss], [admit]]
        $0.successorScript = [admit]
    }

    static let entries = scenario("pools are forgotten and known again") {
        $0.scripts = [[rejoin, open], [open, shut, rejoin, open]]
        $0.limits.pool = 1
        $0.successorScript = [open]
    }

    static let transfer = scenario("a server is lent and withdrawn") {
        $0.busy = [1, 0, 0]
        $0.limits.pool = 1
        $0.scripts = [[lend, withdraw, lend], [open]]
        $0.successorScript = [open, lend]
    }

    static let refusal = scenario("a server is lent and refused") {
        $0.busy = [1, 0, 0]
        $0.limits.pool = 1
        $0.refusing = [1]
        $0.scripts = [[lend, withdraw], [open]]
        $0.successorScript = [open]
    }

    static let crossing = scenario("two servers are lent against each other") {
        $0.busy = [1, 1, 0]
        $0.limits.pool = 2
        $0.scripts = [[lend, withdraw], [lend, withdraw]]
        $0.successorScript = [open, lend]
    }

    static let release = scenario("a server becomes free while another worker begins to wait") {
        $0.busy = [1, 0, 0]
        $0.limits.pool = 1
        $0.scripts = [[.release], [.request()]]
    }

    static let rivals = scenario("both workers have a client and there is one server") {
        $0.busy = [1, 0, 0]
        $0.limits.pool = 1
        $0.scripts = [[.release, .request()], [.request()]]
        $0.successorScript = [.request()]
    }

    static let three = scenario("two workers wait for the server of a third") {
        $0.workerCount = 3
        $0.busy = [1, 0, 0]
        $0.limits.pool = 1
        $0.scripts = [[.release], [.request()], [.request()]]
    }

    static let closing = scenario("a server is closed while another worker begins to wait") {
        $0.busy = [1, 0, 0]
        $0.limits.pool = 1
        $0.scripts = [[.close()], [.request()]]
    }

    /// Of the servers of other pools, only upkeep looks after those that become free later.
    static let eviction = scenario("another pool's free server is in the way") {
        $0.poolCount = 2
        $0.busy = [1, 0, 0]
        $0.limits.database = 1
        $0.hasUpkeep = true
        $0.scripts = [[.release], [.request(1)]]
    }

    /// The one that is asked may have nothing left, and the next one something.
    static let asking = scenario("two workers have a free server, and one of them uses it itself") {
        $0.workerCount = 3
        $0.busy = [1, 0, 1]
        $0.limits.pool = 2
        $0.keepers = [0]
        $0.scripts = [[.release, .request()], [.request()], [.release]]
    }

    /// Two workers, one place, one death.
    static let countingDeath = scenario("servers are opened and closed, a worker is killed") {
        $0.limits.pool = 1
        $0.scripts = [[open, shut], [open]]
        $0.successorScript = [open]
        $0.killLimit = 1
    }

    static let sharingDeath = scenario("two pools share a limit, a worker is killed") {
        $0.poolCount = 2
        $0.limits.database = 1
        $0.scripts = [[openOther, shutOther], [open]]
        $0.hasSuccessors = false
        $0.killLimit = 1
    }

    static let clientsDeath = scenario("clients come and go, a worker is killed") {
        $0.clientLimit = 1
        $0.scripts = [[admit, dismiss], [admit]]
        $0.successorScript = [admit]
        $0.killLimit = 1
    }

    static let entriesDeath = scenario("a pool is forgotten and known again, a worker is killed") {
        $0.scripts = [[rejoin], [open]]
        $0.limits.pool = 1
        $0.hasSuccessors = false
        $0.killLimit = 1
    }

    static let transferDeath = scenario("a server is lent, a worker is killed") {
        $0.busy = [1, 0, 0]
        $0.limits.pool = 1
        $0.scripts = [[lend], []]
        $0.successorScript = [open]
        $0.killLimit = 1
    }

    static let senderDeath = scenario("a server is lent by a worker that dies, and by its successor") {
        $0.busy = [1, 0, 0]
        $0.limits.pool = 2
        $0.scripts = [[lend], []]
        $0.successorScript = [open, lend]
        $0.mortals = [0]
        $0.killLimit = 1
    }

    static let refusalDeath = scenario("a server is lent and refused, a worker is killed") {
        $0.busy = [1, 0, 0]
        $0.limits.pool = 1
        $0.refusing = [1]
        $0.scripts = [[lend], []]
        $0.hasSuccessors = false
        $0.killLimit = 1
    }

    static let releaseDeath = scenario("a server becomes free while another waits, a worker is killed") {
        $0.busy = [1, 0, 0]
        $0.limits.pool = 1
        $0.scripts = [[.release], [.request()]]
        $0.hasSuccessors = false
        $0.killLimit = 1
    }

    /// What unit tests have the time for.
    public static let short: [Scenario] = [
        sharing, transfer, refusal, crossing, release, closing, eviction, countingDeath, sharingDeath,
        clientsDeath, entriesDeath, transferDeath, senderDeath, refusalDeath,
    ]

    /// Everything.
    public static let all: [Scenario] =
        short + [
            releaseDeath, counting, clients, entries, rivals, three, asking, crossing.killing(1),
            transfer.killing(1),
            closing.killing(1), rivals.killing(1), counting.killing(1), sharing.killing(1),
            clients.killing(1), entries.killing(1), transfer.killing(2, ", two are killed"),
        ]
}

extension Scenario {
    /// One in which a flaw has something to spoil.
    public static func showing(_ flaw: Flaw) -> Scenario {
        switch flaw {
        case .fencesDoNothing, .looksFirst: release
        case .deathsGoUnnoticed, .nothingIsReclaimed: countingDeath
        case .lockKeepsNobodyOut, .usesUntaken: transfer
        case .answersNothing: asking
        }
    }
}
