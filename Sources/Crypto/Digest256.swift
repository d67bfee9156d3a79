/// 32 bytes: a SHA-256 digest, or a key of that size.
///
/// It may be secret. So it compares in constant time, and printing or reflecting it shows nothing.
public struct Digest256: BitwiseCopyable, Sendable, Redacted {
    /// The bytes in memory order, eight to a word.
    var words: InlineArray<4, UInt64>

    /// All bytes zero.
    public init() { words = InlineArray(repeating: 0) }

    /// The digest whose bytes are given, or `nil` when they are not 32.
    public init?(_ bytes: RawSpan) {
        guard bytes.byteCount == 32 else { return nil }
        words = InlineArray { unsafe bytes.unsafeLoadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self) }
    }

    /// The bytes, borrowed.
    public var span: RawSpan {
        @_lifetime(borrow self)
        borrowing get { unsafe words.span.bytes }
    }

    /// The bytes as an array of their own; the caller zeroes it if they are secret.
    public var bytes: [UInt8] {
        unsafe span.withUnsafeBytes { unsafe [UInt8]($0) }
    }

    /// Each bit set that is set in exactly one of the two.
    public static func ^ (left: Digest256, right: Digest256) -> Digest256 {
        var result = left
        for index in 0..<4 { result.words[index] ^= right.words[index] }
        return result
    }

    /// Overwrites the bytes in a way the optimizer does not remove.
    public mutating func zero() { unsafe withUnsafeMutableBytes(of: &words) { unsafe Zeroing.zero($0) } }
}

extension Digest256: Equatable {
    /// Compares in a time that does not depend on the bytes.
    public static func == (left: Digest256, right: Digest256) -> Bool {
        var difference: UInt64 = 0
        for index in 0..<4 { difference |= left.words[index] ^ right.words[index] }
        return difference == 0
    }
}
