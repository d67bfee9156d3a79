import CLinux
import Glibc

/// Other programs in place of the one that runs.
public enum Program {
    /// Runs a program in this process. Returns only when it cannot, with the reason.
    ///
    /// - Parameters:
    ///   - arguments: the program's name first.
    ///   - environment: `NAME=value`.
    public static func execute(
        _ path: String, arguments: [String], environment: [String]
    ) -> SystemError {
        let words = WordList(arguments)
        let variables = WordList(environment)
        let failure = unsafe clinux_execute(path, words.pointer, variables.pointer)
        return SystemError("run \(path)", Errno(failure))
    }

    /// Runs the program that a descriptor leads to, in this process; otherwise as with a path.
    public static func execute(
        descriptor: Int32, arguments: [String], environment: [String]
    ) -> SystemError {
        let words = WordList(arguments)
        let variables = WordList(environment)
        let failure = unsafe clinux_execute_descriptor(descriptor, words.pointer, variables.pointer)
        return SystemError("run the program before", Errno(failure))
    }

    /// Has a fault of this process, and being silent for `seconds`, end in running the program that a
    /// descriptor leads to, until `disarmGuard`. Once in a process's life; signals are blocked otherwise.
    public static func armGuard(
        descriptor: Int32, arguments: [String], environment: [String], seconds: UInt32
    ) throws(SystemError) {
        // Kept for ever: the handler reads them.
        let (words, variables) = (WordList(arguments), WordList(environment))
        let result = unsafe clinux_arm_guard(descriptor, words.pointer, variables.pointer, seconds)
        guard result == 0 else { throw SystemError("watch over the start") }
        _ = unsafe Unmanaged.passRetained(words)
        _ = unsafe Unmanaged.passRetained(variables)
    }

    /// Has faults end the process again.
    public static func disarmGuard() { clinux_disarm_guard() }

    /// Strings as C wants them: a null pointer behind the last.
    @safe
    private final class WordList {
        let pointer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
        private let count: Int

        init(_ words: [String]) {
            count = words.count
            unsafe pointer = .allocate(capacity: words.count + 1)
            for (index, word) in words.enumerated() {
                unsafe (pointer + index).initialize(to: strdup(word))
            }
            unsafe (pointer + words.count).initialize(to: nil)
        }

        deinit {
            for index in 0..<count { unsafe free(pointer[index]) }
            unsafe pointer.deallocate()
        }
    }
}
