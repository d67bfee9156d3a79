/// A 128-bit name made from bytes by a keyed hash; see `Hash128.sip`.
@frozen
public struct Hash128: BitwiseCopyable, Hashable {
    /// The first 64 bits.
    public var low: UInt64
    /// The last 64 bits.
    public var high: UInt64

    /// A hash from its halves.
    @inlinable
    public init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }

    /// SipHash-1-3 with a 128-bit result (Aumasson, Bernstein, "SipHash: a fast short-input PRF").
    ///
    /// Keyed, because what clients send is hashed and a collision would run another client's statement.
    /// - Parameters:
    ///   - bytes: what is named.
    ///   - key: the instance's secret.
    ///   - tweak: further bits of identity, such as the parse environment of a statement.
    public static func sip(_ bytes: RawSpan, key: Hash128, tweak: UInt64 = 0) -> Hash128 {
        var state = SipState(key: key)
        state.absorb(tweak)
        let count = bytes.byteCount
        var offset = 0
        unsafe bytes.withUnsafeBytes { buffer in
            while offset &+ 8 <= count {
                state.absorb(
                    unsafe buffer.loadUnaligned(fromByteOffset: offset, as: UInt64.self).littleEndian)
                offset &+= 8
            }
            var last = UInt64(truncatingIfNeeded: count) << 56
            var shift: UInt64 = 0
            while offset < count {
                last |= unsafe UInt64(buffer[offset]) << shift
                shift &+= 8
                offset &+= 1
            }
            state.absorb(last)
        }
        return state.finish()
    }
}

/// The four words SipHash works on.
struct SipState {
    var v0, v1, v2, v3: UInt64

    init(key: Hash128) {
        v0 = key.low ^ 0x736f_6d65_7073_6575
        v1 = key.high ^ 0x646f_7261_6e64_6f6d ^ 0xee
        v2 = key.low ^ 0x6c79_6765_6e65_7261
        v3 = key.high ^ 0x7465_6462_7974_6573
    }

    @inline(__always)
    mutating func absorb(_ word: UInt64) {
        v3 ^= word
        round()
        v0 ^= word
    }

    mutating func finish() -> Hash128 {
        v2 ^= 0xee
        for _ in 0..<3 { round() }
        let low = v0 ^ v1 ^ v2 ^ v3
        v1 ^= 0xdd
        for _ in 0..<3 { round() }
        return Hash128(low: low, high: v0 ^ v1 ^ v2 ^ v3)
    }

    @inline(__always)
    private mutating func round() {
        v0 = v0 &+ v1
        v1 = (v1 << 13 | v1 >> 51) ^ v0
        v0 = v0 << 32 | v0 >> 32
        v2 = v2 &+ v3
        v3 = (v3 << 16 | v3 >> 48) ^ v2
        v0 = v0 &+ v3
        v3 = (v3 << 21 | v3 >> 43) ^ v0
        v2 = v2 &+ v1
        v1 = (v1 << 17 | v1 >> 47) ^ v2
        v2 = v2 << 32 | v2 >> 32
    }
}
