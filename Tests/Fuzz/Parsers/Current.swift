import Glibc

/// The input that is being tried, in a file that outlives a trap.
struct Current {
    private static let size = 1 << 16
    private let path: String
    private let memory: UnsafeMutableRawPointer

    init(path: String) {
        self.path = path
        let descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o644)
        precondition(
            descriptor >= 0 && ftruncate(descriptor, off_t(Current.size)) == 0, "cannot make \(path)")
        memory = mmap(nil, Current.size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        close(descriptor)
    }

    /// Four bytes with the length, then the input.
    func set(_ input: [UInt8]) {
        memory.storeBytes(of: UInt32(input.count), as: UInt32.self)
        let count = min(input.count, Current.size - 4)
        input.withUnsafeBytes {
            (memory + 4).copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(memory), byteCount: count)
        }
    }

    func remove() {
        munmap(memory, Current.size)
        unlink(path)
    }
}
