/// What the peer of a session of ours sends once hands have been shaken: a language of bytes, so that changes
/// of them are other scripts.
struct RecordScript {
    /// The records, as they come to our session.
    private(set) var records: [[UInt8]] = []
    /// The plaintext that was written, in order.
    private(set) var written: [UInt8] = []
    /// How much had been written whenever the peer said that nothing follows.
    private(set) var goodbyes: Set<Int> = []
    /// Nothing was done to the records but what a peer may do.
    private(set) var isGood = true
    private let peer: TLSPeer
    private var sealer: RecordSealer?
    private var script: ArraySlice<UInt8>

    /// - Parameter sealer: seals what the peer sends; `nil` when it has to do so itself.
    init(_ script: ArraySlice<UInt8>, _ peer: TLSPeer, _ sealer: RecordSealer?) {
        self.script = script
        self.peer = peer
        self.sealer = sealer
    }

    private mutating func byte() -> Int { Int(script.popFirst() ?? 0) }

    private mutating func bytes(_ count: Int) -> [UInt8] {
        defer { script = script.dropFirst(count) }
        return Array(script.prefix(count))
    }

    /// Runs it to its end.
    mutating func run() {
        while !script.isEmpty, records.count < 80 {
            let order = byte() % 16
            switch order {
            case 0...2: write(plaintext(byte() * (order == 2 ? 120 : 1)))
            case 3: updateKeys(isAnswered: byte() & 1 == 1)
            case 4:
                let type = UInt8(byte())
                seal(type, bytes(byte()))
            case 5: seal(22, bytes(byte()))
            case 6: write(plaintext(10), padding: byte() * 64)
            case 7: sayGoodbye()
            case 8: for _ in 0..<byte() % 64 { write([]) }
            case 9: if sealer == nil { renegotiate() } else { seal(21, bytes(2)) }
            case 10:
                let type = UInt8(byte())
                insertPlain(type, bytes(byte()))
            default: change(order)
            }
        }
    }

    private func plaintext(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: written.count + $0 * 7) }
    }

    // MARK: What a peer may do

    private mutating func write(_ bytes: [UInt8], padding: Int = 0) {
        guard sealer == nil else { return seal(23, bytes, padding: padding) }
        guard !bytes.isEmpty, peer.write(bytes) else { return }
        written += bytes
        records.append(peer.takeOutput())
    }

    private mutating func seal(_ type: UInt8, _ body: [UInt8], padding: Int = 0) {
        guard let record = sealer?.seal(type, body, padding: padding) else { return }
        // Zeros at the end are padding: in front of them is the type, whoever was to read it there.
        note(type == 0 ? body : body + [type], record)
        // Some empty records in a row are too many.
        if type == 0 || body.isEmpty || body.count + padding > 16_384 { isGood = false }
    }

    /// Notes what a record says, given what was sealed.
    private mutating func note(_ inner: [UInt8], _ record: [UInt8]) {
        let end = inner.lastIndex { $0 != 0 } ?? 0
        let (type, body) = (inner.isEmpty ? 0 : inner[end], Array(inner[..<end]))
        if type == 23 { written += body } else { isGood = false }
        if type == 21, body.count == 2, body[1] == 0 { goodbyes.insert(written.count) }
        records.append(record)
    }

    private mutating func updateKeys(isAnswered: Bool) {
        guard let record = sealer?.seal(22, [24, 0, 0, 1, isAnswered ? 1 : 0]) else { return }
        records.append(record)
        sealer?.update()
    }

    private mutating func sayGoodbye() {
        isGood = false
        guard sealer == nil else { return seal(21, [1, 0]) }
        peer.sayGoodbye()
        goodbyes.insert(written.count)
        records.append(peer.takeOutput())
    }

    private mutating func renegotiate() {
        isGood = false
        peer.renegotiate()
        records.append(peer.takeOutput())
    }

    // MARK: What somebody in between may do

    private mutating func insertPlain(_ type: UInt8, _ body: [UInt8]) {
        isGood = false
        records.append([type, 3, 3, 0, UInt8(body.count)] + body)
    }

    private mutating func change(_ order: Int) {
        isGood = false
        let (first, second) = (byte(), byte())
        guard !records.isEmpty else { return }
        let (index, other) = (first % records.count, second % records.count)
        switch order {
        case 11 where !records[index].isEmpty:
            let place = (second << 8 | byte()) % records[index].count
            records[index][place] ^= 1 << UInt8(byte() & 7)
        case 12: records[index].removeLast(min(second, records[index].count))
        case 13: records.insert(records[index], at: other)
        case 14: records.swapAt(index, other)
        case 15: records.remove(at: index)
        default: break
        }
    }
}
