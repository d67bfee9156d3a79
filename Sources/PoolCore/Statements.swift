import Base

/// A prepared statement as this worker knows it, whoever prepared it: text, parameter types and the parse
/// environment together are its identity.
///
/// Servers know it under a name made from its 128-bit hash, which means the same in every worker.
struct Statement: BitwiseCopyable {
    /// The hash of body and parse environment, keyed with the instance's secret.
    let hash: Hash128
    /// The hash in characters, for the name on servers.
    let digits: InlineArray<22, UInt8>
    /// What follows the name in its Parse message, in the byte pool; 0 while only its hash is known, of a
    /// server that another worker has lent.
    var body: UInt32
    /// Holders: client names, unnamed statements, servers, owed replies.
    var references: Int32
    /// Its text could end a transaction, so it must not be sent behind a prelude whose success is not known.
    var canEndTransaction: Bool
    /// It begins a transaction, which changes neither settings nor statements.
    var isBegin: Bool
    /// `Parameters.environment` of what it was first parsed under; 0 for one that only its client may use.
    var parseEnvironment: UInt64
}

/// A client's name for a statement.
struct ClientStatement: Linked {
    var links = ListLinks<ClientStatement>()
    let client: Handle<Client>
    let nameHash: UInt64
    /// The name itself, in the byte pool, for error texts.
    let name: UInt32
    let statement: UInt32
}

/// A statement that is prepared on a server.
struct ServerStatement: Linked {
    var links = ListLinks<ServerStatement>()
    let server: Handle<Server>
    let statement: UInt32
    /// The `Server.syncGroup` its Parse, or its Close, was sent in.
    var group: UInt32
    /// ParseComplete has arrived.
    var isConfirmed = false
    /// Its Close has been sent; it is in `Server.closingStatements`.
    var isClosing = false
    /// How many Closes have been sent that have not been answered: between them it was prepared again.
    var closesInFlight: UInt8 = 0
}

/// What is known of a statement on a server.
enum Presence {
    /// It is there, or will be if everything sent up to now in the same group succeeds.
    case present
    case absent
    /// Its Parse or Close is on the way in an earlier group and may still be skipped.
    case inDoubt
}

/// Every prepared statement of the worker: which exist, what clients call them, and which servers have them.
///
/// Ids are slots of `statements` plus one; 0 stands for none. Look-ups allocate nothing.
@safe
struct Statements: ~Copyable {
    private let anchor = Anchor()
    /// Server-side names: this prefix and 22 characters of the hash.
    static let namePrefix: StaticString = "pgsluice_"
    static let nameByteCount = 9 + 22
    /// The name that stands for one that no client of ours has given; no server has it.
    static let unknownName: StaticString = "pgsluice: unknown"

    var statements: Slab<Statement>
    private var byHash = SlotTable(capacity: 1024)
    private var clientNames: Slab<ClientStatement>
    private var byClientName = SlotTable(capacity: 1024)
    private var onServers: Slab<ServerStatement>
    private var byServer = SlotTable(capacity: 1024)
    private let key: Hash128

    init(capacity: Int, key: Hash128) {
        statements = Slab(capacity: capacity)
        clientNames = Slab(capacity: capacity * 4)
        onServers = Slab(capacity: capacity * 4)
        self.key = key
    }

    /// How many statements, client names and server entries there are.
    var counts: (statements: Int, clientNames: Int, onServers: Int) {
        (statements.count, clientNames.count, onServers.count)
    }

    /// A record of a client's name, for those who look at all of them.
    func clientName(_ entry: Handle<ClientStatement>) -> ClientStatement { clientNames[entry] }

    /// A record of a statement on a server, for those who look at all of them.
    func onServer(_ entry: Handle<ServerStatement>) -> ServerStatement { onServers[entry] }

    // MARK: Statements

