/// Counted, interned runs of bytes: equal bytes have equal ids, so comparing two texts is comparing two
/// numbers.
///
/// Ids are slots and are reused after the last release. Id 0 is never given out and can stand for "none".
@safe
public struct BytePool: ~Copyable {
    @safe private struct Text: BitwiseCopyable {
        var start: UnsafeMutableRawPointer
        var count: Int
        var references: Int32
        var hash: UInt64
        var nextFree: UInt32
    }

    private var texts: UnsafeMutablePointer<Text>
    private var capacity = 64
    private var used = 1
    private var firstFree: UInt32 = 0
    private var table = SlotTable()
    private let key: Hash128

    /// An empty pool; `key` makes its hashes unpredictable to those who choose the bytes.
    public init(key: Hash128) {
        self.key = key
        unsafe texts = UnsafeMutablePointer<Text>.allocate(capacity: capacity)
    }

    deinit {
        for id in 1..<max(used, 1) where unsafe texts[id].references > 0 {
            unsafe texts[id].start.deallocate()
        }
        unsafe texts.deallocate()
    }

    /// How many different texts are held.
    public var count: Int { table.count }

    /// The id of these bytes, with one more reference.
    public mutating func intern(_ bytes: RawSpan) -> UInt32 {
        let hash = Hash128.sip(bytes, key: key).low
        if let id = find(bytes, hash) {
            unsafe texts[Int(id)].references += 1
            return id
        }
        let id: UInt32
        if firstFree != 0 {
            id = firstFree
            firstFree = unsafe texts[Int(id)].nextFree
        } else {
            if used == capacity { grow() }
            id = UInt32(used)
            used += 1
        }
        let count = bytes.byteCount
        let start = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1), alignment: 8)
        unsafe bytes.withUnsafeBytes { source in
            if count > 0 { unsafe start.copyMemory(from: source.baseAddress!, byteCount: count) }
        }
        unsafe (texts + Int(id)).initialize(
            to: Text(start: start, count: count, references: 1, hash: hash, nextFree: 0))
        table.insert(hash, id)
        return id
    }

    /// The id of these bytes, with one more reference.
    public mutating func intern(_ bytes: [UInt8]) -> UInt32 { intern(unsafe bytes.span.bytes) }

    /// Counts one more holder of `id`. Does nothing for 0.
    public mutating func retain(_ id: UInt32) {
        guard id != 0 else { return }
        precondition(unsafe texts[Int(id)].references > 0, "only a text that is held can be held again")
        unsafe texts[Int(id)].references += 1
    }

    /// Counts one holder less; the last one frees the bytes. Does nothing for 0.
    public mutating func release(_ id: UInt32) {
        guard id != 0 else { return }
        precondition(unsafe texts[Int(id)].references > 0, "only a text that is held can be released")
        unsafe texts[Int(id)].references -= 1
        guard unsafe texts[Int(id)].references == 0 else { return }
        table.remove(unsafe texts[Int(id)].hash, id)
        unsafe texts[Int(id)].start.deallocate()
        unsafe texts[Int(id)].nextFree = firstFree
        firstFree = id
    }

    /// The bytes behind `id`, borrowed; none for 0.
    public subscript(_ id: UInt32) -> RawSpan {
        @_lifetime(borrow self)
        borrowing get {
            guard id != 0 else { return unsafe _overrideLifetime(RawSpan(), borrowing: self) }
            precondition(unsafe texts[Int(id)].references > 0, "only a text that is held can be read")
            let span = unsafe RawSpan(_unsafeStart: texts[Int(id)].start, byteCount: texts[Int(id)].count)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    /// A hash of the bytes behind `id`, the same in every pool with the same key; 0 for 0.
    public func hash(_ id: UInt32) -> UInt64 { unsafe id == 0 ? 0 : texts[Int(id)].hash }

    /// Appends the bytes behind `id` to `output`; nothing for 0.
    public borrowing func append(_ id: UInt32, to output: inout ByteBuffer) { output.append(self[id]) }

    private func find(_ bytes: RawSpan, _ hash: UInt64) -> UInt32? {
        table.find(hash) { id in
            let text = unsafe texts[Int(id)]
            guard text.count == bytes.byteCount else { return false }
            return unsafe bytes.withUnsafeBytes { other in
                unsafe UnsafeRawBufferPointer(start: text.start, count: text.count).elementsEqual(other)
            }
        }
    }

    private mutating func grow() {
        let bigger = UnsafeMutablePointer<Text>.allocate(capacity: capacity * 2)
        unsafe bigger.update(from: texts, count: used)
        unsafe texts.deallocate()
        unsafe texts = bigger
        capacity *= 2
    }
}
