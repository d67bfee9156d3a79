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

/// What is found out about a login.
enum LookupPurpose: Hashable {
    /// Whether there is such a user, and its secret: `auth_query`.
    case secret
    /// The groups it is in.
    case groups

    /// The columns of the answer.
    var columnCount: Int16 {
        switch self {
        case .secret: 2
        case .groups: 1
        }
    }

    /// What the query is called in the log.
    var name: String {
        switch self {
        case .secret: "auth_query"
        case .groups: "the query of groups"
        }
    }
}

/// What has been found out.
enum LookupResult {
    case found(LookupUser)
    case nobody
    /// The names of all roles that it is a member of, itself included; none when there is no such role.
    case groups(Set<[UInt8]>)
}

/// The answer to a query as far as it has come.
struct Lookup {
    /// The longest message that may be a part of it.
    static let messageLimit: UInt32 = 65_536
    /// The most groups that anybody may be in.
    static let groupLimit = 16_384

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

    /// What was asked.
    let purpose: LookupPurpose
    /// The last epoch that was known when it was asked: a configuration that came later may ask otherwise.
    let epoch: UInt64
    private var stage = Stage.parse
    /// What the last row said; `nil` while there is none.
    private var user: LookupUser?
    /// What all rows have said.
    private var groups: Set<[UInt8]> = []
    /// PostgreSQL's error, if it refused.
    private(set) var error: String?

    init(_ purpose: LookupPurpose, epoch: UInt64) {
        self.purpose = purpose
        self.epoch = epoch
    }

    /// What it says, when it is complete.
    var result: LookupResult {
        switch purpose {
        case .secret: user.map { .found($0) } ?? .nobody
        case .groups: .groups(groups)
        }
    }

    /// The next message, but for those that may come at any time.
    mutating func receive(_ type: UInt8, _ body: RawSpan) -> Step {
        switch (stage, type) {
        case (.parse, BackendMessage.parseComplete): stage = .bind
        case (.bind, BackendMessage.bindComplete): stage = .description
        case (.description, BackendMessage.rowDescription):
            var reader = MessageReader(body)
            guard (try? reader.readInt16()) == purpose.columnCount else { return wrongColumns }
            stage = .rows
        case (.description, BackendMessage.noData):
            return .wrong("gave no columns: \(purpose.name) is no query")
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

    private var wrongColumns: Step {
        .wrong(purpose == .secret ? "gave other than two columns" : "gave other than one column")
    }

    private mutating func row(_ body: RawSpan) -> Step {
        var reader = MessageReader(body)
        do throws(WireError) {
            guard try reader.readInt16() == purpose.columnCount else { return wrongColumns }
            switch purpose {
            case .secret: return secret(try Lookup.value(&reader), try Lookup.value(&reader))
            case .groups: return group(try Lookup.value(&reader))
            }
        } catch {
            return .wrong("sent a broken row")
        }
    }

    private mutating func secret(_ name: [UInt8]?, _ secret: [UInt8]?) -> Step {
        // A function that returns one record has this one for nobody.
        guard let name else {
            user = nil
            return .goOn
        }
        guard !name.isEmpty, name.count < 128 else { return .wrong("gave no name that a user can have") }
        // No secret is one that nobody can prove to know.
        user = LookupUser(name: name, secret: secret.map { StoredSecret($0) } ?? .none)
        return .goOn
    }

    private mutating func group(_ name: [UInt8]?) -> Step {
        guard let name, !name.isEmpty, name.count < 128 else {
            return .wrong("gave no name that a group can have")
        }
        groups.insert(name)
        return groups.count <= Lookup.groupLimit ? .goOn : .wrong("gave too many groups")
    }

    private static func value(_ reader: inout MessageReader) throws(WireError) -> [UInt8]? {
        let length = try reader.readInt32()
        guard length >= 0 else { return nil }
        return [UInt8](copying: try reader.readBytes(Int(length)))
    }
}
