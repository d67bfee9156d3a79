import Base
import SharedState

/// The parameters a console session announces.
enum Welcome {
    private static let own = [
        ("server_version", ProductVersion.consoleServerVersion), ("client_encoding", "UTF8"),
        ("server_encoding", "UTF8"), ("DateStyle", "ISO"), ("TimeZone", "GMT"),
        ("standard_conforming_strings", "on"), ("is_superuser", "on"),
    ]
    private static let tracked = [
        "client_encoding", "DateStyle", "TimeZone", "standard_conforming_strings", "application_name",
    ]

    /// Ours first, then those of the client's that a pooler tracks, as PgBouncer does: the later of two
    /// values of the same name counts.
    static func parameters(_ client: [Parameter]) -> [(name: String, value: String)] {
        var result = own.map { (name: $0.0, value: $0.1) }
        for name in tracked {
            let found = client.last { ConsoleLexer.lowercased($0.name) == name.lowercased() }
            guard let found else { continue }
            result.append((name, String(decoding: found.value, as: UTF8.self)))
        }
        return result
    }
}
