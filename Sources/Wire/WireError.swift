/// What is wrong with bytes that were to be read as protocol values.
public enum WireError: Error, Equatable, Sendable {
    /// A value reaches beyond the bytes that are there.
    case truncated
    /// A text has no zero byte at its end.
    case unterminatedText
    /// A count or a length is negative, or shorter than the field that holds it.
    case invalidLength
    /// Bytes are left behind the last value.
    case trailingBytes
    /// A value lies outside what the protocol defines.
    case invalidValue
}
