import CLinux
import Glibc

/// Memory that several processes see, held by a descriptor without a name in any folder.
public enum SharedMemory {
    /// A descriptor of `byteCount` zero bytes, close-on-exec, the caller's. Pages appear when they are
    /// first touched.
    ///
    /// - Parameter name: shown in /proc/PID/maps.
    public static func create(_ name: String, byteCount: Int) throws(SystemError) -> Int32 {
        let descriptor = unsafe clinux_memfd(name)
        guard descriptor >= 0 else { throw SystemError("create shared memory") }
        guard ftruncate(descriptor, off_t(byteCount)) == 0 else {
            let failure = SystemError("reserve \(byteCount) bytes of shared memory")
            Descriptors.close(descriptor)
            throw failure
        }
        return descriptor
    }

    /// Makes the size final, so that no process can be killed by SIGBUS because another cut the memory off.
    public static func sealSize(_ descriptor: Int32) throws(SystemError) {
        guard clinux_seal(descriptor, 0) == 0 else { throw SystemError("seal the size of shared memory") }
    }

    /// Makes size and contents final; fails (EBUSY) while a writable mapping exists.
    public static func sealContents(_ descriptor: Int32) throws(SystemError) {
        guard clinux_seal(descriptor, 1) == 0 else { throw SystemError("seal shared memory") }
    }

    /// The memory at an address of this process, readable and writable, until `unmap` or the end of the
    /// process.
    @unsafe
    public static func map(_ descriptor: Int32, byteCount: Int) throws(SystemError) -> UnsafeMutableRawPointer
    {
        guard let start = unsafe clinux_map_shared(descriptor, byteCount, 1) else {
            throw SystemError("map \(byteCount) bytes of shared memory")
        }
        unsafe keepOutOfDumps(start, byteCount: byteCount)
        return unsafe start
    }

    /// Has a core dump leave out memory that holds secrets; whole pages. That it may not be possible is no
    /// reason not to go on.
    @unsafe
    public static func keepOutOfDumps(_ start: UnsafeMutableRawPointer, byteCount: Int) {
        _ = unsafe madvise(start, byteCount, Int32(MADV_DONTDUMP))
    }

    /// Ends a mapping.
    @unsafe
    public static func unmap(_ start: UnsafeMutableRawPointer, byteCount: Int) {
        unsafe munmap(start, byteCount)
    }

    /// How many bytes the descriptor's file has.
    public static func byteCount(of descriptor: Int32) throws(SystemError) -> Int {
        var information = stat()
        guard unsafe fstat(descriptor, &information) == 0 else { throw SystemError("ask for a size") }
        return Int(information.st_size)
    }

    /// A sealed copy of bytes to hand to other processes; the caller owns the descriptor.
    public static func sealedCopy(_ name: String, of bytes: [UInt8]) throws(SystemError) -> Int32 {
        let descriptor = try create(name, byteCount: 0)
        do {
            try Descriptors.writeAll(descriptor, bytes)
            try sealContents(descriptor)
        } catch {
            Descriptors.close(descriptor)
            throw error
        }
        return descriptor
    }

    /// All bytes of a descriptor's file, whatever its offset.
    ///
    /// - Parameter limit: more than this is an error (EFBIG).
    public static func contents(of descriptor: Int32, limit: Int) throws(SystemError) -> [UInt8] {
        let total = try byteCount(of: descriptor)
        guard total <= limit else { throw SystemError("read shared memory", Errno(EFBIG)) }
        var filled = 0
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: total) { buffer, count in
            while filled < total, let base = buffer.baseAddress {
                let got = unsafe pread(descriptor, base + filled, total - filled, off_t(filled))
                if got < 0, Errno.last.code == EINTR { continue }
                guard got > 0 else { break }
                filled += got
            }
            count = filled
        }
        guard filled == total else { throw SystemError("read shared memory", Errno(EIO)) }
        return bytes
    }
}
