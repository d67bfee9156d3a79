import Base

/// The clients that have not proved who they are, by where they come from. The place from which most of them
/// come is at hand: when there are too many, it is there that somebody gives way.
///
/// Every change is O(1), whatever the number of clients and places.
struct Strangers: ~Copyable {
    /// The strangers of one place.
    struct Source: Linked {
        /// In the list of the places with as many strangers.
        var links = ListLinks<Source>()
        let origin: OriginKey
        /// Oldest first; linked through the clients.
        var clients = IntrusiveList<Client>()
    }

    /// How many there are in all.
    private(set) var count = 0
    private var sources: Slab<Source>
    private var index: [OriginKey: Handle<Source>] = [:]
    /// Places by how many strangers they have; who has had that many for longest comes first.
    private var byCount: [IntrusiveList<Source>] = []
    /// The largest number of strangers of a place.
    private var largest = 0

    /// Room for as many places as there may be clients.
    init(capacity: Int) { sources = Slab(capacity: capacity) }

    /// Whether a client is among them.
    func contains(_ client: Handle<Client>, in clients: borrowing Slab<Client>) -> Bool {
        !clients[client].source.isNone
    }

    /// Adds a client.
    mutating func add(_ client: Handle<Client>, from origin: OriginKey, in clients: inout Slab<Client>) {
        let source = source(of: origin)
        clients[client].source = source
        move(source, by: 1) { $0.append(client, in: &clients) }
        count += 1
    }

    /// Takes a client out, if it is there.
    mutating func remove(_ client: Handle<Client>, in clients: inout Slab<Client>) {
        let source = clients[client].source
        guard !source.isNone else { return }
        clients[client].source = .none
        move(source, by: -1) { $0.remove(client, in: &clients) }
        count -= 1
        guard sources[source].clients.isEmpty else { return }
        index.removeValue(forKey: sources[source].origin)
        sources.remove(source)
    }

    /// How many come from where this client does.
    func countBeside(_ client: Handle<Client>, in clients: borrowing Slab<Client>) -> Int {
        Int(sources[clients[client].source].clients.count)
    }

    /// Who has been here longest of those that come from where this client does.
    func oldestBeside(_ client: Handle<Client>, in clients: borrowing Slab<Client>) -> Handle<Client> {
        sources[clients[client].source].clients.first
    }

    /// Who has been here longest of those that come from the busiest place.
    var oldestOfBusiest: Handle<Client> {
        largest == 0 ? .none : sources[byCount[largest].first].clients.first
    }

    private mutating func source(of origin: OriginKey) -> Handle<Source> {
        if let known = index[origin] { return known }
        guard let made = sources.insert(Source(origin: origin)) else {
            preconditionFailure("there are as many places as there may be clients")
        }
        index[origin] = made
        return made
    }

    /// Changes the clients of a place, and with their number the list the place is in.
    private mutating func move(
        _ source: Handle<Source>, by step: Int, _ change: (inout IntrusiveList<Client>) -> Void
    ) {
        let before = Int(sources[source].clients.count)
        if before > 0 { byCount[before].remove(source, in: &sources) }
        change(&sources[source].clients)
        let after = before + step
        while byCount.count <= after { byCount.append(IntrusiveList()) }
        if after > 0 { byCount[after].append(source, in: &sources) }
        largest = max(largest, after)
        while largest > 0, byCount[largest].isEmpty { largest -= 1 }
    }
}

/// Where a client comes from, as limits see it: an IPv4 address, the first half of an IPv6 address (one host
/// has all of them), or the user at the other end of a Unix socket.
struct OriginKey: BitwiseCopyable, Hashable {
    let high: UInt64
    let low: UInt64

    init(_ origin: ClientOrigin) {
        if origin.isUnix {
            (high, low) = (.max, UInt64(bitPattern: origin.peerUserID))
        } else if let address = IPAddress(origin.address) {
            (high, low) = (address.high, address.isIPv4 ? address.low : 0)
        } else {
            (high, low) = (.max, .max)
        }
    }

    /// The key as bytes, to be hashed.
    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        for half in [high, low] {
            for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: half >> UInt64(8 * shift))) }
        }
        return bytes
    }
}

/// How many logins have failed lately, by a hash of whose they were: a table of fixed size in which those
/// stay that fail most often.
struct LoginFailures {
    private struct Entry {
        var key: UInt64 = 0
        /// Failures that are held against it at `time`, in thousandths.
        var level: UInt64 = 0
        var time: UInt64 = 0
    }

    private static let ways = 4
    private static let setCount = 1024
    /// Made with the first failure.
    private var entries: [Entry] = []

    /// Holds a failure against `key`; every minute `rate` of them are forgiven.
    mutating func note(_ key: UInt64, now: UInt64, rate: Int) {
        guard rate > 0 else { return }
        if entries.isEmpty {
            entries = [Entry](repeating: Entry(), count: LoginFailures.ways * LoginFailures.setCount)
        }
        let place = place(of: key, now, rate)
        if entries[place].key != key { entries[place] = Entry(key: key) }
        let level = LoginFailures.level(entries[place], now, rate)
        // No more than two minutes' worth: who stops is let in again after one.
        entries[place].level = min(level + 1000, UInt64(rate) * 2000)
        entries[place].time = now
    }

    /// Whether so many are held against `key` that it is to be refused.
    func isOver(_ key: UInt64, now: UInt64, rate: Int) -> Bool {
        guard rate > 0, !entries.isEmpty else { return false }
        for place in LoginFailures.places(of: key) where entries[place].key == key {
            return LoginFailures.level(entries[place], now, rate) >= UInt64(rate) * 1000
        }
        return false
    }

    private static func places(of key: UInt64) -> Range<Int> {
        let first = Int(key % UInt64(setCount)) * ways
        return first..<(first + ways)
    }

    /// Where `key` stands, or the place of the one of which least is held.
    private func place(of key: UInt64, _ now: UInt64, _ rate: Int) -> Int {
        let places = LoginFailures.places(of: key)
        if let known = places.first(where: { entries[$0].key == key }) { return known }
        let levels = places.map { LoginFailures.level(entries[$0], now, rate) }
        return places.lowerBound + levels.indices.min { levels[$0] < levels[$1] }!
    }

    private static func level(_ entry: Entry, _ now: UInt64, _ rate: Int) -> UInt64 {
        let milliseconds = (now &- entry.time) / 1_000_000
        let forgiven = milliseconds.multipliedReportingOverflow(by: UInt64(rate))
        if forgiven.overflow { return 0 }
        // `rate` failures of a thousand thousandths in 60,000 milliseconds.
        return entry.level - min(entry.level, forgiven.partialValue / 60)
    }
}
