import Glibc
import System

/// Another program, run to its end.
enum ChildOutput {
    /// Runs a program by its path and gives all it has printed, and how it ended.
    static func run(_ words: [String]) throws(Failure) -> (text: String, ending: Process.Ending) {
        do throws(SystemError) {
            let pipe = try Descriptors.pipe()
            defer { Descriptors.close(pipe.read) }
            let child = try start(words, output: pipe.write)
            Descriptors.close(pipe.write)
            var bytes: [UInt8] = []
            while let more = try Descriptors.read(pipe.read, limit: 65536), !more.isEmpty { bytes += more }
            guard let ending = Process.wait(for: child) else { throw SystemError("wait for \(words[0])") }
            return (String(decoding: bytes, as: UTF8.self), ending)
        } catch {
            throw Failure(.usage, "cannot run \(words[0]): \(error)")
        }
    }

    private static func start(_ words: [String], output: Int32) throws(SystemError) -> Int32 {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        unsafe posix_spawn_file_actions_adddup2(&actions, output, 1)
        unsafe posix_spawn_file_actions_adddup2(&actions, output, 2)
        var argv: [UnsafeMutablePointer<CChar>?] = unsafe words.map { unsafe strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] =
            unsafe Process.environment.map { unsafe strdup("\($0.name)=\($0.value)") } + [nil]
        defer { unsafe (argv + envp).forEach { unsafe free($0) } }
        var child = pid_t()
        let result = unsafe posix_spawn(&child, words[0], &actions, nil, &argv, &envp)
        guard result == 0 else { throw SystemError("start it", Errno(result)) }
        return child
    }
}
