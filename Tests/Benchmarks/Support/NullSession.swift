public import Base

/// The server's end of one conversation with `NullPostgres`: bytes in, replies out, no sockets.
///
/// It answers what well-behaved clients and poolers send, and does not keep named statements: one that was
/// not parsed here answers a row with its parameter.
public struct NullSession: BitwiseCopyable {
    /// How a client has to prove itself.
    public enum Authentication: BitwiseCopyable, Sendable {
        case trust
        /// An md5 challenge is sent; any answer will do.
        case md5
    }

    /// Why the session stopped reading its input.
    public enum Pause: BitwiseCopyable, Equatable, Sendable {
        /// The rest is no whole message.
        case needsInput
        /// Send what is in the output, then this part of `Replies.big`, then go on with the input's rest.
        case bigAnswer(start: Int)
        /// Send what is in the output and close.
        case close
    }

    private enum Phase: BitwiseCopyable { case startup, password, ready }

    private let authentication: Authentication
    private let processID: UInt32
    private var phase = Phase.startup
    private var status = UInt8(ascii: "I")
    private var owesReady = false
    private var unnamed = Statement.empty
    private var portal = Statement.empty
    private var user = ShortText.one

    /// A session that waits for a startup packet.
    public init(authentication: Authentication, processID: UInt32) {
        self.authentication = authentication
        self.processID = processID
    }

    /// Answers all whole messages at the start of `input`.
    /// - Returns: how many bytes are done with, and why it went no further.
    public mutating func answer(
        _ input: UnsafeRawBufferPointer, with replies: Replies, into output: inout ByteBuffer
    ) -> (consumed: Int, pause: Pause) {
        var offset = 0
        if owesReady {
            owesReady = false
            replies.appendReady(status, to: &output)
        }
        while true {
            let headerByteCount = phase == .startup ? 4 : 5
            guard input.count - offset >= headerByteCount else { return (offset, .needsInput) }
            let length = Int(input.number(at: offset + headerByteCount - 4))
            guard length >= 4, length <= 1 << 26 else { return (offset, .close) }
            let byteCount = headerByteCount - 4 + length
            guard input.count - offset >= byteCount else { return (offset, .needsInput) }
            let bodyRange = offset + headerByteCount..<offset + byteCount
            let body = UnsafeRawBufferPointer(rebasing: input[bodyRange])
            let pause: Pause
            switch phase {
            case .startup: pause = start(body, replies, &output)
            case .password: pause = welcome(replies, &output)
            case .ready: pause = answer(input[offset], body, replies, &output)
            }
            offset += byteCount
            if pause != .needsInput { return (offset, pause) }
        }
    }

    private mutating func start(
        _ body: UnsafeRawBufferPointer, _ replies: Replies, _ output: inout ByteBuffer
    ) -> Pause {
        guard body.count >= 4 else { return .close }
        switch body.number(at: 0) {
        case 80_877_103, 80_877_104:  // encryption by TLS or GSSAPI
            output.append(UInt8(ascii: "N"))
            return .needsInput
        case 80_877_102:  // a cancel request wants no answer
            return .close
        default:
            user = NullSession.user(in: body)
        }
        if authentication == .trust { return welcome(replies, &output) }
        phase = .password
        output.appendMessage("R") {
            $0.append(bigEndian: UInt32(5))
            $0.append(bigEndian: UInt32(0x5A17_5A17))
        }
        return .needsInput
    }

    private mutating func welcome(_ replies: Replies, _ output: inout ByteBuffer) -> Pause {
        phase = .ready
        let name = String(decoding: (0..<user.count).map { user[$0] }, as: UTF8.self)
        replies.appendWelcome(user: name, processID: processID, to: &output)
        return .needsInput
    }

    private mutating func answer(
        _ type: UInt8, _ body: UnsafeRawBufferPointer, _ replies: Replies, _ output: inout ByteBuffer
    ) -> Pause {
        switch type {
        case UInt8(ascii: "Q"):
            return query(Statement(body.text(at: 0)), replies, &output)
        case UInt8(ascii: "P"):
            let name = body.text(at: 0)
            if name.isEmpty { unnamed = Statement(body.text(at: name.count + 1)) }
            output.append(replies.parseComplete)
        case UInt8(ascii: "B"):
            bind(body)
            output.append(replies.bindComplete)
        case UInt8(ascii: "D"):
            describe(body, replies, &output)
        case UInt8(ascii: "E"):
            return execute(portal, replies, &output)
        case UInt8(ascii: "C"):
            output.append(replies.closeComplete)
        case UInt8(ascii: "S"):
            replies.appendReady(status, to: &output)
        case UInt8(ascii: "H"):
            break
        case UInt8(ascii: "X"):
            return .close
        default:
            refuse(type, &output)
            return .close
        }
        return .needsInput
    }

