public import Base

/// The `options` startup parameter: command-line options for the server process.
public enum StartupOptions {
    /// Takes the settings out of an `options` value and appends them, in the form that `StartupParameters`
    /// walks over.
    ///
    /// Arguments are separated by white space; a backslash takes the next byte literally. Accepted are
    /// `-c name=value`, `-cname=value` and `--name=value`, nothing else. As in PostgreSQL a dash inside a
    /// name stands for an underscore. On an error `output` is as it was.
    public static func parse(_ options: RawSpan, into output: inout ByteBuffer) throws(StartupFault) {
        let begin = output.count
        do throws(StartupFault) {
            var arguments = OptionArguments(options)
            while arguments.skipSpace() {
                guard arguments.take(UInt8(ascii: "-")) else { throw StartupFault.unsupportedOptions }
                if arguments.take(UInt8(ascii: "c")) {
                    guard arguments.skipSpace() else { throw StartupFault.unsupportedOptions }
                } else if !arguments.take(UInt8(ascii: "-")) {
                    throw StartupFault.unsupportedOptions
                }
                try appendSetting(&arguments, into: &output)
            }
            output.append(0)
        } catch {
            output.truncate(to: begin)
            throw error
        }
    }

    private static func appendSetting(
        _ arguments: inout OptionArguments, into output: inout ByteBuffer
    ) throws(StartupFault) {
        let nameBegin = output.count
        while let byte = arguments.nextByte(), byte != UInt8(ascii: "=") {
            output.append(byte == UInt8(ascii: "-") ? UInt8(ascii: "_") : byte)
        }
        guard arguments.previous == UInt8(ascii: "="), output.count > nameBegin else {
            throw .unsupportedOptions
        }
        output.append(0)
        while let byte = arguments.nextByte() { output.append(byte) }
        output.append(0)
    }
}

/// The bytes of the arguments, unescaped one by one.
private struct OptionArguments: ~Copyable, ~Escapable {
    private var reader: MessageReader
    private var current: UInt8?
    /// The byte that `nextByte` gave last.
    private(set) var previous: UInt8 = 0

    @_lifetime(copy bytes)
    init(_ bytes: RawSpan) {
        reader = MessageReader(bytes)
        current = try? reader.readUInt8()
    }

    /// Goes to the next argument; `false` when there is none.
    @_lifetime(self: copy self)
    mutating func skipSpace() -> Bool {
        while let byte = current, OptionArguments.isSpace(byte) { advance() }
        return current != nil
    }

    /// Passes over `byte` if it comes next.
    @_lifetime(self: copy self)
    mutating func take(_ byte: UInt8) -> Bool {
        guard current == byte else { return false }
        advance()
        return true
    }

    /// The next byte of this argument, or `nil` at its end.
    @_lifetime(self: copy self)
    mutating func nextByte() -> UInt8? {
        guard var byte = current, !OptionArguments.isSpace(byte) else {
            return nil
        }
        if byte == UInt8(ascii: "\\") {
            advance()
            guard let escaped = current else { return nil }
            byte = escaped
        }
        advance()
        previous = byte
        return byte
    }

    @_lifetime(self: copy self)
    private mutating func advance() { current = try? reader.readUInt8() }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
}
