internal import COpenSSL

/// Overwriting secrets, and comparing them, so that nothing is left and nothing is told.
///
/// Values are copied by the compiler as it sees fit; zeroing shortens the life of secrets, it is no proof.
public enum Zeroing {
    /// Overwrites the bytes with zeros and empties the array, keeping its memory.
    public static func zero(_ bytes: inout [UInt8]) {
        unsafe bytes.withUnsafeMutableBytes { unsafe zero($0) }
        bytes.removeAll(keepingCapacity: true)
    }

    /// Overwrites memory with zeros, whatever the compiler knows of its further use.
    @unsafe
    public static func zero(_ memory: UnsafeMutableRawBufferPointer) {
        if let start = memory.baseAddress { unsafe copenssl_cleanse(start, memory.count) }
    }
}

extension RawSpan {
    /// Whether the bytes are the same, in a time that depends on their number only.
    public func equalsInConstantTime(_ other: RawSpan) -> Bool {
        guard byteCount == other.byteCount else { return false }
        guard byteCount > 0 else { return true }
        return unsafe withUnsafeBytes { mine in
            unsafe other.withUnsafeBytes { theirs in
                unsafe CRYPTO_memcmp(mine.baseAddress, theirs.baseAddress, mine.count) == 0
            }
        }
    }
}
