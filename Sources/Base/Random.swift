/// A seeded generator (xoshiro256**, seeded by splitmix64) for choices that need no secrecy:
/// jitter, placement, simulations. Never for keys, nonces or salts.
public struct Random: RandomNumberGenerator, BitwiseCopyable {
    private var a, b, c, d: UInt64

    /// The same seed gives the same numbers.
    public init(seed: UInt64) {
        var state = seed
        func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
        a = next()
        b = next()
        c = next()
        d = next()
    }

    /// The next 64 bits.
    public mutating func next() -> UInt64 {
        let result = Random.rotate(b &* 5, 7) &* 9
        let t = b << 17
        c ^= a
        d ^= b
        b ^= c
        a ^= d
        c ^= t
        d = Random.rotate(d, 45)
        return result
    }

    /// A number from 0 up to, not including, `bound`.
    public mutating func below(_ bound: Int) -> Int {
        precondition(bound > 0, "a bound is positive")
        return Int(next() % UInt64(bound))
    }

    private static func rotate(_ x: UInt64, _ k: UInt64) -> UInt64 { (x << k) | (x >> (64 - k)) }
}
