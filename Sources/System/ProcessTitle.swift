import CLinux
import Glibc

/// What `ps` shows for this process.
///
/// The kernel shows the memory where the arguments were; it is overwritten, as servers on Unix have always
/// done. The environment's strings, which follow it, move to the heap first.
@safe
public struct ProcessTitle {
    private let start: UnsafeMutablePointer<CChar>
    private let capacity: Int

    /// Finds the memory; `nil` where /proc does not tell where it is. Call once, early, in a single thread.
    public init?() {
        guard let bytes = try? FileSystem.read("/proc/self/stat", limit: 4096),
            let end = bytes.lastIndex(of: UInt8(ascii: ")"))
        else { return nil }
        // Fields counted from the state, which is number 3 in proc(5): arg_start 48, arg_end 49, env_start
        // 50, env_end 51.
        let fields = bytes[(end + 1)...].split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n") }
        func address(_ number: Int) -> UInt? {
            fields.count > number - 3 ? UInt(String(decoding: fields[number - 3], as: UTF8.self)) : nil
        }
        guard let first = address(48), let last = address(49), let environment = address(50),
            let environmentEnd = address(51), first > 0, last > first,
            let found = unsafe UnsafeMutablePointer<CChar>(bitPattern: first)
        else { return nil }
        var capacity = last - first
        if environment == last, environmentEnd > environment, clinux_move_environment() == 0 {
            capacity += environmentEnd - environment
        }
        unsafe start = found
        self.capacity = Int(capacity)
    }

    /// Shows `title` from now on, as far as the memory goes.
    public func set(_ title: String) {
        let bytes = Array(title.utf8.prefix(capacity - 1))
        for offset in 0..<capacity {
            unsafe start[offset] = offset < bytes.count ? CChar(bitPattern: bytes[offset]) : 0
        }
    }

    /// Sets the name that `ps -o comm` and `top` show, cut at 15 bytes.
    public static func setShortName(_ name: String) { unsafe clinux_set_thread_name(name) }
}
