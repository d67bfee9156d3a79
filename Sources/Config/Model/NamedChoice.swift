/// An enumeration whose values are words in the configuration file.
///
/// The raw values are the words, in lower case, in the order in which documents list them.
public protocol NamedChoice: RawRepresentable<String>, CaseIterable, Equatable, Sendable {}

extension NamedChoice {
    /// All words, in declaration order.
    static var words: [String] { allCases.map(\.rawValue) }
}
