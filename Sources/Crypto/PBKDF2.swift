import Base

/// PBKDF2 with HMAC-SHA-256 and 32 bytes of result (RFC 8018), in as many slices as the caller likes.
///
/// The work grows with the number of iterations, which whoever stored the secret has chosen: a loop that
/// serves many connections calls `step` with a few hundred at a time.
public struct PBKDF2: BitwiseCopyable, Sendable {
    private let innerStart: SHA256State
    private let outerStart: SHA256State
    /// The last code, and the padding behind it.
    private var block = SHA256Block.digestAfterBlock
    private var sum: Digest256
    /// Iterations still to do.
    public private(set) var remainingIterations: Int

    /// - Precondition: there is at least one iteration.
    public init(password: RawSpan, salt: RawSpan, iterations: Int) {
        precondition(iterations >= 1, "a key is derived with one iteration or more")
        var code = HMAC(key: password)
        defer { code.zero() }
        (innerStart, outerStart) = (code.innerStart.state, code.outerStart.state)
        code.update(salt)
        let blockNumber: [UInt8] = [0, 0, 0, 1]
        code.update(blockNumber.rawSpan)
        sum = code.finish()
        block.store(sum)
        remainingIterations = iterations - 1
    }

    /// Does up to `iterations` more. Returns whether the key is complete.
    public mutating func step(iterations: Int) -> Bool {
        let count = min(iterations, remainingIterations)
        var index = 0
        while index < count {
            var state = innerStart
            state.absorb(block)
            state.store(in: &block)
            state = outerStart
            state.absorb(block)
            state.store(in: &block)
            sum = sum ^ block.digest
            index &+= 1
        }
        remainingIterations &-= max(count, 0)
        return remainingIterations == 0
    }

    /// The derived key.
    ///
    /// - Precondition: `step` has said that it is complete.
    public var key: Digest256 {
        precondition(remainingIterations == 0, "a derived key is read when all iterations are done")
        return sum
    }

    /// The derived key at once.
    public static func derive(password: RawSpan, salt: RawSpan, iterations: Int) -> Digest256 {
        var derivation = PBKDF2(password: password, salt: salt, iterations: iterations)
        defer { derivation.zero() }
        _ = derivation.step(iterations: iterations)
        return derivation.key
    }

    /// Overwrites everything that the password has touched. Nothing can be done with the value afterwards.
    public mutating func zero() { unsafe withUnsafeMutableBytes(of: &self) { unsafe Zeroing.zero($0) } }
}
