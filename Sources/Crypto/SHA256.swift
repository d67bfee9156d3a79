internal import COpenSSL

/// SHA-256 over bytes that come in pieces (FIPS 180-4).
public struct SHA256: BitwiseCopyable, Sendable {
    private var context = SHA256_CTX()

    /// A digest of nothing yet.
    public init() { unsafe _ = SHA256_Init(&context) }

    /// Appends bytes.
    public mutating func update(_ bytes: RawSpan) {
        unsafe bytes.withUnsafeBytes { unsafe _ = SHA256_Update(&context, $0.baseAddress, $0.count) }
    }

    /// The digest of what was appended; the state is used up and zeroed.
    public mutating func finish() -> Digest256 {
        var digest = Digest256()
        unsafe withUnsafeMutableBytes(of: &digest.words) { output in
            unsafe _ = SHA256_Final(
                output.baseAddress!.assumingMemoryBound(to: UInt8.self), &context)
        }
        unsafe withUnsafeMutableBytes(of: &context) { unsafe Zeroing.zero($0) }
        return digest
    }

    /// The digest of bytes that are all there.
    public static func digest(_ bytes: RawSpan) -> Digest256 {
        var hash = SHA256()
        hash.update(bytes)
        return hash.finish()
    }

    /// The words after whole blocks, to go on with block by block.
    var state: SHA256State {
        precondition(context.num == 0, "the words are taken between blocks")
        return SHA256State(context.h)
    }
}
