/// The file of users and their secrets (`auth_file`).
///
/// A line is `"name" "secret"`; what follows is ignored, and so is what stands between the two. A doubled
/// quote inside quotes is one quote. Empty lines, and lines that begin with a semicolon, are skipped.
public struct UserList: Sendable {
    /// One user.
    public struct Entry: Equatable, Sendable {
        /// The name, 1 to 127 bytes.
        public let name: [UInt8]
        /// The secret, its form recognised.
        public let secret: StoredSecret
        /// Where it stands, from 1.
        public let line: Int
    }

    /// Something to tell about a line. Secrets are not in it.
    public struct Diagnostic: Equatable, Sendable {
        /// The line, from 1.
        public let line: Int
        /// What is the matter.
        public let problem: Problem
    }

    /// What can be the matter with a line.
    public enum Problem: Equatable, Sendable {
        /// It is no `"name" "secret"`.
        case broken
        /// The name is empty.
        case emptyName
        /// The name has more than 127 bytes.
        case nameTooLong
        /// The secret has more than 2,047 bytes.
        case secretTooLong
        /// The same name stands in an earlier line; the later one counts.
        case duplicateName(earlierLine: Int)

        /// The problem in words.
        public var text: String {
            switch self {
            case .broken: "broken auth file: expected \"name\" \"secret\""
            case .emptyName: "empty user name in auth file"
            case .nameTooLong: "username too long in auth file"
            case .secretTooLong: "password too long in auth file"
            case .duplicateName(let line): "user is already in line \(line) of the auth file; this one counts"
            }
        }

        /// Whether the line was left out.
        public var isError: Bool {
            switch self {
            case .broken, .emptyName, .nameTooLong, .secretTooLong: true
            case .duplicateName: false
            }
        }
    }

    /// The users in the order of the file; of several with the same name only the last.
    public private(set) var entries: [Entry] = []
    /// What was found, in the order of the file. A line with an error is left out, the rest is read.
    public private(set) var diagnostics: [Diagnostic] = []

    /// Reads the bytes of the file.
    public static func parse(_ bytes: [UInt8]) -> UserList {
        var list = UserList()
        var indices: [[UInt8]: Int] = [:]
        var entries: [Entry?] = []
        var number = 0
        for line in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            number += 1
            let text = line.drop { $0 == 0x20 || (0x09...0x0D).contains($0) }
            if text.isEmpty || text.first == UInt8(ascii: ";") { continue }
            switch parseLine(text, number) {
            case .failure(let problem): list.diagnostics.append(Diagnostic(line: number, problem: problem))
            case .success(let entry):
                if let earlier = indices[entry.name], let line = entries[earlier]?.line {
                    list.diagnostics.append(
                        Diagnostic(line: number, problem: .duplicateName(earlierLine: line)))
                    entries[earlier] = nil
                }
                indices[entry.name] = entries.count
                entries.append(entry)
            }
        }
        list.entries = entries.compactMap { $0 }
        return list
    }

    private static func parseLine(_ line: ArraySlice<UInt8>, _ number: Int) -> Result<Entry, Problem> {
        guard line.first == quote, !line.contains(0), let (name, nameEnd) = quoted(line),
            let begin = line[nameEnd...].firstIndex(of: quote),
            let (secret, _) = quoted(line[begin...])
        else { return .failure(.broken) }
        guard !name.isEmpty else { return .failure(.emptyName) }
        guard name.count <= 127 else { return .failure(.nameTooLong) }
        guard secret.count <= 2047 else { return .failure(.secretTooLong) }
        return .success(Entry(name: name, secret: StoredSecret(secret), line: number))
    }

    /// The text between the quote that `line` begins with and the one that ends it, and the index behind
    /// that.
    private static func quoted(_ line: ArraySlice<UInt8>) -> ([UInt8], Int)? {
        var text: [UInt8] = []
        var index = line.startIndex + 1
        while index < line.endIndex {
            if line[index] != quote {
                text.append(line[index])
                index += 1
            } else if index + 1 < line.endIndex, line[index + 1] == quote {
                text.append(quote)
                index += 2
            } else {
                return (text, index + 1)
            }
        }
        return nil
    }

    private static var quote: UInt8 { UInt8(ascii: "\"") }
}

extension UserList.Problem: Error {}
