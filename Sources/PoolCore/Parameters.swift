import Base

/// Names an interned set of tracked parameter values; equal sets have equal ids.
struct ParameterSetID: BitwiseCopyable, Equatable {
    var slot: UInt32
    static var empty: ParameterSetID { ParameterSetID(slot: 0) }
}

/// Values of the tracked parameters, by index; 0 where none is known. Values are ids of the byte pool.
typealias ParameterValues = InlineArray<16, UInt32>

/// The parameters whose values follow a client from server to server, and the sets of values in use.
///
/// Only parameters that PostgreSQL reports can be tracked. A set is stored once however many clients and
/// servers have it, so that "does this server have what this client wants" is one comparison.
@safe
struct Parameters: ~Copyable {
    /// At most this many parameters are tracked.
    static let limit = 16
    /// Always tracked, in this order; `track_extra_parameters` adds to them.
    static let standard = [
        "DateStyle", "client_encoding", "TimeZone", "standard_conforming_strings", "application_name",
    ]
    static let clientEncodingIndex = 1
    static let standardStringsIndex = 3
    static let applicationNameIndex = 4

    private struct Entry: BitwiseCopyable {
        var values: ParameterValues
        var references: Int32
        var hash: UInt64
        /// Equal for sets that make PostgreSQL parse the same text alike, in all workers.
        var environment: UInt64
        var nextFree: UInt32
    }

    /// Names as they are written in messages and SQL, by index.
    let names: [[UInt8]]
    /// Names in lower case, for look-ups.
    private let lowerNames: [[UInt8]]
    /// Which of them change how a statement is parsed.
    private let shapesParsing: [Bool]
    private var entries: [Entry]
    private var firstFree: UInt32 = 0
    private var table = SlotTable()
    /// For environments under which statements have been prepared, a set that makes them; each is held.
    private(set) var kept: [UInt64: ParameterSetID] = [:]
    /// At most so many are kept. Clients could make any number of them.
    private static let keptLimit = 1024

    init(extra: [String]) {
        var all = Parameters.standard
        for name in extra where !all.contains(where: { $0.lowercased() == name.lowercased() }) {
            if all.count < Parameters.limit { all.append(name) }
        }
        names = all.map { Array($0.utf8) }
        lowerNames = all.map { Array($0.lowercased().utf8) }
        shapesParsing = all.map { $0.lowercased() != "application_name" }
        let none = Entry(
            values: ParameterValues(repeating: 0), references: 1, hash: 0, environment: 0, nextFree: 0)
        entries = [none]
    }

    /// The index of a parameter, whatever the case of its name; `nil` when it is not tracked.
    func index(of name: RawSpan) -> Int? {
        for index in lowerNames.indices where Parameters.equal(name, lowerNames[index]) { return index }
        return nil
    }

    /// The values of a set.
    func values(_ id: ParameterSetID) -> ParameterValues { entries[Int(id.slot)].values }

    /// A number that is equal for sets under which the same text parses to the same statement.
    func environment(_ id: ParameterSetID) -> UInt64 { entries[Int(id.slot)].environment }

    /// Keeps a set so that its environment can be made again. Does nothing when too many are kept.
    mutating func keep(_ id: ParameterSetID) {
        let environment = environment(id)
        guard kept[environment] == nil, kept.count < Parameters.keptLimit else { return }
        retain(id)
        kept[environment] = id
    }

    /// Whether a parameter changes how a statement is parsed.
    func shapesParsing(_ index: Int) -> Bool { index < shapesParsing.count && shapesParsing[index] }

    /// The set with these values, with one more reference. Takes over one reference to each value.
    mutating func intern(_ values: ParameterValues, _ pool: inout BytePool) -> ParameterSetID {
        var hash: UInt64 = 0x51_7C_C1_B7_27_22_0A_95
        var environment = hash
        for index in 0..<Parameters.limit {
            hash = Parameters.mix(hash, UInt64(values[index]))
            if index < shapesParsing.count, shapesParsing[index] {
                environment = Parameters.mix(environment, pool.hash(values[index]))
            }
        }
        let found = table.find(hash) { slot in
            for index in 0..<Parameters.limit where entries[Int(slot)].values[index] != values[index] {
                return false
            }
            return true
        }
        if let slot = found {
            entries[Int(slot)].references += 1
            for index in 0..<Parameters.limit { pool.release(values[index]) }
            return ParameterSetID(slot: slot)
        }
        let entry = Entry(values: values, references: 1, hash: hash, environment: environment, nextFree: 0)
        let slot: UInt32
        if firstFree != 0 {
            slot = firstFree
            firstFree = entries[Int(slot)].nextFree
            entries[Int(slot)] = entry
        } else {
            slot = UInt32(entries.count)
            entries.append(entry)
        }
        table.insert(hash, slot)
        return ParameterSetID(slot: slot)
    }

    /// Counts one more holder.
    mutating func retain(_ id: ParameterSetID) {
        guard id != .empty else { return }
        entries[Int(id.slot)].references += 1
    }

    /// Counts one holder less; the last one frees the set and its values.
    mutating func release(_ id: ParameterSetID, _ pool: inout BytePool) {
        guard id != .empty else { return }
        let slot = Int(id.slot)
        precondition(entries[slot].references > 0, "only a set that is held can be released")
        entries[slot].references -= 1
        guard entries[slot].references == 0 else { return }
        table.remove(entries[slot].hash, id.slot)
        for index in 0..<Parameters.limit { pool.release(entries[slot].values[index]) }
        #if CANARY
            if Canary.isPlanted(.bytesReturnedTwice) { pool.release(entries[slot].values[0]) }
        #endif
        entries[slot].nextFree = firstFree
        firstFree = id.slot
    }

    /// How many different sets are held, besides the empty one.
    var count: Int { table.count }

    /// How many hold the set in this slot.
    func referenceCount(_ slot: UInt32) -> Int { Int(entries[Int(slot)].references) }

    private static func mix(_ hash: UInt64, _ value: UInt64) -> UInt64 {
        var mixed = (hash ^ value) &* 0x9E37_79B9_7F4A_7C15
        mixed ^= mixed >> 29
        return mixed
    }

    static func equal(_ name: RawSpan, _ lower: [UInt8]) -> Bool {
        guard name.byteCount == lower.count else { return false }
        for offset in lower.indices {
            var byte = unsafe name.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
            if byte >= UInt8(ascii: "A"), byte <= UInt8(ascii: "Z") { byte |= 0x20 }
            if byte != lower[offset] { return false }
        }
        return true
    }
}
