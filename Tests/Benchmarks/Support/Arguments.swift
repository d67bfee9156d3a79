/// `--name value` pairs of a command line. An unknown name or a value that does not fit ends the program.
public struct Arguments {
    private var values: [String: String] = [:]

    /// Takes the arguments apart.
    /// - Parameters:
    ///   - arguments: what follows the program's name.
    ///   - known: every name, without dashes, with what it means, for the help text.
    public init(_ arguments: [String], known: [(name: String, meaning: String)]) {
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            guard argument.hasPrefix("--"), known.contains(where: { "--" + $0.name == argument }) else {
                let help = known.map { "  --\($0.name) \($0.meaning)" }.joined(separator: "\n")
                stop("unknown argument '\(argument)'; known are:\n\(help)")
            }
            guard let value = rest.popFirst() else { stop("\(argument) needs a value") }
            values[String(argument.dropFirst(2))] = value
        }
    }

    /// The value of an option, or what it is when not given.
    public func text(_ name: String, default value: String) -> String { values[name] ?? value }

    /// The value of an option that is a whole number inside `range`.
    public func number(_ name: String, default value: Int, in range: ClosedRange<Int>) -> Int {
        guard let text = values[name] else { return value }
        guard let number = Int(text), range.contains(number) else {
            stop("--\(name) must be a number from \(range.lowerBound) to \(range.upperBound), not '\(text)'")
        }
        return number
    }

    /// The value of an option that is a time in seconds, in nanoseconds.
    public func nanoseconds(_ name: String, default seconds: Double) -> UInt64 {
        guard let text = values[name] else { return UInt64(seconds * 1e9) }
        guard let number = Double(text), number >= 0, number < 1e6 else {
            stop("--\(name) must be a number of seconds, not '\(text)'")
        }
        return UInt64(number * 1e9)
    }
}
