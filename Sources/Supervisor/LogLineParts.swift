import SharedState

/// A line about one connection, taken apart: `C-12: database/user@address:port message`.
struct LogLineParts {
    /// `C-12` or `S-12`.
    let connection: ArraySlice<UInt8>
    let database: ArraySlice<UInt8>
    let user: ArraySlice<UInt8>
    /// With the port.
    let address: ArraySlice<UInt8>
    let message: ArraySlice<UInt8>

    /// `nil` when the record speaks of no connection.
    init?(_ record: LogRecord) {
        let text = record.text
        guard record.subject != .none, let colon = text.firstIndex(of: UInt8(ascii: ":")) else { return nil }
        let databaseStart = colon + 2
        let userStart = databaseStart + Int(record.subject.databaseLength) + 1
        let addressStart = userStart + Int(record.subject.userLength) + 1
        // A line that is too long has been cut.
        guard addressStart <= text.count, let end = text[addressStart...].firstIndex(of: UInt8(ascii: " "))
        else { return nil }
        connection = text[..<colon]
        database = text[databaseStart..<(userStart - 1)]
        user = text[userStart..<(addressStart - 1)]
        address = text[addressStart..<end]
        message = text[(end + 1)...]
    }

    /// Why and at what age the connection ended, when the line says that: `closing because: … (age=5s)`.
    var end: (reason: ArraySlice<UInt8>, ageSeconds: Int)? {
        let (head, middle) = (Array("closing because: ".utf8), Array(" (age=".utf8))
        guard message.starts(with: head), message.suffix(2).elementsEqual("s)".utf8),
            let bracket = message.lastIndex(of: UInt8(ascii: "(")), bracket > message.startIndex,
            message[(bracket - 1)...].starts(with: middle), bracket - 1 >= message.startIndex + head.count,
            let age = Int(String(decoding: message[(bracket + 5)...].dropLast(2), as: UTF8.self))
        else { return nil }
        return (message[(message.startIndex + head.count)..<(bracket - 1)], age)
    }
}
