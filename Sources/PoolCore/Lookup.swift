import Auth
import Base
import Wire

/// Who was found.
struct LookupUser {
    /// As whom the login goes on; not always as whom it began.
    var name: [UInt8]
    var secret: StoredSecret
    /// When, on the clock that all workers share.
    var foundAt: UInt64 = 0
}

/// What `auth_query` has told.
enum LookupResult {
    case found(LookupUser)
    case nobody
}

/// The answer to `auth_query` as far as it has come.
struct Lookup {
    /// The longest message that may be a part of it.
    static let messageLimit: UInt32 = 65_536

    /// What a message leads to.
    enum Step: Equatable {
        case goOn
        /// It is no answer to what was asked.
        case wrong(String)
        /// It was the last; the transaction status.
        case done(status: UInt8)
    }

    /// What is awaited.
    private enum Stage {
        case parse, bind, description, rows, ready
    }

    private var stage = Stage.parse
    /// What the last row said; `nil` while there is none.
    private(set) var user: LookupUser?
    /// PostgreSQL's error, if it refused.
    private(set) var error: String?

    /// The next message, but for those that may come at any time.
    mutating func receive(_ type: UInt8, _ body: RawSpan) -> Step {
        switch (stage, type) {
        case (.parse, BackendMessage.parseComplete): stage = .bind
        case (.bind, BackendMessage.bindComplete): stage = .description
        case (.description, BackendMessage.rowDescription):
            var reader = MessageReader(body)
            guard (try? reader.readInt16()) == 2 else { return .wrong("gave other than two columns") }
            stage = .rows
        case (.description, BackendMessage.noData):
            return .wrong("gave no columns: auth_query is no query")
        case (.rows, BackendMessage.dataRow): return row(body)
        case (.rows, BackendMessage.commandComplete): stage = .ready
        case (_, BackendMessage.errorResponse):
            guard let fields = try? ErrorFields(body) else { return .wrong("sent a broken error") }
            error = String(decodingBytes: fields.message)
            stage = .ready
        case (.ready, BackendMessage.readyForQuery):
            guard body.byteCount == 1 else { return .wrong("sent a broken ReadyForQuery") }
            return .done(status: unsafe body.unsafeLoad(as: UInt8.self))
        default: return .wrong("sent what was not asked for: type \(type)")
        }
        return .goOn
    }

    private mutating func row(_ body: RawSpan) -> Step {
        var reader = MessageReader(body)
        do throws(WireError) {
            guard try reader.readInt16() == 2 else { return .wrong("gave other than two columns") }
            let name = try Lookup.value(&reader)
            let secret = try Lookup.value(&reader)
            // A function that returns one record has this one for nobody.
            guard let name else {
                user = nil
                return .goOn
            }
            guard !name.isEmpty, name.count < 128 else { return .wrong("gave no name that a user can have") }
            // No secret is one that nobody can prove to know.
            user = LookupUser(name: name, secret: secret.map { StoredSecret($0) } ?? .none)
            return .goOn
        } catch {
            return .wrong("sent a broken row")
        }
    }

    private static func value(_ reader: inout MessageReader) throws(WireError) -> [UInt8]? {
        let length = try reader.readInt32()
        guard length >= 0 else { return nil }
        return [UInt8](copying: try reader.readBytes(Int(length)))
    }
}
