/// Every file that a configuration consists of, with its bytes.
///
/// One process reads files; it and all others parse the same bytes and so come to the same configuration.
public struct ConfigurationImage: Equatable, Sendable {
    /// A file and what was in it when it was read.
    public struct File: Equatable, Sendable {
        /// The path, as the configuration names it.
        public let path: String
        /// Its bytes.
        public let bytes: [UInt8]

        /// A file from its parts.
        public init(path: String, bytes: [UInt8]) {
            self.path = path
            self.bytes = bytes
        }

        /// A folder, with the names in it.
        public init(folder: String, names: [String]) {
            self.init(path: folder + "/", bytes: Array(names.joined(separator: "\n").utf8))
        }
    }

    /// Why bytes are no image.
    public enum DecodingError: Error, Equatable {
        /// Not an image, or one of another version.
        case unknownFormat
        /// The bytes end early, go on too long, or hold what no image holds.
        case damaged
    }

    /// The file everything begins with.
    public var path: String
    /// All files that could be read: the first one, those it includes, the user list, keys and certificates,
    /// and rules with all that they include. A folder is a file with a slash at its end: the names in it, one
    /// a line.
    public var files: [File]
    /// Whether listening sockets were handed to us by a service manager.
    public var listenersArePassed: Bool
    /// Settings of `[pgbouncer]` that SET has changed since the files were read, each once.
    public private(set) var overrides: [Override] = []

    /// A setting and the value that holds instead of the one in the files.
    public struct Override: Equatable, Sendable {
        /// The setting.
        public let key: String
        /// Its value, as a file would have it.
        public let value: String
    }

    /// The path that stands for environment variables, when there is no file.
    public static let environmentPath = "environment"

    /// An image from its parts.
    public init(path: String, files: [File], listenersArePassed: Bool = false) {
        self.path = path
        self.files = files
        self.listenersArePassed = listenersArePassed
    }

    /// Reads a configuration file and all that belongs to it.
    ///
    /// Files that cannot be read are left out; `Configuration.parse` reports them.
    /// - Parameter read: gives the bytes of a file, `nil` when it cannot be read. Paths are as written, so
    ///   relative ones are relative to the process's directory.
    public init(path: String, listenersArePassed: Bool = false, read: (String) -> [UInt8]?) {
        self.init(path: path, files: [], listenersArePassed: listenersArePassed)
        var image = self
        func recorded(_ path: String) -> [UInt8]? {
            if let known = image.bytes(of: path) { return known }
            guard let bytes = read(path) else { return nil }
            image.files.append(File(path: path, bytes: bytes))
            return bytes
        }
        var parser = ConfigurationParser(path: path)
        parser.parse { recorded($0) }
        let settings = parser.configuration.settings
        for path in [settings.authFile, settings.authHBAFile, settings.authIdentFile] {
            if let path { _ = recorded(path) }
        }
        parser.loadTLS { recorded($0) }
        self = image
    }

    /// Has a setting of `[pgbouncer]` be something else than the files say.
    public mutating func override(_ key: String, with value: String) {
        overrides.removeAll { $0.key == key }
        overrides.append(Override(key: key, value: value))
    }

    /// The bytes of a file; `nil` when it was not read.
    public func bytes(of path: String) -> [UInt8]? {
        files.first { $0.path.utf8.elementsEqual(path.utf8) }?.bytes
    }

    /// The names in a folder; `nil` when it was not read.
    public func names(in folder: String) -> [String]? {
        bytes(of: folder + "/").map { bytes in
            bytes.split(separator: UInt8(ascii: "\n")).map { String(decoding: $0, as: UTF8.self) }
        }
    }

    private static let magic = Array("pgsluice image 2".utf8)

    /// The image as bytes for another process.
    public func encode() -> [UInt8] {
        var bytes = ConfigurationImage.magic
        func append(_ more: some Collection<UInt8>) {
            for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: more.count >> (8 * shift))) }
            bytes += more
        }
        bytes.append(listenersArePassed ? 1 : 0)
        append(path.utf8)
        append(String(overrides.count).utf8)
        for override in overrides {
            append(override.key.utf8)
            append(override.value.utf8)
        }
        for file in files {
            append(file.path.utf8)
            append(file.bytes)
        }
        return bytes
    }

    /// The image that `encode` made bytes of.
    public init(decoding bytes: [UInt8]) throws(DecodingError) {
        guard bytes.starts(with: ConfigurationImage.magic) else { throw .unknownFormat }
        var rest = bytes.dropFirst(ConfigurationImage.magic.count)
        func takeRun() throws(DecodingError) -> ArraySlice<UInt8> {
            guard rest.count >= 8 else { throw .damaged }
            let count = rest.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            rest = rest.dropFirst(8)
            guard count <= UInt64(rest.count) else { throw .damaged }
            defer { rest = rest.dropFirst(Int(count)) }
            return rest.prefix(Int(count))
        }
        func takeText() throws(DecodingError) -> String {
            guard let text = String(validating: try takeRun(), as: UTF8.self) else { throw .damaged }
            return text
        }
        guard let flag = rest.popFirst(), flag <= 1 else { throw .damaged }
        self.init(path: try takeText(), files: [], listenersArePassed: flag == 1)
        guard let count = Int(try takeText()), count >= 0 else { throw .damaged }
        for _ in 0..<count { overrides.append(Override(key: try takeText(), value: try takeText())) }
        while !rest.isEmpty {
            let path = try takeText()
            files.append(File(path: path, bytes: Array(try takeRun())))
        }
    }
}