    /// The statement made by this Parse body in this environment, with one more reference; `nil` when the
    /// table is full.
    ///
    /// - Parameter variant: tells apart what is not the same statement in spite of all that.
    mutating func intern(
        _ body: RawSpan, environment: UInt64, variant: UInt64, _ pool: inout BytePool
    ) -> UInt32? {
        let tweak = environment ^ (variant &* 0x9E37_79B9_7F4A_7C15)
        let hash = Hash128.sip(body, key: key, tweak: tweak)
        return intern(hash, body: body, environment: environment, &pool)
    }

    /// The statement with this hash, which is of this body and environment, with one more reference; `nil`
    /// when the table is full.
    mutating func intern(
        _ hash: Hash128, body: RawSpan, environment: UInt64, _ pool: inout BytePool
    ) -> UInt32? {
        if let id = find(hash) {
            if statements[handle(id)].body == 0 {
                statements[handle(id)].body = pool.intern(body)
                statements[handle(id)].canEndTransaction = canEndTransaction(text: body)
                statements[handle(id)].isBegin = isBegin(text: body)
                statements[handle(id)].parseEnvironment = environment
            }
            return id
        }
        let statement = Statement(
            hash: hash, digits: Statements.digits(of: hash), body: pool.intern(body), references: 1,
            canEndTransaction: canEndTransaction(text: body), isBegin: isBegin(text: body),
            parseEnvironment: environment)
        guard let handle = statements.insert(statement) else {
            pool.release(statement.body)
            return nil
        }
        byHash.insert(hash.low, handle.slot)
        return handle.slot + 1
    }

    /// The statement with this hash, with one more reference, whether its text is known here or not; `nil`
    /// when the table is full.
    mutating func intern(_ hash: Hash128) -> UInt32? {
        if let id = find(hash) { return id }
        let statement = Statement(
            hash: hash, digits: Statements.digits(of: hash), body: 0, references: 1,
            canEndTransaction: true, isBegin: false, parseEnvironment: 0)
        guard let handle = statements.insert(statement) else { return nil }
        byHash.insert(hash.low, handle.slot)
        return handle.slot + 1
    }

    /// The statement with this hash, with one more reference.
    private mutating func find(_ hash: Hash128) -> UInt32? {
        let found = byHash.find(hash.low) { slot in
            statements.handle(at: Int(slot)).map { statements[$0].hash == hash } ?? false
        }
        guard let slot = found else { return nil }
        statements[handle(slot + 1)].references += 1
        return slot + 1
    }

    /// The hashes of what is prepared on a server, least recently used first.
    func hashes(on list: IntrusiveList<ServerStatement>) -> [Hash128] {
        var result: [Hash128] = []
        var entry = list.first
        while !entry.isNone {
            result.append(statement(onServers[entry].statement).hash)
            entry = onServers[entry].links.next
        }
        return result
    }

    /// Counts one more holder. Does nothing for 0.
    mutating func retain(_ id: UInt32) {
        guard id != 0 else { return }
        statements[handle(id)].references += 1
    }

    /// Counts one holder less; the last one forgets the statement. Does nothing for 0.
    mutating func release(_ id: UInt32, _ pool: inout BytePool) {
        guard id != 0 else { return }
        let handle = handle(id)
        statements[handle].references -= 1
        guard statements[handle].references == 0 else { return }
        byHash.remove(statements[handle].hash.low, handle.slot)
        pool.release(statements[handle].body)
        statements.remove(handle)
    }

    /// The statement behind an id.
    func statement(_ id: UInt32) -> Statement { statements[handle(id)] }

    /// Appends the name servers know the statement by, without the terminating zero.
    func appendName(of id: UInt32, to output: inout ByteBuffer) {
        output.append(Statements.namePrefix)
        output.append(bytesOf: statements[handle(id)].digits)
    }

    private static func digits(of hash: Hash128) -> InlineArray<22, UInt8> {
        var rest = hash
        return InlineArray { _ in
            let six = UInt8(truncatingIfNeeded: rest.low & 63)
            rest.low = rest.low >> 6 | rest.high << 58
            rest.high >>= 6
            return alphabet(six)
        }
    }

