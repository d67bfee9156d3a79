import Glibc
import System

/// Signals as something to wait for, instead of what ends the program in the middle of something.
struct Interruption {
    /// Can be read when one has arrived.
    let descriptor: Int32

    /// Ctrl-C, and being told to end.
    static let ofCommands: [Int32] = [SIGINT, SIGTERM]
    /// Also the terminal's new size, and its end.
    static let ofTerminals: [Int32] = ofCommands + [SIGHUP, SIGQUIT, SIGWINCH]

    private let signals: [Int32]

    init(_ signals: [Int32]) throws(Failure) {
        self.signals = signals
        Interruption.mask(SIG_BLOCK, signals)
        do throws(SystemError) { descriptor = try Signals.descriptor(for: signals) } catch {
            throw Failure(.usage, "\(error)")
        }
    }

    /// The next one that has arrived.
    func next() -> Int32? { Signals.next(from: descriptor)?.signal }

    /// Lets further ones end the program: nothing is left that must not be cut off.
    func giveUp() { Interruption.mask(SIG_UNBLOCK, signals) }

    private static func mask(_ how: Int32, _ signals: [Int32]) {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        for signal in signals { unsafe sigaddset(&set, signal) }
        unsafe sigprocmask(how, &set, nil)
    }
}
