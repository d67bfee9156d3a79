import Base

/// Bytes that are sent at once.
public struct Piece {
    public var bytes: [UInt8]
    /// A changed message begins in them.
    public var isChanged: Bool

    public init(bytes: [UInt8], isChanged: Bool) {
        self.bytes = bytes
        self.isChanged = isChanged
    }
}

/// Changes conversations at random, the same way for the same seed.
public struct Mutator {
    private var random: Random

    /// The changes of one conversation.
    /// - Parameters:
    ///   - seed: of the whole run.
    ///   - index: of this conversation in the run.
    ///   - side: tells the sides of a run apart.
    public init(seed: UInt64, index: Int, side: UInt64) {
        var mixed = Random(seed: seed ^ (side &* 0x9E37_79B9_7F4A_7C15))
        let base = mixed.next()
        random = Random(seed: base &+ UInt64(index) &* 0xD1B5_4A32_D192_ED03)
    }

    /// A number from 0 up to, not including, `bound`.
    public mutating func below(_ bound: Int) -> Int { random.below(bound) }

    /// True once in `count` times.
    public mutating func once(in count: Int) -> Bool { random.below(count) == 0 }

    /// One of these.
    public mutating func pick<Element>(_ elements: [Element]) -> Element { elements[below(elements.count)] }

    // MARK: Conversations

    /// A conversation with one change or several.
    public mutating func change(_ steps: [Step], others: [Recording]) -> [Step] {
        var steps = steps
        var count = 1
        while count < 12, below(3) == 0 { count += 1 }
        for _ in 0..<count where !steps.isEmpty { changeOnce(&steps, others) }
        return steps
    }

    private mutating func changeOnce(_ steps: inout [Step], _ others: [Recording]) {
        let at = below(steps.count)
        switch below(20) {
        case 0: steps.remove(at: at)
        case 1: steps.insert(steps[at], at: at)
        case 2: steps.swapAt(at, below(steps.count))
        case 3: steps.insert(steps.remove(at: at), at: below(steps.count + 1))
        case 4: steps.removeSubrange(at...)
        case 5: steps = Array(steps[..<at]) + tail(of: pick(others).steps)
        case 6: steps.insert(.send(garbage()), at: at)
        case 7, 8: steps.insert(stray(others), at: at)
        case 9:
            // Everything at once, without waiting for any answer.
            let afterLogin = steps.firstIndex { if case .logIn = $0 { true } else { false } } ?? 0
            let kept = steps.prefix(afterLogin + 2)
            steps =
                kept
                + steps.dropFirst(afterLogin + 2).filter { if case .send = $0 { true } else { false } }
        default:
            let sends = steps.indices.filter { if case .send = steps[$0] { true } else { false } }
            guard !sends.isEmpty else { return }
            let index = pick(sends)
            guard case .send(let bytes) = steps[index] else { return }
            steps[index] = .send(change(bytes))
        }
    }

    private mutating func tail(of steps: [Step]) -> ArraySlice<Step> { steps[below(steps.count)...] }

    /// A message of some recording, where nobody expects it.
    private mutating func stray(_ others: [Recording]) -> Step {
        for _ in 0..<20 {
            if case .send(let bytes) = pick(pick(others).steps) { return .send(bytes) }
        }
        return .send(Bytes.sync)
    }

    // MARK: Messages

    /// The message, or now and then a changed one.
    public mutating func maybeChange(_ message: [UInt8]) -> [UInt8] {
        once(in: 4) ? change(message) : message
    }

    /// A changed message whose length is right, so that whoever reads it goes on with what follows.
    public mutating func changeInside(_ message: [UInt8]) -> [UInt8] {
        guard !message.isEmpty else { return garbage() }
        let start = lengthOffset(message) + 4
        guard message.count >= start else { return change(message) }
        var bytes = message
        if start == 5, once(in: 30) {
            bytes[0] = pick(Mutator.types)
            return bytes
        }
        changeInside(&bytes, start)
        while once(in: 4) { changeInside(&bytes, start) }
        Bytes.store(int32: bytes.count - start + 4, in: &bytes, at: start - 4)
        return bytes
    }

    private mutating func changeInside(_ bytes: inout [UInt8], _ start: Int) {
        let at = start + below(bytes.count - start + 1)
        let end = bytes.count
        switch below(12) {
        case 0 where at < end: bytes[at] ^= 1 << UInt8(below(8))
        case 1 where at < end: bytes[at] = UInt8(below(256))
        case 2 where at < end: bytes[at] = pick(Mutator.edges)
        case 3: changeNumber(&bytes)
        case 4: bytes.removeSubrange(at..<min(end, at + 1 + below(16)))
        case 5: bytes.removeSubrange(at...)
        case 6: bytes.insert(0, at: at)
        case 7: if let zero = bytes[at...].firstIndex(of: 0) { bytes.remove(at: zero) }
        case 8: bytes.insert(contentsOf: bytes[at..<min(end, at + 1 + below(32))], at: at)
        case 9: bytes.insert(contentsOf: pick(Mutator.words), at: at)
        case 10: bytes.replaceSubrange(start..<at, with: pick(Mutator.words))
        default:
            let count = 1 + (once(in: 50) ? below(9_000) : below(12))
            let byte = pick(Mutator.edges)
            bytes.insert(contentsOf: repeatElement(byte, count: count), at: at)
        }
    }

