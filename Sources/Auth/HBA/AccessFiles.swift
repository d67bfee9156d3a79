public import Base

/// Where the bytes of rules come from, and what compiles the expressions in them.
public struct AccessFiles {
    /// The bytes of a file; `nil` when it cannot be read.
    let read: (String) -> [UInt8]?
    /// The names in a folder; `nil` when it cannot be read.
    let list: (String) -> [String]?
    /// Compiles a regular expression.
    let compile: (String) throws(TextPattern.Malformed) -> TextPattern

    /// Files from their parts.
    public init(
        read: @escaping (String) -> [UInt8]?, list: @escaping (String) -> [String]?,
        compile: @escaping (String) throws(TextPattern.Malformed) -> TextPattern
    ) {
        self.read = read
        self.list = list
        self.compile = compile
    }

    /// The path of a file that another one names.
    static func path(_ name: String, namedIn file: String) -> String {
        guard !name.hasPrefix("/"), let slash = file.lastIndex(of: "/") else { return name }
        return String(file[...slash]) + name
    }
}

/// Something to tell about a rules file. Secrets are not in it.
public struct AccessDiagnostic: Equatable, Sendable, CustomStringConvertible {
    /// The file, as its path was written.
    public let file: String
    /// The line, from 1.
    public let line: Int
    /// What is the matter.
    public let text: String

    /// `file:line: text`.
    public var description: String { "\(file):\(line): \(text)" }
}

/// Why a line is left out.
struct AccessLineError: Error {
    let reason: String

    init(_ reason: String) { self.reason = reason }
}

/// Reads the lines of a file and of those it includes, in order.
struct AccessFileReader {
    private static let depthLimit = 10
    private static let fileLimit = 1000

    let files: AccessFiles
    /// What there is to say so far.
    var diagnostics: [AccessDiagnostic] = []
    private var fileCount = 0

    init(_ files: AccessFiles) { self.files = files }

    /// Calls `body` with each line that says something, and with the file it stands in. What it throws is
    /// said, and the line left out.
    mutating func read(
        _ path: String, depth: Int = 0,
        _ body: (inout AccessFileReader, String, AccessLine) throws(AccessLineError) -> Void
    ) {
        for (number, line) in AccessLine.lines(of: files.read(path) ?? []) {
            do throws(AccessLineError) {
                switch line {
                case .failure(let malformed): throw AccessLineError(malformed.reason)
                case .success(let line):
                    if try !include(line, path, depth, body) { try body(&self, path, line) }
                }
            } catch {
                warn(path, number, "\(error.reason); the line is without effect")
            }
        }
    }

    /// Adds a warning.
    mutating func warn(_ file: String, _ line: Int, _ text: String) {
        diagnostics.append(AccessDiagnostic(file: file, line: line, text: text))
    }

    /// Follows a line that includes other files; false when it is none.
    private mutating func include(
        _ line: AccessLine, _ path: String, _ depth: Int,
        _ body: (inout AccessFileReader, String, AccessLine) throws(AccessLineError) -> Void
    ) throws(AccessLineError) -> Bool {
        guard line.fields[0].count == 1, let word = line.fields[0].first,
            word.isKeyword("include") || word.isKeyword("include_if_exists")
                || word.isKeyword("include_dir")
        else { return false }
        guard line.fields.count == 2, line.fields[1].count == 1 else {
            throw AccessLineError("\(word.name) is followed by one path")
        }
        guard depth < AccessFileReader.depthLimit else {
            throw AccessLineError("files include each other more than \(AccessFileReader.depthLimit) deep")
        }
        let target = AccessFiles.path(line.fields[1][0].name, namedIn: path)
        var paths = [target]
        if word.isKeyword("include_dir") {
            guard let names = files.list(target) else {
                throw AccessLineError("the folder \"\(target)\" cannot be read")
            }
            paths = names.filter { $0.hasSuffix(".conf") && !$0.hasPrefix(".") }
                .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
                .map { target.hasSuffix("/") ? target + $0 : target + "/" + $0 }
        }
        for path in paths {
            fileCount += 1
            guard fileCount <= AccessFileReader.fileLimit else {
                throw AccessLineError("there are more than \(AccessFileReader.fileLimit) files")
            }
            guard files.read(path) != nil else {
                if word.isKeyword("include_if_exists") { continue }
                throw AccessLineError("the included file \"\(path)\" cannot be read")
            }
            read(path, depth: depth + 1, body)
        }
        return true
    }

    /// The words of a field, with those of the files that `@file` names instead of it.
    mutating func expand(
        _ tokens: [AccessToken], namedIn file: String, depth: Int = 0
    ) throws(AccessLineError) -> [AccessToken] {
        var result: [AccessToken] = []
        for token in tokens {
            guard !token.isQuoted, token.text.first == UInt8(ascii: "@"), token.text.count > 1 else {
                result.append(token)
                continue
            }
            let path = AccessFiles.path(String(token.name.dropFirst()), namedIn: file)
            fileCount += 1
            guard depth < AccessFileReader.depthLimit, fileCount <= AccessFileReader.fileLimit else {
                throw AccessLineError("files of names include each other too often")
            }
            guard let bytes = files.read(path) else {
                throw AccessLineError("the file of names \"\(path)\" cannot be read")
            }
            for (number, line) in AccessLine.lines(of: bytes) {
                guard case .success(let line) = line else {
                    throw AccessLineError("line \(number) of \"\(path)\" cannot be read")
                }
                for field in line.fields {
                    result += try expand(field, namedIn: path, depth: depth + 1)
                }
            }
        }
        return result
    }
}
