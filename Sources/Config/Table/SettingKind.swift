/// How the text of a setting is read.
public enum SettingKind: Equatable, Sendable {
    /// Anything, to the end of the line.
    case text
    /// A whole number: decimal, `0x` hexadecimal or `0` octal.
    case integer(ClosedRange<Int>)
    /// A whole number, or the word `auto`.
    case integerOrAuto(ClosedRange<Int>)
    /// A number (0 is false) or one of yes, no, on, off, true, false.
    case boolean
    /// A time: seconds, fractions allowed, 0 or more, rounded to microseconds.
    case seconds
    /// One of some words, in any case.
    case choice([String])
    /// Words separated by commas.
    case list
    /// Permission bits in octal.
    case mode

    /// Whether a value may be followed by ` ; comment` or ` # comment`.
    ///
    /// Text cannot: passwords and queries contain such characters.
    var acceptsTrailingComment: Bool {
        switch self {
        case .text, .list: false
        case .integer, .integerOrAuto, .boolean, .seconds, .choice, .mode: true
        }
    }

    /// The kind in one word or two, for documents.
    public var name: String {
        switch self {
        case .text: "text"
        case .integer: "integer"
        case .integerOrAuto: "integer or auto"
        case .boolean: "boolean"
        case .seconds: "time"
        case .choice: "choice"
        case .list: "list"
        case .mode: "octal mode"
        }
    }
}

/// Why a text is no value of its setting; reads on after the setting's name.
public struct SettingError: Error, Equatable {
    /// For example: `is "12x", which is not a whole number`.
    public let reason: String
}
