/// Reads what a server says from the startup packet to ready-for-query.
enum LoginReply {
    /// What came of it.
    enum Outcome: Equatable {
        /// More must come; this many bytes are done with.
        case incomplete(consumed: Int)
        /// A step of a login by SCRAM, with its code and data; this many bytes are done with.
        case asked(UInt32, [UInt8], consumed: Int)
        /// Logged in, with nothing left over.
        case ready
        /// Refused, or not to be understood.
        case failed(String)
    }

    /// Reads all whole messages.
    static func read(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        var offset = 0
        while bytes.count - offset >= 5 {
            let length = Int(
                UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset + 1, as: UInt32.self)))
            guard length >= 4, length < 1 << 16 else { return .failed("a login message of \(length) bytes") }
            guard bytes.count - offset >= length + 1 else { break }
            let body = UnsafeRawBufferPointer(rebasing: bytes[offset + 5..<offset + 1 + length])
            switch bytes[offset] {
            case UInt8(ascii: "R"):
                guard body.count >= 4 else { return .failed("a request of \(body.count) bytes") }
                let code = UInt32(bigEndian: body.loadUnaligned(as: UInt32.self))
                if code != 0 { return .asked(code, Array(body[4...]), consumed: offset + 1 + length) }
            case UInt8(ascii: "S"), UInt8(ascii: "K"), UInt8(ascii: "N"):
                break
            case UInt8(ascii: "Z"):
                let isAll = offset + 1 + length == bytes.count
                return isAll ? .ready : .failed("bytes after the first ready-for-query")
            case UInt8(ascii: "E"):
                return .failed(ErrorText.readable(body))
            case let type:
                return .failed("a message of type \(type) during login")
            }
            offset += 1 + length
        }
        return .incomplete(consumed: offset)
    }
}

/// Error messages for people.
enum ErrorText {
    /// The fields of an error message's body, one after another.
    static func readable(_ body: UnsafeRawBufferPointer) -> String {
        body.split(separator: 0).map { String(decoding: $0.dropFirst(), as: UTF8.self) }
            .joined(separator: " | ")
    }

    /// Describes bytes that were not expected: an error message's text when they are one.
    static func describe(_ bytes: UnsafeRawBufferPointer) -> String {
        if bytes.count > 5, bytes[0] == UInt8(ascii: "E") {
            return readable(UnsafeRawBufferPointer(rebasing: bytes[5...]))
        }
        let shown = bytes.prefix(48).map { byte in
            (0x20..<0x7F).contains(byte) ? String(UnicodeScalar(byte)) : "."
        }
        return "\(bytes.count) bytes: \(shown.joined())"
    }
}
