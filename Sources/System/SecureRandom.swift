import CLinux
import Glibc

/// Randomness of the kernel, for keys, nonces and salts.
public enum SecureRandom {
    /// That many bytes.
    public static func bytes(count: Int) -> [UInt8] {
        precondition(count >= 0, "a count is not negative")
        return unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            unsafe fill(UnsafeMutableRawBufferPointer(buffer))
            filled = count
        }
    }

    /// A number of 64 bits.
    public static func number() -> UInt64 {
        var number: UInt64 = 0
        unsafe withUnsafeMutableBytes(of: &number) { unsafe fill($0) }
        return number
    }

    /// Fills memory of the caller.
    @unsafe
    public static func fill(_ bytes: UnsafeMutableRawBufferPointer) {
        var done = 0
        while done < bytes.count {
            let got = unsafe clinux_random(bytes.baseAddress! + done, bytes.count - done)
            if got < 0 {
                precondition(Errno.last.code == EINTR, "the kernel has no randomness to give")
                continue
            }
            done += got
        }
    }
}
