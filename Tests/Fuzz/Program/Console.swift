import FuzzSupport

/// A session on the console, to see what is left when all have gone.
final class Console: Peer {
    private var login: Player
    private var input = MessageStream()
    private var isWelcome = false
    private var columns: [String] = []
    private var rows: [[String: String]] = []
    private var isAnswered = false
    /// Why it cannot be asked any more.
    private(set) var problem: String?

    override init(_ descriptor: Int32, _ loop: Loop) {
        login = Player(
            Recording.session(user: "admin", database: "pgbouncer"), password: FakePostgres.password)
        super.init(descriptor, loop)
        logIn()
    }

    /// The rows of `SHOW` something; `nil` when there is no answer.
    func show(_ what: String) -> [[String: String]]? {
        guard loop.turn(until: { isWelcome || !isOpen }, within: 5), isOpen else { return nil }
        rows = []
        isAnswered = false
        send([Bytes.query("SHOW \(what)")])
        guard loop.turn(until: { isAnswered || !isOpen }, within: 5), isAnswered else { return nil }
        return rows
    }

    private func logIn() {
        while true {
            switch login.move() {
            case .send(let bytes): send([bytes])
            case .wait: return
            case .hangUp:
                if login.errorCount > 0 { return close() }
                isWelcome = true
                return
            }
        }
    }

    override func received(_ bytes: [UInt8]) {
        guard isWelcome else {
            login.receive(bytes)
            return logIn()
        }
        input.append(bytes)
        while let message = input.next() {
            switch message.type {
            case UInt8(ascii: "T"): columns = description(message.body)
            case UInt8(ascii: "D"): rows.append(row(message.body))
            case UInt8(ascii: "Z"): isAnswered = true
            default: continue
            }
        }
    }

    private func description(_ body: ArraySlice<UInt8>) -> [String] {
        var names: [String] = []
        var rest = body.dropFirst(2)
        while let end = rest.firstIndex(of: 0) {
            names.append(String(decoding: rest[rest.startIndex..<end], as: UTF8.self))
            rest = rest[(end + 1)...].dropFirst(18)
        }
        return names
    }

    private func row(_ body: ArraySlice<UInt8>) -> [String: String] {
        var values: [String: String] = [:]
        var rest = body.dropFirst(2)
        for column in columns {
            let count = Bytes.number(rest)
            rest = rest.dropFirst(4)
            values[column] = String(decoding: rest.prefix(max(0, count)), as: UTF8.self)
            rest = rest.dropFirst(max(0, count))
        }
        return values
    }
}
