/// What is to be checked.
public struct ValidationRequest: Equatable, Sendable {
    /// Where a configuration is read from.
    public enum Source: Equatable, Sendable {
        /// An ini file and what it includes and names.
        case file(String)
        /// The environment: DATABASE_URL and settings in capitals.
        case environment
    }

    /// Where the configuration is.
    public var source: Source
    /// Whether a service manager has handed over listening sockets, so that the configuration need name
    /// none.
    public var listenersArePassed: Bool

    /// A request from its parts.
    public init(source: Source, listenersArePassed: Bool) {
        self.source = source
        self.listenersArePassed = listenersArePassed
    }

    /// In the words of the log.
    public var description: String {
        switch source {
        case .file(let path): path
        case .environment: "the environment"
        }
    }
}

/// What checking a whole configuration came to. Goes from the child that checked to the supervisor.
public struct ValidationOutcome: Equatable, Sendable {
    /// Something to say to the operator.
    public struct Line: Equatable, Sendable {
        /// Whether the configuration is refused because of it.
        public let isError: Bool
        /// File, line and reason.
        public let text: String

        /// A line from its parts.
        public init(isError: Bool, text: String) {
            self.isError = isError
            self.text = text
        }
    }

    /// The configuration image, complete and checked; `nil` when it is refused.
    public var image: [UInt8]?
    /// All that there is to say, in the order of the files.
    public var lines: [Line]

    /// An outcome from its parts.
    public init(image: [UInt8]?, lines: [Line]) {
        self.image = image
        self.lines = lines
    }

    /// A refusal for one reason.
    public init(failure: String) { self.init(image: nil, lines: [Line(isError: true, text: failure)]) }

    /// The bytes that travel between the processes, numbers as this machine has them.
    public func encoded() -> [UInt8] {
        var bytes: [UInt8] = [image == nil ? 0 : 1]
        ValidationOutcome.put(lines.count, &bytes)
        for line in lines {
            let text = Array(line.text.utf8)
            bytes.append(line.isError ? 1 : 0)
            ValidationOutcome.put(text.count, &bytes)
            bytes += text
        }
        return bytes + (image ?? [])
    }

    /// The outcome in these bytes, or `nil` when they are cut off.
    public init?(_ bytes: [UInt8]) {
        var rest = bytes[...]
        guard let kind = rest.popFirst(), let count = ValidationOutcome.take(&rest) else { return nil }
        var lines: [Line] = []
        for _ in 0..<count {
            guard let isError = rest.popFirst(), let length = ValidationOutcome.take(&rest),
                rest.count >= length
            else { return nil }
            lines.append(
                Line(isError: isError == 1, text: String(decoding: rest.prefix(length), as: UTF8.self)))
            rest = rest.dropFirst(length)
        }
        self.init(image: kind == 1 ? Array(rest) : nil, lines: lines)
    }

    private static func put(_ number: Int, _ bytes: inout [UInt8]) {
        for shift in stride(from: 0, to: 32, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: number >> shift))
        }
    }

    private static func take(_ rest: inout ArraySlice<UInt8>) -> Int? {
        guard rest.count >= 4 else { return nil }
        let number = rest.prefix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
        rest = rest.dropFirst(4)
        return number
    }
}

/// Reads and checks a whole configuration. Runs in a child of the supervisor, so it may take memory and
/// time and even crash. The executable hands this to the supervisor.
public typealias ValidatorEntry = (ValidationRequest) -> ValidationOutcome