    private mutating func query(
        _ statement: Statement, _ replies: Replies, _ output: inout ByteBuffer
    ) -> Pause {
        switch statement {
        case .row, .parameterRow: output.append(replies.numberDescription)
        case .big:
            owesReady = true
            return .bigAnswer(start: 0)
        case .empty, .begin, .commit, .rollback, .set, .reset, .discard: break
        }
        let pause = execute(statement, replies, &output)
        replies.appendReady(status, to: &output)
        return pause
    }

    private mutating func execute(
        _ statement: Statement, _ replies: Replies, _ output: inout ByteBuffer
    ) -> Pause {
        switch statement {
        case .row(let value):
            replies.appendRow(value, to: &output)
            output.append(replies.oneRowComplete)
            return .needsInput
        case .parameterRow:
            replies.appendRow(.one, to: &output)
            output.append(replies.oneRowComplete)
            return .needsInput
        case .big:
            return .bigAnswer(start: replies.textDescription.count)
        case .empty:
            output.append(replies.emptyQuery)
            return .needsInput
        case .begin: status = UInt8(ascii: "T")
        case .commit, .rollback: status = UInt8(ascii: "I")
        case .set, .reset, .discard: break
        }
        output.append(Replies.complete(statement.tag))
        return .needsInput
    }

    /// Makes the portal: a copy of its statement with the parameter put in.
    private mutating func bind(_ body: UnsafeRawBufferPointer) {
        let portalName = body.text(at: 0)
        let name = body.text(at: portalName.count + 1)
        portal = name.isEmpty ? unnamed : .parameterRow
        guard case .parameterRow = portal else { return }
        let formats = portalName.count + name.count + 2
        guard body.count >= formats + 2 else { return }
        let parameters = formats + 2 + 2 * Int(body.shortNumber(at: formats))
        guard body.count >= parameters + 6, body.shortNumber(at: parameters) > 0 else { return }
        let byteCount = Int(Int32(bitPattern: body.number(at: parameters + 2)))
        guard byteCount >= 0, body.count >= parameters + 6 + byteCount else { return }
        let value = UnsafeRawBufferPointer(rebasing: body[parameters + 6..<parameters + 6 + byteCount])
        portal = .row(ShortText(value))
    }

    private func describe(_ body: UnsafeRawBufferPointer, _ replies: Replies, _ output: inout ByteBuffer) {
        let isStatement = body.first == UInt8(ascii: "S")
        let isNamed = body.count > 2
        let statement = isStatement ? (isNamed ? .parameterRow : unnamed) : portal
        if isStatement { output.append(replies.oneParameter) }
        switch statement {
        case .row, .parameterRow: output.append(replies.numberDescription)
        case .big: output.append(replies.textDescription)
        case .empty, .begin, .commit, .rollback, .set, .reset, .discard: output.append(replies.noData)
        }
    }

    private func refuse(_ type: UInt8, _ output: inout ByteBuffer) {
        output.appendMessage("E") { body in
            for field in ["SFATAL", "VFATAL", "C08P01", "Munexpected message type \(type)"] {
                body.append(zeroTerminated: field)
            }
            body.append(UInt8(0))
        }
    }

    private static func user(in body: UnsafeRawBufferPointer) -> ShortText {
        var offset = 4
        while offset < body.count {
            let name = body.text(at: offset)
            let value = body.text(at: offset + name.count + 1)
            if name.elementsEqual("user".utf8) { return ShortText(value) }
            offset += name.count + value.count + 2
        }
        return .one
    }
}

extension UnsafeRawBufferPointer {
    /// A 32-bit number in network order.
    fileprivate func number(at offset: Int) -> UInt32 {
        UInt32(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    /// A 16-bit number in network order.
    fileprivate func shortNumber(at offset: Int) -> UInt16 {
        UInt16(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }

    /// The bytes from an offset to the next zero byte, or to the end.
    fileprivate func text(at offset: Int) -> UnsafeRawBufferPointer {
        guard offset < count else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        var end = offset
        while end < count, self[end] != 0 { end += 1 }
        return UnsafeRawBufferPointer(rebasing: self[offset..<end])
    }
}
