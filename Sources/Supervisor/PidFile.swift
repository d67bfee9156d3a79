import System

/// The file with the number of the running supervisor.
enum PidFile {
    /// Why we may not run.
    enum Failure: Error, Equatable {
        /// The process in the file lives.
        case isRunning(process: Int32)
        /// The file cannot be read, removed or written.
        case system(SystemError)

        /// What went wrong and what to do, in one line.
        func message(path: String) -> String {
            switch self {
            case .isRunning(let process):
                "\(path): process \(process) is running; stop it, or remove the file if it is another program"
            case .system(let error):
                "pidfile: \(error)"
            }
        }
    }

    /// Looks whether another instance runs; removes a file that a dead one left.
    ///
    /// - Returns: the number in the stale file that was removed, if there was one.
    static func check(_ path: String) throws(Failure) -> Int32? {
        guard FileSystem.exists(path) else { return nil }
        var process: Int32?
        do { process = parse(try FileSystem.read(path, limit: 4096)) } catch { throw .system(error) }
        // Our own number is a stale one of an earlier life: in a container the numbers repeat.
        if let process, process != Process.id, Process.exists(process) { throw .isRunning(process: process) }
        do { try FileSystem.remove(path) } catch { throw .system(error) }
        return process ?? 0
    }

    /// Writes our number; the file must not exist.
    static func write(_ path: String) throws(Failure) {
        do { try FileSystem.create(path, Array("\(Process.id)\n".utf8), mode: 0o644) } catch {
            throw .system(error)
        }
    }

    /// Removes the file if it still holds our number.
    static func remove(_ path: String) {
        guard let bytes = try? FileSystem.read(path, limit: 4096), parse(bytes) == Process.id else { return }
        try? FileSystem.remove(path)
    }

    /// The number in the file's text, or `nil` when it holds none.
    static func parse(_ bytes: [UInt8]) -> Int32? {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let word = text.split(whereSeparator: { $0 == "\n" || $0 == " " }).first,
            let number = Int32(word), number > 0
        else { return nil }
        return number
    }
}
