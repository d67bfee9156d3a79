/// HMAC-SHA-256 with a key that is absorbed once (RFC 2104).
public struct HMAC: BitwiseCopyable, Sendable {
    /// Both states after the block made of the key.
    let innerStart: SHA256
    let outerStart: SHA256
    private var inner: SHA256

    /// A code under `key`, of nothing yet.
    public init(key: RawSpan) {
        var block = InlineArray<64, UInt8>(repeating: 0)
        if key.byteCount <= 64 {
            for offset in 0..<key.byteCount {
                block[offset] = unsafe key.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
            }
        } else {
            let digest = SHA256.digest(key)
            for offset in 0..<32 {
                block[offset] = unsafe digest.span.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
            }
        }
        innerStart = HMAC.start(block, pad: 0x36)
        outerStart = HMAC.start(block, pad: 0x5C)
        inner = innerStart
        unsafe withUnsafeMutableBytes(of: &block) { unsafe Zeroing.zero($0) }
    }

    /// Appends bytes.
    public mutating func update(_ bytes: RawSpan) { inner.update(bytes) }

    /// The code of what was appended. The next one begins with the same key.
    public mutating func finish() -> Digest256 {
        let digest = inner.finish()
        inner = innerStart
        var outer = outerStart
        outer.update(digest.span)
        return outer.finish()
    }

    /// The code of bytes that are all there.
    public static func code(key: RawSpan, _ bytes: RawSpan) -> Digest256 {
        var code = HMAC(key: key)
        defer { code.zero() }
        code.update(bytes)
        return code.finish()
    }

    /// Overwrites everything that the key has touched. Nothing can be done with the value afterwards.
    public mutating func zero() { unsafe withUnsafeMutableBytes(of: &self) { unsafe Zeroing.zero($0) } }

    private static func start(_ key: InlineArray<64, UInt8>, pad: UInt8) -> SHA256 {
        var block = key
        for offset in 0..<64 { block[offset] ^= pad }
        var hash = SHA256()
        unsafe hash.update(block.span.bytes)
        unsafe withUnsafeMutableBytes(of: &block) { unsafe Zeroing.zero($0) }
        return hash
    }
}