    private static let edges: [UInt8] = [0, 1, 0x7F, 0x80, 0xFF, 0x20, 0x27, 0x5C]
    /// What means something to a pooler or a server inside a message.
    private static let words = [
        "begin", "commit", "rollback", "select 1", "select error", "discard all", "deallocate all",
        "deallocate s", "drop database x", "set DateStyle to German", "listen news", "copy t from stdin",
        "copy t to stdout", ";", "/* */", "'", "s\0", "\0s\0", "\0", "S", "P", "user\0", "database\0db\0",
        "replication\0true\0", "options\0-c geqo=off\0", "client_encoding\0", "_pq_.x\0y\0",
        "SCRAM-SHA-256\0", "n,,n=,r=", "SELECT 1\0", "SFATAL\0", "C57P01\0", "I", "T", "E",
    ].map { Array($0.utf8) }

    /// A changed message.
    public mutating func change(_ message: [UInt8]) -> [UInt8] {
        guard !message.isEmpty else { return garbage() }
        var bytes = message
        let at = below(bytes.count)
        switch below(14) {
        case 0, 1: bytes[at] ^= 1 << UInt8(below(8))
        case 2: bytes[at] = UInt8(below(256))
        case 3: bytes[at] = pick(Mutator.edges)
        case 4: bytes[0] = pick(Mutator.types)
        case 5, 6: changeLength(&bytes)
        case 7: bytes.removeSubrange(at...)
        case 8: bytes.removeSubrange(at..<min(bytes.count, at + 1 + below(16)))
        case 9: bytes.insert(contentsOf: garbage(), at: at)
        case 10: bytes.insert(contentsOf: bytes[at..<min(bytes.count, at + 1 + below(64))], at: at)
        case 11: changeNumber(&bytes)
        case 12: changeBody(&bytes)
        default:
            for _ in 0...below(8) { bytes[below(bytes.count)] = UInt8(below(256)) }
        }
        return bytes
    }

    private static let types: [UInt8] = Array("QPBDECSHXFdcfpRSKZTDCEINGHWAVv123snt".utf8)

    /// Where the length of this message begins.
    private func lengthOffset(_ bytes: [UInt8]) -> Int { bytes[0] == 0 ? 0 : 1 }

    private mutating func changeLength(_ bytes: inout [UInt8]) {
        let offset = lengthOffset(bytes)
        guard bytes.count >= offset + 4 else { return }
        let length = bytes.count - offset
        let new: Int
        switch below(8) {
        case 0: new = length + 1
        case 1: new = length - 1
        case 2: new = pick([0, 1, 3, 4, 5, 8])
        case 3: new = pick([-1, Int(Int32.min), Int(Int32.max), Int(Int32.max) - 1, 0x4000_0000])
        case 4: new = length + below(100_000)
        case 5: new = below(length + 1)
        case 6: new = pick([0x1_0000, 0x10_0000, 0x100_0000, 0x1_0001, 10_001])
        default: new = Int(truncatingIfNeeded: random.next())
        }
        bytes.replaceSubrange(offset..<offset + 4, with: Bytes.int32(new))
    }

    private static let numbers = [
        0, 1, -1, -2, 255, 256, 32_767, -32_768, 65_535, Int(Int32.max), Int(Int32.min),
    ]

    /// Overwrites two or four bytes somewhere with a number that is at the edge of something.
    private mutating func changeNumber(_ bytes: inout [UInt8]) {
        let number = pick(Mutator.numbers)
        let new = once(in: 2) ? Bytes.int16(number) : Bytes.int32(number)
        guard bytes.count >= new.count + 5 else { return }
        let at = 5 + below(bytes.count - new.count - 4)
        bytes.replaceSubrange(at..<at + new.count, with: new)
    }

    /// Changes the body and sets the length right again, so that it reaches whoever reads it.
    private mutating func changeBody(_ bytes: inout [UInt8]) {
        let offset = lengthOffset(bytes)
        guard bytes.count >= offset + 4 else { return }
        var body = Array(bytes[(offset + 4)...])
        switch below(6) {
        case 0: body.removeSubrange(below(body.count + 1)...)
        case 1: body += garbage()
        case 2: body = garbage()
        case 3:
            body.insert(contentsOf: [UInt8](repeating: pick([0, 0x61, 0xFF]), count: below(9_000)), at: 0)
        case 4: body.removeAll { $0 == 0 }
        default: body.insert(0, at: below(body.count + 1))
        }
        bytes = Array(bytes[..<offset]) + Bytes.int32(body.count + 4) + body
    }

    /// What comes behind the login of some conversations, one after another.
    public mutating func bodies(of recordings: [Recording]) -> [Step] {
        var steps: [Step] = []
        for _ in 0..<below(10) { steps += pick(recordings).body }
        return steps
    }

    /// Bytes that mean nothing.
    public mutating func garbage() -> [UInt8] {
        let count = 1 + (once(in: 20) ? below(20_000) : below(40))
        let kind = below(4)
        let byte = UInt8(below(256))
        return (0..<count).map { _ in
            switch kind {
            case 0: byte
            case 1: pick(Mutator.types)
            default: UInt8(below(256))
            }
        }
    }

    /// The same bytes, cut at random places.
    public mutating func pieces(_ bytes: [UInt8]) -> [[UInt8]] {
        switch below(4) {
        case 0, 1: return [bytes]
        case 2:
            let at = below(bytes.count + 1)
            return [Array(bytes[..<at]), Array(bytes[at...])].filter { !$0.isEmpty }
        default:
            var pieces: [[UInt8]] = []
            var offset = 0
            while offset < bytes.count {
                let rest = bytes.count - offset
                let part = pieces.count < 30 ? min(rest, 1 + below(once(in: 3) ? 3 : 200)) : rest
                pieces.append(Array(bytes[offset..<offset + part]))
                offset += part
            }
            return pieces
        }
    }
}
