import Glibc

/// A test could not do what it set out to do.
struct Failure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }

    /// The system call named failed; adds the reason.
    static func system(_ call: String) -> Failure { Failure("\(call): \(String(cString: strerror(errno)))") }
}

/// Seconds on a clock that only goes forward.
func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// Waits until the condition holds. Throws after `seconds`, naming what was waited for.
func eventually(
    _ what: String, within seconds: Double = Options.patience, _ condition: () throws -> Bool
) throws {
    let deadline = now() + seconds
    while try !condition() {
        guard now() < deadline else { throw Failure("waited \(seconds) s in vain: \(what)") }
        usleep(5_000)
    }
}

/// How long the body took, in seconds.
func seconds(_ body: () throws -> Void) rethrows -> Double {
    let start = now()
    try body()
    return now() - start
}
