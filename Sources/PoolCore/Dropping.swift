import Base
import Config
import SharedState

/// DROP DATABASE through the pooler: PostgreSQL refuses it while anybody is connected, and that is us.
extension PoolCore {
    /// Closes the free servers of a database that a client's query is about to drop, here and in the other
    /// workers. PostgreSQL itself waits some seconds for the last of them to go.
    @inline(never)
    mutating func noteDrop(_ text: RawSpan) {
        guard let name = droppedDatabase(text) else { return }
        let start = output.count
        output.append(name.rawSpan)
        actions.append(.announceDrop(offset: start, count: output.count - start))
        closeFreeServers(ofDropped: name)
    }

    /// A client of this worker or of another is dropping this database.
    mutating func closeFreeServers(ofDropped name: [UInt8]) {
        let text = String(decoding: name, as: UTF8.self)
        for slot in 0..<servers.slotLimit {
            guard let server = servers.handle(at: slot), !servers[server].isMessenger else { continue }
            let database = databases[Int(pools[servers[server].pool].database)]
            guard database.definition.serverDatabaseName == text else { continue }
            switch servers[server].state {
            case .idle: closeServer(server, reason: "its database is being dropped")
            case .tested, .beingCancelled, .lending, .lookingUp: servers[server].needsClose = true
            case .connecting, .startup, .linked, .cancelling: break
            }
        }
    }
}

/// The name in `DROP DATABASE [IF EXISTS] name`, or `nil` for any other query.
func droppedDatabase(_ text: RawSpan) -> [UInt8]? {
    var words = QueryWords(text)
    guard words.next() == Array("drop".utf8), words.next() == Array("database".utf8) else { return nil }
    guard let first = words.next() else { return nil }
    guard first == Array("if".utf8) else { return first }
    guard words.next() == Array("exists".utf8) else { return nil }
    return words.next()
}

/// The first words of a query, in lower case unless quoted.
private struct QueryWords: ~Escapable {
    private let text: RawSpan
    private var offset = 0

    @_lifetime(copy text)
    init(_ text: RawSpan) { self.text = text }

    private func byte() -> UInt8 {
        offset < text.byteCount ? unsafe text.unsafeLoad(fromByteOffset: offset, as: UInt8.self) : 0
    }

    /// The next word; `nil` at the end and at anything that is none, such as a comment.
    mutating func next() -> [UInt8]? {
        while [0x20, 0x09, 0x0A, 0x0D].contains(byte()) { offset += 1 }
        var word: [UInt8] = []
        guard byte() == UInt8(ascii: "\"") else {
            while isPartOfWord(byte()) {
                let isUpper = (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte())
                word.append(isUpper ? byte() | 0x20 : byte())
                offset += 1
            }
            return word.isEmpty ? nil : word
        }
        offset += 1
        while byte() != 0 {
            if byte() == UInt8(ascii: "\"") {
                offset += 1
                guard byte() == UInt8(ascii: "\"") else { return word }
            }
            word.append(byte())
            offset += 1
        }
        return nil
    }

    private func isPartOfWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "$"), 0x80...:
            true
        default: false
        }
    }
}
