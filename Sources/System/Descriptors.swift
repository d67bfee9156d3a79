import CLinux
import Glibc

/// What is done with descriptors of any kind. A descriptor is a number here; who owns it says each call.
public enum Descriptors {
    /// Closes one; -1 is nothing.
    public static func close(_ descriptor: Int32) {
        if descriptor >= 0 { _ = Glibc.close(descriptor) }
    }

    /// A second descriptor of the same open file, close-on-exec, the caller's.
    public static func duplicate(_ descriptor: Int32) throws(SystemError) -> Int32 {
        let copy = clinux_duplicate(descriptor)
        guard copy >= 0 else { throw SystemError("duplicate a descriptor") }
        return copy
    }

    /// Closes every descriptor above the standard three that is not in `kept`.
    ///
    /// A child that held more would keep other workers' channels open, and nobody would see their ends die.
    public static func closeAll(except kept: [Int32]) {
        var next: Int32 = 3
        for descriptor in kept.filter({ $0 >= 3 }).sorted() {
            if descriptor > next { closeRange(next, descriptor - 1) }
            next = max(next, descriptor + 1)
        }
        closeRange(next, .max)
    }

    private static func closeRange(_ first: Int32, _ last: Int32) {
        if clinux_close_range(UInt32(first), UInt32(last)) == 0 { return }
        // Kernels before 5.9: what is open is listed.
        for descriptor in openDescriptors() where descriptor >= first && descriptor <= last {
            _ = Glibc.close(descriptor)
        }
    }

    /// All open descriptors of this process, ascending.
    public static func openDescriptors() -> [Int32] {
        guard let folder = unsafe opendir("/proc/self/fd") else { return [] }
        var found: [Int32] = []
        while let entry = unsafe readdir(folder) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { field in
                unsafe field.withMemoryRebound(to: CChar.self, capacity: 256) {
                    unsafe String(cString: $0)
                }
            }
            if let number = Int32(name), unsafe number != dirfd(folder) { found.append(number) }
        }
        unsafe closedir(folder)
        return found.sorted()
    }

    /// Sets or clears O_NONBLOCK, which belongs to the open file and so to everybody who shares it.
    public static func setNonBlocking(_ descriptor: Int32, _ on: Bool) throws(SystemError) {
        guard clinux_set_nonblocking(descriptor, on ? 1 : 0) == 0 else {
            throw SystemError("make a descriptor non-blocking")
        }
    }

    /// Sets or clears close-on-exec.
    public static func setCloseOnExec(_ descriptor: Int32, _ on: Bool) throws(SystemError) {
        guard clinux_set_close_on_exec(descriptor, on ? 1 : 0) == 0 else {
            throw SystemError("mark a descriptor close-on-exec")
        }
    }

    /// Makes standard input, output and error lead nowhere.
    public static func pointStandardToNull() throws(SystemError) {
        let null = unsafe clinux_open("/dev/null", O_RDWR, 0)
        guard null >= 0 else { throw SystemError("open /dev/null") }
        for standard: Int32 in 0...2 where null != standard { dup2(null, standard) }
        if null > 2 { _ = Glibc.close(null) }
    }

    /// Makes standard input lead to where this descriptor leads; it outlives an exec.
    public static func pointInput(to descriptor: Int32) { dup2(descriptor, 0) }

    /// Makes standard output and standard error lead to where this descriptor leads; they outlive an exec.
    public static func pointOutput(to descriptor: Int32) {
        for standard: Int32 in 1...2 { dup2(descriptor, standard) }
    }

    /// Gives the standard descriptors that are closed /dev/null, so that no socket of ours becomes one of
    /// them.
    public static func fillStandard() {
        while true {
            let null = unsafe clinux_open("/dev/null", O_RDWR, 0)
            guard null >= 0, null <= 2 else { return close(null) }
            _ = clinux_set_close_on_exec(null, 0)
        }
    }

    /// A pipe; both ends close-on-exec and the caller's.
    public static func pipe() throws(SystemError) -> (read: Int32, write: Int32) {
        var ends: (Int32, Int32) = (-1, -1)
        let result = unsafe withUnsafeMutablePointer(to: &ends) { pair in
            unsafe pair.withMemoryRebound(to: Int32.self, capacity: 2) { unsafe pipe2($0, O_CLOEXEC) }
        }
        guard result == 0 else { throw SystemError("open a pipe") }
        return (ends.0, ends.1)
    }

    /// An eventfd with the count 0; non-blocking, close-on-exec, the caller's.
    public static func event() throws(SystemError) -> Int32 {
        let descriptor = clinux_eventfd()
        guard descriptor >= 0 else { throw SystemError("open an eventfd") }
        return descriptor
    }

    /// Adds one to an eventfd, which wakes whoever waits for it.
    public static func signal(event descriptor: Int32) {
        var one: UInt64 = 1
        _ = unsafe Glibc.write(descriptor, &one, 8)
    }

    /// Sets an eventfd back to 0.
    public static func clear(event descriptor: Int32) {
        var count: UInt64 = 0
        _ = unsafe Glibc.read(descriptor, &count, 8)
    }

    /// Reads what is there, up to `limit` bytes; empty at the end; `nil` when nothing is there yet.
    public static func read(_ descriptor: Int32, limit: Int) throws(SystemError) -> [UInt8]? {
        var failure = Errno(0)
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
            var got: Int
            repeat {
                unsafe got = Glibc.read(descriptor, buffer.baseAddress, limit)
            } while got < 0
                && Errno.last.code == EINTR
            if got < 0 { failure = Errno.last }
            count = max(got, 0)
        }
        if failure.code == EAGAIN { return nil }
        guard failure.code == 0 else { throw SystemError("read", failure) }
        return bytes
    }

    /// Writes as much as is taken at once; 0 when the other side is full.
    public static func write(_ descriptor: Int32, _ bytes: ArraySlice<UInt8>) throws(SystemError) -> Int {
        while true {
            let sent = unsafe bytes.withUnsafeBytes {
                unsafe Glibc.write(descriptor, $0.baseAddress, $0.count)
            }
            if sent >= 0 { return sent }
            let failure = Errno.last
            if failure.code == EAGAIN { return 0 }
            guard failure.code == EINTR else { throw SystemError("write", failure) }
        }
    }

    /// Writes all of it, waiting as long as it takes. For files and for pipes whose reader is ours.
    public static func writeAll(_ descriptor: Int32, _ bytes: [UInt8]) throws(SystemError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = try write(descriptor, rest)
            if sent == 0 { _ = Poll.wait([Poll.Interest(descriptor, .write)], milliseconds: 1000) }
            rest = rest.dropFirst(sent)
        }
    }
}
