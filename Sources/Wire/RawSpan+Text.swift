/// Bytes as text, for logs and comparisons.
extension RawSpan {
    /// Whether these are exactly the bytes of `text`. O(length).
    public func equals(_ text: StaticString) -> Bool {
        let count = byteCount
        guard count == text.utf8CodeUnitCount else { return false }
        return unsafe withUnsafeBytes { bytes in
            for offset in 0..<count where unsafe bytes[offset] != text.utf8Start[offset] { return false }
            return true
        }
    }

    /// Whether these are exactly the bytes of another span. O(length).
    public func equals(_ other: RawSpan) -> Bool {
        let count = byteCount
        guard count == other.byteCount else { return false }
        for offset in 0..<count {
            let mine = unsafe unsafeLoad(fromByteOffset: offset, as: UInt8.self)
            let theirs = unsafe other.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
            guard mine == theirs else { return false }
        }
        return true
    }

    /// The bytes as text; what is no UTF-8 is replaced. Allocates: not for the hot path.
    public var text: String { String(decoding: array, as: UTF8.self) }

    /// A copy of the bytes. Allocates: not for the hot path.
    public var array: [UInt8] {
        let count = byteCount
        return unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            unsafe withUnsafeBytes { source in
                for offset in 0..<count {
                    unsafe (buffer.baseAddress! + offset).initialize(to: source[offset])
                }
            }
            initialized = count
        }
    }
}
