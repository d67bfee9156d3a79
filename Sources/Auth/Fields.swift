/// Takes borrowed text apart at separators, front to back.
struct Fields: ~Copyable, ~Escapable {
    private let text: RawSpan
    /// Bytes taken so far.
    private(set) var offset = 0

    @_lifetime(copy text)
    init(_ text: RawSpan) { self.text = text }

    /// Whether nothing is left.
    var isAtEnd: Bool { offset == text.byteCount }

    /// The next byte, not taken.
    var next: UInt8? { isAtEnd ? nil : byte(offset) }

    /// Passes over `prefix` if it comes next.
    @_lifetime(self: copy self)
    mutating func take(_ prefix: [UInt8]) -> Bool {
        guard text.byteCount - offset >= prefix.count else { return false }
        for index in prefix.indices where byte(offset + index) != prefix[index] { return false }
        offset += prefix.count
        return true
    }

    /// Passes over one byte if it comes next.
    @_lifetime(self: copy self)
    mutating func take(_ wanted: UInt8) -> Bool {
        guard next == wanted else { return false }
        offset += 1
        return true
    }

    /// What stands in front of the next `separator`, which is passed over; `nil`, and nothing taken, when
    /// there is none.
    @_lifetime(copy self)
    @_lifetime(self: copy self)
    mutating func field(endedBy separator: UInt8) -> RawSpan? {
        var end = offset
        while end < text.byteCount {
            if byte(end) == separator {
                defer { offset = end + 1 }
                return text.extracting(offset..<end)
            }
            end += 1
        }
        return nil
    }

    /// The value of a SCRAM attribute, `name=value`, up to a comma or the end; `nil`, and nothing taken, when
    /// another attribute comes next. The comma is passed over.
    @_lifetime(copy self)
    @_lifetime(self: copy self)
    mutating func value(of name: UInt8) -> RawSpan? {
        guard text.byteCount - offset >= 2, byte(offset) == name, byte(offset + 1) == UInt8(ascii: "=") else {
            return nil
        }
        offset += 2
        if let value = field(endedBy: UInt8(ascii: ",")) { return value }
        return rest()
    }

    /// Everything that is left.
    @_lifetime(copy self)
    @_lifetime(self: copy self)
    mutating func rest() -> RawSpan {
        defer { offset = text.byteCount }
        return text.extracting(offset..<text.byteCount)
    }

    private func byte(_ offset: Int) -> UInt8 {
        precondition(offset >= 0 && offset < text.byteCount, "an offset lies inside the text")
        return unsafe text.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
    }
}
