/// What came of reading a configuration: applied whole, or not at all.
public struct ParsedConfiguration: Sendable {
    /// The configuration; `nil` when there was an error.
    public let configuration: Configuration?
    /// Errors and warnings in the order in which they were found.
    public let diagnostics: [Diagnostic]

    /// What keeps the configuration from being used.
    public var errors: [Diagnostic] { diagnostics.filter { $0.severity == .error } }
    /// What should be said, once, when the configuration is used.
    public var warnings: [Diagnostic] { diagnostics.filter { $0.severity == .warning } }
}

extension Configuration {
    /// Reads a configuration from the files in `image` and checks it. Touches nothing outside the image.
    public static func parse(_ image: ConfigurationImage) -> ParsedConfiguration {
        var parser = ConfigurationParser(path: image.path)
        parser.parse { image.bytes(of: $0) }
        parser.apply(image.overrides)
        parser.nameConfigurationFile()
        parser.loadTLS { image.bytes(of: $0) }
        var validation = ConfigurationValidation(parser: parser)
        validation.check(listenersArePassed: image.listenersArePassed) { image.bytes(of: $0) != nil }
        let diagnostics = validation.diagnostics
        let isUsable = !diagnostics.contains { $0.severity == .error }
        return ParsedConfiguration(
            configuration: isUsable ? validation.configuration : nil, diagnostics: diagnostics)
    }
}
