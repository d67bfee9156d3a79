internal import COpenSSL

/// MD5 (RFC 1321), which PostgreSQL's older password scheme is made of.
public enum MD5 {
    /// The digest of two pieces, one behind the other, as 32 hexadecimal digits in lower case.
    public static func hexadecimal(_ first: RawSpan, _ second: RawSpan = RawSpan()) -> [UInt8] {
        var context = MD5_CTX()
        unsafe _ = MD5_Init(&context)
        unsafe first.withUnsafeBytes { unsafe _ = MD5_Update(&context, $0.baseAddress, $0.count) }
        unsafe second.withUnsafeBytes { unsafe _ = MD5_Update(&context, $0.baseAddress, $0.count) }
        var digest = InlineArray<16, UInt8>(repeating: 0)
        unsafe withUnsafeMutableBytes(of: &digest) { output in
            unsafe _ = MD5_Final(output.baseAddress!.assumingMemoryBound(to: UInt8.self), &context)
        }
        unsafe withUnsafeMutableBytes(of: &context) { unsafe Zeroing.zero($0) }
        var digits: [UInt8] = []
        digits.reserveCapacity(32)
        for index in 0..<16 {
            digits.append(digit(digest[index] >> 4))
            digits.append(digit(digest[index] & 15))
        }
        return digits
    }

    private static func digit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }
}