    /// The length of the name of ours that a text begins with, or 0.
    static func serverNameLength(atStartOf text: RawSpan) -> Int {
        if text.begins(with: unknownName) { return unknownName.utf8CodeUnitCount }
        guard text.byteCount >= nameByteCount, text.begins(with: namePrefix) else { return 0 }
        for offset in namePrefix.utf8CodeUnitCount..<nameByteCount {
            switch unsafe text.unsafeLoad(fromByteOffset: offset, as: UInt8.self) {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "_"), UInt8(ascii: "$"):
                continue
            default:
                return 0
            }
        }
        return nameByteCount
    }

    // MARK: What clients call them

    /// The hash under which a client's name is filed.
    func nameHash(_ name: RawSpan) -> UInt64 { Hash128.sip(name, key: key).high }

    /// The statement a client calls by this name, or 0.
    func find(_ client: Handle<Client>, _ nameHash: UInt64) -> UInt32 {
        guard let entry = entry(client, nameHash) else { return 0 }
        return clientNames[entry].statement
    }

    /// What is filed under a client's name.
    func name(_ client: Handle<Client>, _ nameHash: UInt64) -> ClientStatement? {
        entry(client, nameHash).map { clientNames[$0] }
    }

    /// Files a statement under a client's name; takes over one reference of each. Answers false when the
    /// table is full.
    ///
    /// - Precondition: the client has no statement of that name.
    mutating func name(
        _ id: UInt32, _ name: UInt32, _ nameHash: UInt64, for client: Handle<Client>,
        _ list: inout IntrusiveList<ClientStatement>
    ) -> Bool {
        let record = ClientStatement(client: client, nameHash: nameHash, name: name, statement: id)
        guard let entry = clientNames.insert(record) else { return false }
        byClientName.insert(Statements.key(client.raw, nameHash), entry.slot)
        list.append(entry, in: &clientNames)
        return true
    }

    /// Removes a client's name and hands its references to the caller; 0 when there is no such name.
    mutating func removeName(
        _ nameHash: UInt64, of client: Handle<Client>, _ list: inout IntrusiveList<ClientStatement>
    ) -> (statement: UInt32, name: UInt32) {
        guard let entry = entry(client, nameHash) else { return (0, 0) }
        let removed = (clientNames[entry].statement, clientNames[entry].name)
        byClientName.remove(Statements.key(client.raw, nameHash), entry.slot)
        list.remove(entry, in: &clientNames)
        clientNames.remove(entry)
        return removed
    }

    /// Removes all names of a client.
    mutating func removeNames(
        of client: Handle<Client>, _ list: inout IntrusiveList<ClientStatement>, _ pool: inout BytePool
    ) {
        while !list.first.isNone {
            let removed = removeName(clientNames[list.first].nameHash, of: client, &list)
            release(removed.statement, &pool)
            pool.release(removed.name)
        }
    }

    // MARK: What servers have

    /// Whether the statement is prepared on the server; if so it becomes the most recently used.
    mutating func use(
        _ id: UInt32, on server: Handle<Server>, group: UInt32, _ list: inout IntrusiveList<ServerStatement>
    ) -> Presence {
        guard let entry = entry(server, id) else { return .absent }
        if onServers[entry].isClosing { return onServers[entry].group == group ? .absent : .inDoubt }
        guard onServers[entry].isConfirmed || onServers[entry].group == group else { return .inDoubt }
        if list.last != entry {
            list.remove(entry, in: &onServers)
            list.append(entry, in: &onServers)
        }
        return .present
    }

    /// Notes that a Parse of the statement has been sent to the server; holds a reference. The statement is
    /// the most recently used. Answers false when the table is full.
    mutating func add(
        _ id: UInt32, to server: Handle<Server>, group: UInt32, isConfirmed: Bool = false,
        _ record: inout Server
    ) -> Bool {
        if let entry = entry(server, id) {
            guard onServers[entry].isClosing else { return true }
            record.closingStatements.remove(entry, in: &onServers)
            record.statements.append(entry, in: &onServers)
            onServers[entry].isClosing = false
            onServers[entry].isConfirmed = isConfirmed
            onServers[entry].group = group
            return true
        }
        #if CANARY
            let isConfirmed = isConfirmed || Canary.isPlanted(.statementKnownOnSend)
        #endif
        let added = ServerStatement(server: server, statement: id, group: group, isConfirmed: isConfirmed)
        guard let entry = onServers.insert(added) else { return false }
        retain(id)
        byServer.insert(Statements.key(server.raw, UInt64(id)), entry.slot)
        record.statements.append(entry, in: &onServers)
        return true
    }

    /// Notes that a Close of the statement has been sent.
    mutating func close(_ id: UInt32, on server: Handle<Server>, group: UInt32, _ record: inout Server) {
        guard let entry = entry(server, id), !onServers[entry].isClosing else { return }
        record.statements.remove(entry, in: &onServers)
        record.closingStatements.append(entry, in: &onServers)
        onServers[entry].isClosing = true
        onServers[entry].closesInFlight &+= 1
        onServers[entry].group = group
    }

    /// Notes that a Close of the statement has been skipped: it is there as before.
    mutating func reopen(_ id: UInt32, on server: Handle<Server>, group: UInt32, _ record: inout Server) {
        if let entry = entry(server, id) {
            onServers[entry].closesInFlight -= onServers[entry].closesInFlight > 0 ? 1 : 0
        }
        _ = add(id, to: server, group: group, isConfirmed: true, &record)
    }

    /// Notes that CloseComplete has arrived for the statement; it may have been prepared again meanwhile, and
    /// closed once more.
    mutating func closed(
        _ id: UInt32, on server: Handle<Server>, _ record: inout Server, _ pool: inout BytePool
    ) {
        guard let entry = entry(server, id), onServers[entry].closesInFlight > 0 else { return }
        onServers[entry].closesInFlight -= 1
        guard onServers[entry].isClosing, onServers[entry].closesInFlight == 0 else { return }
        remove(id, from: server, &record, &pool)
    }

    /// Notes that ParseComplete has arrived for the statement as sent in this group. While a Close that was
    /// sent behind that Parse is unanswered, it says nothing about the Parse behind the Close.
    mutating func confirm(_ id: UInt32, on server: Handle<Server>, group: UInt32) {
        guard let entry = entry(server, id), onServers[entry].group == group, !onServers[entry].isClosing,
            onServers[entry].closesInFlight == 0
        else { return }
        onServers[entry].isConfirmed = true
    }

    /// Notes that the statement is gone from the server.
    mutating func remove(
        _ id: UInt32, from server: Handle<Server>, _ record: inout Server, _ pool: inout BytePool
    ) {
        guard let entry = entry(server, id) else { return }
        byServer.remove(Statements.key(server.raw, UInt64(id)), entry.slot)
        if onServers[entry].isClosing {
            record.closingStatements.remove(entry, in: &onServers)
        } else {
            record.statements.remove(entry, in: &onServers)
        }
        onServers.remove(entry)
        release(id, &pool)
    }

    /// Notes that the server has lost all statements.
    mutating func removeAll(from server: Handle<Server>, _ record: inout Server, _ pool: inout BytePool) {
        while !record.statements.first.isNone {
            remove(onServers[record.statements.first].statement, from: server, &record, &pool)
        }
        while !record.closingStatements.first.isNone {
            remove(onServers[record.closingStatements.first].statement, from: server, &record, &pool)
        }
    }

    /// The least recently used statement of a server, or 0. One whose Parse may yet be skipped with its group
    /// is none that a later group can close.
    func oldest(_ list: IntrusiveList<ServerStatement>, group: UInt32) -> UInt32 {
        var entry = list.first
        while !entry.isNone {
            if onServers[entry].isConfirmed || onServers[entry].group == group {
                return onServers[entry].statement
            }
            entry = onServers[entry].links.next
        }
        return 0
    }

    // MARK: Inside

    private func handle(_ id: UInt32) -> Handle<Statement> {
        guard let handle = statements.handle(at: Int(id) - 1) else {
            preconditionFailure("a statement that somebody holds exists")
        }
        return handle
    }

    private func entry(_ client: Handle<Client>, _ nameHash: UInt64) -> Handle<ClientStatement>? {
        let slot = byClientName.find(Statements.key(client.raw, nameHash)) { slot in
            guard let entry = clientNames.handle(at: Int(slot)) else { return false }
            return clientNames[entry].client == client && clientNames[entry].nameHash == nameHash
        }
        return slot.flatMap { clientNames.handle(at: Int($0)) }
    }

    private func entry(_ server: Handle<Server>, _ id: UInt32) -> Handle<ServerStatement>? {
        let slot = byServer.find(Statements.key(server.raw, UInt64(id))) { slot in
            guard let entry = onServers.handle(at: Int(slot)) else { return false }
            return onServers[entry].server == server && onServers[entry].statement == id
        }
        return slot.flatMap { onServers.handle(at: Int($0)) }
    }

    private static func key(_ owner: UInt64, _ part: UInt64) -> UInt64 {
        var mixed = (owner ^ (part &* 0x9E37_79B9_7F4A_7C15)) &* 0xD6E8_FEB8_6659_FD93
        mixed ^= mixed >> 32
        return mixed &* 0xD6E8_FEB8_6659_FD93
    }

    private static func alphabet(_ six: UInt8) -> UInt8 {
        switch six {
        case 0..<10: UInt8(ascii: "0") + six
        case 10..<36: UInt8(ascii: "A") + (six - 10)
        case 36..<62: UInt8(ascii: "a") + (six - 36)
        case 62: UInt8(ascii: "_")
        default: UInt8(ascii: "$")
        }
    }
}

