internal import COpenSSL

/// The eight words of SHA-256 between blocks. Copying them forks the computation, which is what makes an HMAC
/// whose key has been absorbed once cheap to use again.
struct SHA256State: BitwiseCopyable {
    private var words: InlineArray<8, UInt32>

    /// The state that libcrypto's context holds.
    init(_ words: (UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32)) {
        self.words = [words.0, words.1, words.2, words.3, words.4, words.5, words.6, words.7]
    }

    /// Absorbs one block.
    @inline(__always)
    mutating func absorb(_ block: SHA256Block) {
        var source = block
        unsafe withUnsafeMutableBytes(of: &words) { state in
            unsafe withUnsafeBytes(of: &source) { bytes in
                unsafe copenssl_sha256_compress(
                    state.baseAddress!.assumingMemoryBound(to: UInt32.self),
                    bytes.baseAddress!.assumingMemoryBound(to: UInt8.self))
            }
        }
    }

    /// Puts the words, as a digest, in front of a block.
    @inline(__always)
    func store(in block: inout SHA256Block) {
        for index in 0..<8 { block.words[index] = words[index].bigEndian }
    }
}

/// A block of 64 bytes, as words in memory order.
struct SHA256Block: BitwiseCopyable {
    var words: InlineArray<16, UInt32>

    /// A block that holds one byte 64 times.
    init(repeating byte: UInt8) {
        words = InlineArray(repeating: UInt32(byte) &* 0x0101_0101)
    }

    /// The last block of a message of one block and 32 bytes: room for a digest, then the padding.
    static var digestAfterBlock: SHA256Block {
        var block = SHA256Block(repeating: 0)
        block.words[8] = (0x8000_0000 as UInt32).bigEndian
        block.words[15] = (UInt32(64 + 32) &* 8).bigEndian
        return block
    }

    /// The digest in front.
    var digest: Digest256 {
        var digest = Digest256()
        for index in 0..<4 {
            digest.words[index] = UInt64(words[2 &* index]) | UInt64(words[2 &* index &+ 1]) << 32
        }
        return digest
    }

    /// Puts a digest in front.
    mutating func store(_ digest: Digest256) {
        for index in 0..<4 {
            words[2 &* index] = UInt32(truncatingIfNeeded: digest.words[index])
            words[2 &* index &+ 1] = UInt32(truncatingIfNeeded: digest.words[index] >> 32)
        }
    }
}
