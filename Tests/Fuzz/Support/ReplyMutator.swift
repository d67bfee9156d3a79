/// Changes what a server sends, at a few places of its conversation.
public struct ReplyMutator {
    /// What is to be done with some replies.
    public struct Outcome {
        /// Send these.
        public var pieces: [Piece] = []
        /// Then close the connection.
        public var closes = false
    }

    private var mutator: Mutator
    /// Messages sent so far, and the ones that are changed.
    private var count = 0
    private var places: Set<Int> = []
    /// Every so many messages one is changed, instead of those at `places`.
    private let interval: Int?
    private var delayed: [ArraySlice<UInt8>] = []
    /// The server has stopped to say anything.
    private var isSilent = false
    /// Messages changed, left out, doubled, delayed or made up so far.
    public private(set) var changeCount = 0
    /// Whether something has been changed.
    public var hasChanged: Bool { changeCount > 0 }

    /// Whether no more will be changed.
    public var isOver: Bool { isSilent || places.allSatisfy { $0 < count } }

    /// The changes of one conversation: up to a handful, in the login or behind it.
    public init(mutator: Mutator) {
        var mutator = mutator
        // A login is 13 messages or more.
        var place = mutator.once(in: 3) ? mutator.below(15) : 13 + mutator.below(30)
        places.insert(place)
        while places.count < 8, mutator.below(5) < 2 {
            place += 1 + mutator.below(10)
            places.insert(place)
        }
        self.mutator = mutator
        interval = nil
    }

    /// Changes all along the conversation, about one in `interval` messages; most are such that the
    /// conversation can go on.
    public init(mutator: Mutator, interval: Int) {
        self.mutator = mutator
        self.interval = interval
    }

    /// Takes the replies a good server would give now.
    public mutating func change(_ replies: MessageList) -> Outcome {
        var outcome = Outcome()
        var bytes: [UInt8] = []
        var marks: [Int] = []
        bytes.reserveCapacity(replies.bytes.count + 64)
        for index in 0..<replies.count where !outcome.closes && !isSilent {
            let reply = replies[index]
            let isChanged = isPlace(reply)
            count += 1
            let after = delayed
            delayed = []
            if isChanged {
                changeCount += 1
                marks.append(bytes.count)
                change(reply, &bytes, &outcome.closes)
            } else {
                bytes += reply
            }
            for message in after { bytes += message }
        }
        guard !bytes.isEmpty else { return outcome }
        if interval != nil, mutator.once(in: 2) {
            outcome.pieces = cut(bytes, at: marks)
            return outcome
        }
        var offset = 0
        for piece in mutator.pieces(bytes) {
            let range = offset..<offset + piece.count
            outcome.pieces.append(Piece(bytes: piece, isChanged: marks.contains { range.contains($0) }))
            offset = range.upperBound
        }
        return outcome
    }

    /// Pieces of which each but perhaps the first begins with a change.
    private func cut(_ bytes: [UInt8], at marks: [Int]) -> [Piece] {
        var pieces: [Piece] = []
        var start = 0
        func append(upTo end: Int) {
            guard end > start else { return }
            pieces.append(Piece(bytes: Array(bytes[start..<end]), isChanged: marks.contains(start)))
            start = end
        }
        for mark in marks { append(upTo: mark) }
        append(upTo: bytes.count)
        return pieces
    }

    private mutating func isPlace(_ reply: ArraySlice<UInt8>) -> Bool {
        guard let interval else { return places.contains(count) }
        // Hardly any changed ReadyForQuery is good enough for the conversation to go on.
        if reply.first == UInt8(ascii: "Z"), !mutator.once(in: 4) { return false }
        // A login that fails ends everything.
        return mutator.once(in: count < 13 ? 5 * interval : interval)
    }

    /// Messages a server sends that was asked for nothing.
    public mutating func unasked() -> Piece {
        changeCount += 1
        return Piece(bytes: stray(), isChanged: true)
    }

    /// True once in `count` times.
    public mutating func once(in count: Int) -> Bool { mutator.once(in: count) }

    private mutating func change(_ reply: ArraySlice<UInt8>, _ bytes: inout [UInt8], _ closes: inout Bool) {
        if interval != nil, !mutator.once(in: 4) {
            bytes += mutator.changeInside(Array(reply))
            return
        }
        switch mutator.below(20) {
        case 0: break
        case 1: bytes += reply + reply
        case 2, 3: delayed.append(reply)
        case 4: bytes += mutator.garbage()
        case 5, 6: bytes += stray() + reply
        case 7, 8: bytes += reply + stray()
        case 9: bytes += stray()
        case 10:
            bytes += reply.prefix(mutator.below(reply.count + 1))
            closes = true
        case 11: closes = true
        case 12: isSilent = mutator.once(in: 3)
        default: bytes += mutator.change(Array(reply))
        }
    }

    private mutating func stray() -> [UInt8] {
        let message = mutator.pick(ReplyMutator.all)
        return mutator.once(in: 4) ? mutator.change(message) : message
    }

    /// One of each message a server may send, and some it may not.
    private static let all: [[UInt8]] = {
        var all = [0, 3, 5, 7, 9, 10, 11, 12, 13, 99].map { Bytes.authentication($0, [1, 2, 3, 4]) }
        all += [
            Bytes.authentication(10, Bytes.text("SCRAM-SHA-256") + [0]),
            Bytes.authentication(11, Array("r=AAAA,s=AAAA,i=1".utf8)),
            Bytes.authentication(12, Array("v=AAAA".utf8)),
            Bytes.authentication(11, Array("r=AAAA,s=AAAA,i=9999999999999999999".utf8)),
        ]
        all += ["I", "T", "E", "X"].map { Bytes.ready(UInt8(ascii: $0)) }
        all += ["SELECT 1", "DISCARD ALL", "DEALLOCATE ALL", "COPY 4", "BEGIN", "COMMIT", ""]
            .map { Bytes.complete($0) }
        all += [
            "1", "2", "3", "n", "s", "I", "c", "Z", "K", "R", "S", "E", "N", "A", "v", "C", "T", "D", "?",
        ]
        .map { Bytes.message($0) }
        all += [
            Bytes.parameter("client_encoding", "LATIN1"), Bytes.parameter("DateStyle", "German, DMY"),
            Bytes.parameter("TimeZone", String(repeating: "x", count: 3_000)),
            Bytes.parameter("novelty", "1"), Bytes.parameter("", ""),
            Bytes.message("S", Array("no end".utf8)), Bytes.message("K", Bytes.int32(5) + [1, 2, 3, 4]),
            Bytes.message("K", Bytes.int32(5) + [UInt8](repeating: 7, count: 300)),
            Bytes.error("42601", "an error nobody expects"),
            Bytes.error("57P01", "terminating connection", severity: "FATAL"),
            Bytes.message("E", Array("Sno end".utf8)), Bytes.notice("unasked"), Bytes.notification("news"),
            Bytes.description, Bytes.row([0x31]), Bytes.message("t", Bytes.int16(1) + Bytes.int32(25)),
            Bytes.message("G", [0, 0, 0]), Bytes.message("H", [0, 0, 0]), Bytes.message("W", [0, 0, 0]),
            Bytes.message("d", [UInt8](repeating: 0x64, count: 70_000)), Bytes.message("d", [1, 2]),
            Bytes.message("V", Bytes.int32(-1)), Bytes.message("v", Bytes.int32(0x30000) + Bytes.int32(0)),
            [UInt8(ascii: "N")], [UInt8(ascii: "S")],
        ]
        return all
    }()
}