/// Whether a query text begins a transaction and does nothing else: its first word is BEGIN or START, and no
/// other statement follows.
func isBegin(text: RawSpan) -> Bool {
    let limit = 120
    guard text.byteCount < limit else { return false }
    var offset = 0
    while offset < text.byteCount, unsafe text.unsafeLoad(fromByteOffset: offset, as: UInt8.self) == 0x20 {
        offset += 1
    }
    var word: UInt64 = 0
    for index in 0..<5 where offset + index < text.byteCount {
        let byte = unsafe text.unsafeLoad(fromByteOffset: offset + index, as: UInt8.self)
        word = word << 8 | UInt64(byte | 0x20)
    }
    let begin: UInt64 = 0x62_65_67_69_6E
    let start: UInt64 = 0x73_74_61_72_74
    guard word == begin || word == start else { return false }
    while offset < text.byteCount {
        let byte = unsafe text.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
        if byte == UInt8(ascii: ";") || byte >= 0x80 { return false }
        if byte == 0 { return true }
        offset += 1
    }
    return true
}

/// Whether a query text might begin with a word that ends a transaction: COMMIT, END, ROLLBACK, ABORT,
/// PREPARE TRANSACTION. Errs on the side of yes: anything but a plain word in front counts.
///
/// PostgreSQL rejects every other statement while a transaction has failed, which is what makes it safe to
/// send a request behind a prelude before the prelude's success is known.
func canEndTransaction(text: RawSpan) -> Bool {
    var offset = 0
    while offset < text.byteCount {
        let byte = unsafe text.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
        switch byte {
        case UInt8(ascii: " "), UInt8(ascii: "\n"), UInt8(ascii: "\t"), UInt8(ascii: "\r"):
            offset += 1
        case UInt8(ascii: "c"), UInt8(ascii: "C"), UInt8(ascii: "e"), UInt8(ascii: "E"),
            UInt8(ascii: "r"), UInt8(ascii: "R"), UInt8(ascii: "a"), UInt8(ascii: "A"),
            UInt8(ascii: "p"), UInt8(ascii: "P"):
            return true
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"):
            return false
        default:
            return true
        }
    }
    return true
}
