/// Something to tell about a configuration: where it is and what is wrong.
public struct Diagnostic: Equatable, Sendable, CustomStringConvertible {
    /// Whether the configuration can be used all the same.
    public enum Severity: Sendable {
        case warning, error
    }

    /// Whether the configuration can be used all the same.
    public let severity: Severity
    /// The file, as its path was written.
    public let file: String
    /// The line, from 1; 0 when the whole file is meant.
    public let line: Int
    /// What is wrong and what to do about it, without file and line.
    public let message: String

    /// A diagnostic from its parts.
    public init(_ severity: Severity, file: String, line: Int, _ message: String) {
        self.severity = severity
        self.file = file
        self.line = line
        self.message = message
    }

    /// `file:line: message`.
    public var description: String { line > 0 ? "\(file):\(line): \(message)" : "\(file): \(message)" }
}
