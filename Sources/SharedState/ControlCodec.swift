public import Base

/// Numbers of the messages. They stay for ever.
private enum ControlKind: UInt8 {
    case configuration = 1
    case order = 2
    case rowsWanted = 3
    case resolved = 5
    case workerEnded = 6
    case workerAdded = 7
    case ready = 33
    case acknowledged = 34
    case consoleLogin = 35
    case rows = 36
    case resolve = 37
    case drained = 38
    case orderRequest = 39
}

extension ControlMessage {
    /// Appends the message as one record of at most 60 KiB.
    ///
    /// - Throws: `tooLong`, and then `buffer` is as it was.
    public func encode(into buffer: inout ByteBuffer) throws(ControlError) {
        var writer = FieldWriter(kind: kind.rawValue)
        switch self {
        case .configuration(let epoch, let byteCount):
            writer.add(.epoch, epoch)
            writer.add(.byteCount, byteCount)
        case .order(let order), .orderRequest(let order):
            order.write(to: &writer)
        case .rowsWanted(let request, let kind):
            writer.add(.request, request)
            writer.add(.rowsKind, UInt64(kind.rawValue))
        case .resolved(let answer):
            writer.add(.name, answer.name)
            for address in answer.addresses { writer.add(.address, address) }
            if !answer.problem.isEmpty { writer.add(.text, answer.problem) }
        case .acknowledged(let epoch, let problem):
            writer.add(.epoch, epoch)
            if !problem.isEmpty { writer.add(.text, problem) }
        case .consoleLogin(let login):
            login.write(to: &writer)
        case .rows(let answer):
            writer.add(.request, answer.request)
            if answer.attachedByteCount > 0 { writer.add(.byteCount, answer.attachedByteCount) }
            if !answer.rows.isEmpty { writer.add(.payload, answer.rows) }
            writer.add(.isLast, answer.isLast ? 1 : 0)
        case .resolve(let name):
            writer.add(.name, name)
        case .workerEnded(let index), .workerAdded(let index):
            writer.add(.sender, UInt64(index))
        case .ready, .drained:
            break
        }
        try writer.finish(into: &buffer)
    }

    /// The message in one record.
    ///
    /// - Throws: `unknownMessage` for a kind of a newer program, which the receiver skips; anything else is a
    ///   fault of the sender.
    public static func decode(_ record: RawSpan) throws(ControlError) -> ControlMessage {
        let reader = try FieldReader(record)
        guard let kind = ControlKind(rawValue: reader.kind) else {
            throw .unknownMessage(kind: reader.kind)
        }
        switch kind {
        case .configuration:
            return .configuration(epoch: try reader.number(.epoch), byteCount: try reader.number(.byteCount))
        case .order:
            return .order(try Order(reader))
        case .orderRequest:
            return .orderRequest(try Order(reader))
        case .rowsWanted:
            return .rowsWanted(
                request: try reader.number(.request), kind: try reader.value(.rowsKind, as: RowsKind.self))
        case .resolved:
            return .resolved(try ResolvedName(reader))
        case .workerEnded:
            return .workerEnded(index: Int(try reader.number(.sender, as: UInt16.self)))
        case .workerAdded:
            return .workerAdded(index: Int(try reader.number(.sender, as: UInt16.self)))
        case .ready:
            return .ready
        case .acknowledged:
            return .acknowledged(
                epoch: try reader.number(.epoch), problem: reader.optional(.text) ?? [])
        case .consoleLogin:
            return .consoleLogin(try ConsoleLogin(reader))
        case .rows:
            return .rows(try RowsAnswer(reader))
        case .resolve:
            return .resolve(name: try reader.bytes(.name))
        case .drained:
            return .drained
        }
    }

    private var kind: ControlKind {
        switch self {
        case .configuration: .configuration
        case .order: .order
        case .rowsWanted: .rowsWanted
        case .resolved: .resolved
        case .workerEnded: .workerEnded
        case .workerAdded: .workerAdded
        case .ready: .ready
        case .acknowledged: .acknowledged
        case .consoleLogin: .consoleLogin
        case .rows: .rows
        case .resolve: .resolve
        case .drained: .drained
        case .orderRequest: .orderRequest
        }
    }
}

extension Order {
    fileprivate init(_ reader: FieldReader) throws(ControlError) {
        self.init(
            epoch: try reader.number(.epoch), kind: try reader.value(.order, as: OrderKind.self),
            database: reader.optional(.database), argument: try reader.number(.argument))
    }

    fileprivate func write(to writer: inout FieldWriter) {
        writer.add(.epoch, epoch)
        writer.add(.order, UInt64(kind.rawValue))
        if let database { writer.add(.database, database) }
        writer.add(.argument, argument)
    }
}

extension ResolvedName {
    fileprivate init(_ reader: FieldReader) throws(ControlError) {
        let addresses = reader.all(.address)
        for address in addresses {
            guard [4, 16, 20].contains(address.count) else { throw .badField(tag: FieldTag.address.rawValue) }
        }
        self.init(
            name: try reader.bytes(.name), addresses: addresses, problem: reader.optional(.text) ?? [])
    }
}

extension RowsAnswer {
    fileprivate init(_ reader: FieldReader) throws(ControlError) {
        var attached: UInt64 = 0
        if reader.optional(.byteCount) != nil { attached = try reader.number(.byteCount) }
        self.init(
            request: try reader.number(.request), rows: reader.optional(.payload) ?? [],
            attachedByteCount: attached, isLast: try reader.number(.isLast) != 0)
    }
}

extension ConsoleLogin {
    fileprivate init(_ reader: FieldReader) throws(ControlError) {
        let names = reader.all(.parameterName)
        let values = reader.all(.parameterValue)
        guard names.count == values.count else {
            throw .badField(tag: FieldTag.parameterValue.rawValue)
        }
        var parameters: [Parameter] = []
        for (name, value) in zip(names, values) { parameters.append(Parameter(name: name, value: value)) }
        self.init(
            clientId: try reader.number(.clientId), user: try reader.bytes(.user),
            role: try reader.value(.role, as: ConsoleRole.self), address: try reader.bytes(.address),
            port: try reader.number(.port, as: UInt16.self), parameters: parameters)
    }

    fileprivate func write(to writer: inout FieldWriter) {
        writer.add(.clientId, clientId)
        writer.add(.user, user)
        writer.add(.role, UInt64(role.rawValue))
        writer.add(.address, address)
        writer.add(.port, UInt64(port))
        for parameter in parameters {
            writer.add(.parameterName, parameter.name)
            writer.add(.parameterValue, parameter.value)
        }
    }
}
