import ArgumentParser
import Config
import Glibc
import System

/// Which instance is meant.
struct InstanceOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "The folder of the instance's control socket.",
            discussion: "Also PGSLUICE_CONTROL in the environment.", valueName: "dir"),
        completion: .directory)
    var control: String?

    @Option(
        name: [.customShort("c"), .customLong("config")],
        help: ArgumentHelp(
            "The configuration file of the instance, which says where it is.", valueName: "file"),
        completion: .file())
    var config: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "The user whom the instance runs as.",
            discussion:
                "Without it, only an instance of your own user, of root, or of the user that the file "
                + "given with -c names is talked to.", valueName: "user"))
    var owner: String?

    func validate() throws {
        guard control == nil || config == nil else {
            throw ValidationError("--control and -c both say which instance is meant: give one of them")
        }
    }

    /// The words of a command line with those of these options that stand before the subcommand put behind
    /// it, where ArgumentParser expects them.
    static func rearranged(_ words: [String]) -> [String] {
        let names = ["-c", "--config", "--control", "--owner"]
        var moved: [String] = []
        var rest = words[...]
        while let word = rest.first {
            if names.contains(word), rest.count > 1 {
                moved += rest.prefix(2)
                rest = rest.dropFirst(2)
            } else if names.contains(where: { $0.hasPrefix("--") && word.hasPrefix($0 + "=") }) {
                moved.append(word)
                rest = rest.dropFirst()
            } else {
                break
            }
        }
        guard let command = rest.first else { return words }
        return [command] + moved + rest.dropFirst()
    }

    /// Where the instance is.
    func place() throws(Failure) -> ControlPlace {
        if let config { return try ControlPlace(file: config) }
        if let control { return try place(in: control) }
        if let folder = Process.environment("PGSLUICE_CONTROL"), !folder.isEmpty {
            return try place(in: folder)
        }
        guard let place = ControlPlace(Settings()) else {
            throw Failure(.usage, "say which instance is meant: --control DIR or -c FILE")
        }
        return place
    }

    private func place(in folder: String) throws(Failure) -> ControlPlace {
        guard let directory = unsafe opendir(folder) else {
            let error = Errno.last
            throw error == .noSuchFile
                ? Failure(.noInstance, "no instance is running: there is no folder \(folder)")
                : Failure(.notTrusted, "cannot look into \(folder): \(error); \(Trust.advice)")
        }
        defer { unsafe closedir(directory) }
        var names: [String] = []
        while let entry = unsafe readdir(directory) {
            names.append(
                unsafe withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                    unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
                })
        }
        return try ControlPlace(folder: folder, names: names)
    }

    /// A session with the instance.
    func connect() throws(Failure) -> ConsoleSession {
        let place = try place()
        return try ConsoleSession(
            place, trust: try Trust(owner: owner ?? place.owner, isDemanded: owner != nil))
    }
}
