import Testing

@testable import Config

/// Parses `text` as the main file; `files` are further ones.
func parse(_ text: String, files: [String: String] = [:], listenersArePassed: Bool = false)
    -> ParsedConfiguration
{
    let image = ConfigurationImage(path: "test.ini", listenersArePassed: listenersArePassed) { path in
        path == "test.ini" ? Array(text.utf8) : files[path].map { Array($0.utf8) }
    }
    return Configuration.parse(image)
}

/// The configuration in `text`, which must have no errors.
func configuration(_ text: String, files: [String: String] = [:]) throws -> Configuration {
    let parsed = parse(text, files: files)
    #expect(parsed.errors.isEmpty, "\(parsed.errors)")
    return try #require(parsed.configuration)
}

/// Errors and warnings in words. The warning that every configuration without `server_tls_sslmode` has is
/// left out.
func told(_ text: String, files: [String: String] = [:]) -> [String] {
    parse(text, files: files).diagnostics.map(\.description).filter {
        !$0.contains("server_tls_sslmode = prefer") && !$0.contains("without auth_file")
    }
}

extension Optional {
    /// The value, which must be there. `#require` cannot hold another macro or `try` in some places.
    func unwrapped() throws -> Wrapped { try #require(self) }
}
