import SharedState

/// What operators have ordered and what stays so until they say otherwise: a worker that starts later, and
/// the console, go by it.
struct OrdersInForce {
    /// PAUSE of everything.
    var isPaused = false
    /// SUSPEND.
    var isSuspended = false
    /// KILL of everything, which like PgBouncer's pauses each database: RESUME ends it, for all of them or
    /// one by one.
    private(set) var isKilled = false
    /// Databases that PAUSE or KILL named.
    private var pausedDatabases: Set<[UInt8]> = []
    /// Databases that RESUME has named since the KILL.
    private var resumedDatabases: Set<[UInt8]> = []
    private var disabledDatabases: Set<[UInt8]> = []

    /// Whether a plain RESUME has something to end.
    var isAnythingPaused: Bool { isPaused || isKilled || isSuspended }

    /// Whether PAUSE or KILL holds a database.
    var holdsDatabases: Bool { isKilled || !pausedDatabases.isEmpty }

    /// Notes a KILL of everything.
    mutating func kill() {
        isKilled = true
        resumedDatabases = []
    }

    /// Notes a PAUSE or KILL of one database; `false` when it is paused already.
    mutating func pause(_ database: [UInt8]) -> Bool {
        guard !isHeld(database) else { return false }
        pausedDatabases.insert(database)
        return true
    }

    /// Notes a RESUME of everything; `false` when there was nothing to end.
    mutating func resume() -> Bool {
        defer { (isPaused, isKilled, isSuspended) = (false, false, false) }
        return isAnythingPaused
    }

    /// Notes a RESUME of one database; `false` when it was not paused.
    mutating func resume(_ database: [UInt8]) -> Bool {
        guard isHeld(database) else { return false }
        pausedDatabases.remove(database)
        if isKilled { resumedDatabases.insert(database) }
        return true
    }

    /// Notes DISABLE or ENABLE.
    mutating func setDisabled(_ database: [UInt8], _ isDisabled: Bool) {
        if isDisabled { disabledDatabases.insert(database) } else { disabledDatabases.remove(database) }
    }

    /// Forgets a database that is not configured any more: one that comes back under its name is another one.
    mutating func forget(_ database: [UInt8]) {
        pausedDatabases.remove(database)
        resumedDatabases.remove(database)
        disabledDatabases.remove(database)
    }

    /// What a worker that starts is to be told, in order; the general pause it begins with.
    func repeated(epoch: UInt64) -> [Order] {
        func orders(_ kind: OrderKind, _ databases: Set<[UInt8]>) -> [Order] {
            databases.sorted { $0.lexicographicallyPrecedes($1) }.map {
                Order(epoch: epoch, kind: kind, database: $0)
            }
        }
        return (isKilled ? [Order(epoch: epoch, kind: .kill)] : []) + orders(.resume, resumedDatabases)
            + orders(.pause, pausedDatabases) + orders(.disable, disabledDatabases)
            + (isSuspended ? [Order(epoch: epoch, kind: .suspend)] : [])
    }

    private func isHeld(_ database: [UInt8]) -> Bool {
        pausedDatabases.contains(database) || isKilled && !resumedDatabases.contains(database)
    }
}

extension OrdersInForce {
    private enum Tag {
        static let isPaused: UInt16 = 1
        static let isKilled: UInt16 = 2
        static let paused: UInt16 = 3
        static let resumed: UInt16 = 4
        static let disabled: UInt16 = 5
    }

    /// For a program that takes over.
    var record: TaggedRecord {
        var record = TaggedRecord()
        record.add(Tag.isPaused, isPaused)
        record.add(Tag.isKilled, isKilled)
        for database in pausedDatabases { record.add(Tag.paused, database) }
        for database in resumedDatabases { record.add(Tag.resumed, database) }
        for database in disabledDatabases { record.add(Tag.disabled, database) }
        return record
    }

    /// What `record` gave.
    init(_ record: TaggedRecord) throws(ControlError) {
        isPaused = try record.flag(Tag.isPaused)
        isKilled = try record.flag(Tag.isKilled)
        pausedDatabases = Set(record.all(Tag.paused))
        resumedDatabases = Set(record.all(Tag.resumed))
        disabledDatabases = Set(record.all(Tag.disabled))
    }
}
