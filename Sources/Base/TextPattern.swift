/// A regular expression that somebody outside has compiled.
public struct TextPattern: Sendable {
    /// What an expression found.
    public struct Match: Equatable, Sendable {
        /// What its first group stands for; `nil` when it has none.
        public let group: [UInt8]?

        /// A match from its part.
        public init(group: [UInt8]?) { self.group = group }
    }

    /// Why a text is no regular expression.
    public struct Malformed: Error, Equatable {
        /// In the words of who compiles.
        public let reason: String

        /// A reason in words.
        public init(reason: String) { self.reason = reason }
    }

    private let find: @Sendable ([UInt8]) -> Match?

    /// A pattern that looks for itself with `find`, anywhere in a text.
    public init(find: @escaping @Sendable ([UInt8]) -> Match?) { self.find = find }

    /// What it finds in a text; `nil` when it is not there.
    public func match(_ text: [UInt8]) -> Match? { find(text) }
}
