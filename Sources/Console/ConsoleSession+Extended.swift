import Base
import SharedState
import Wire

/// The extended query protocol: Parse, Bind, Describe, Execute, Close, Sync and Flush.
extension ConsoleSession {
    /// Serves one message of it.
    mutating func serveExtended(_ type: UInt8, _ body: [UInt8]) -> ConsoleRequest? {
        var reader = unsafe MessageReader(body.span.bytes)
        do throws(ConsoleError) {
            switch type {
            case FrontendMessage.sync: sync()
            case FrontendMessage.parse: try parse(&reader)
            case FrontendMessage.bind: try bind(&reader)
            case FrontendMessage.describe: try describe(&reader)
            case FrontendMessage.execute: return try execute(&reader)
            case FrontendMessage.close: try forget(&reader)
            case _: break
            }
        } catch {
            fail(error)
            extended.isSkipping = true
        }
        return nil
    }

    /// Ends a series of messages, and every portal with it.
    private mutating func sync() {
        extended.isSkipping = false
        extended.portals = [:]
        output.appendReadyForQuery(.idle)
    }

    private mutating func parse(_ reader: inout MessageReader) throws(ConsoleError) {
        let name: [UInt8]
        let text: [UInt8]
        let typeCount: Int16
        do throws(WireError) {
            name = try reader.readCString().array
            text = try reader.readCString().array
            typeCount = try reader.readInt16()
        } catch { throw .badPacket }
        guard typeCount == 0, !ConsoleLexer.hasParameter(text) else { throw .parametersNotSupported }
        guard name.count <= ExtendedProtocol.nameLimit else { throw .badArguments }
        guard name.isEmpty || extended.statements[name] == nil else {
            throw ConsoleError(
                .duplicatePreparedStatement,
                "prepared statement \"\(ConsoleSession.text(name))\" already exists")
        }
        guard extended.statements.count < ExtendedProtocol.statementLimit || name.isEmpty else {
            throw ConsoleError(.programLimitExceeded, "too many prepared statements on the console")
        }
        let command = ConsoleLexer.isEmpty(text) ? nil : try ConsoleCommand.parse(text)
        extended.statements[name] = .some(command)
        output.appendParseComplete()
    }

    private mutating func bind(_ reader: inout MessageReader) throws(ConsoleError) {
        let portal: [UInt8]
        let statement: [UInt8]
        let parameterCount: Int16
        var codes: [Int16] = []
        do throws(WireError) {
            portal = try reader.readCString().array
            statement = try reader.readCString().array
            for _ in 0..<max(0, try reader.readInt16()) { _ = try reader.readInt16() }
            parameterCount = try reader.readInt16()
            if parameterCount == 0 {
                for _ in 0..<max(0, try reader.readInt16()) { codes.append(try reader.readInt16()) }
            }
        } catch { throw .badPacket }
        guard parameterCount == 0 else { throw .parametersNotSupported }
        guard portal.count <= ExtendedProtocol.nameLimit else { throw .badArguments }
        let command = try self.statement(statement)
        let formats = ColumnFormats(codes)
        guard formats.fit(columnCount: command?.columns?.count ?? 0) else {
            throw ConsoleError(
                "bind message has \(codes.count) result formats but query has "
                    + "\(command?.columns?.count ?? 0) columns")
        }
        guard portal.isEmpty || extended.portals[portal] == nil else {
            throw ConsoleError(.duplicateCursor, "cursor \"\(ConsoleSession.text(portal))\" already exists")
        }
        guard extended.portals.count < ExtendedProtocol.portalLimit else {
            throw ConsoleError(.programLimitExceeded, "too many portals on the console")
        }
        extended.portals[portal] = ExtendedProtocol.Portal(command: command, formats: formats)
        output.appendBindComplete()
    }

    private mutating func describe(_ reader: inout MessageReader) throws(ConsoleError) {
        let (kind, name) = try ConsoleSession.target(&reader)
        let command: ConsoleCommand?
        var formats = ColumnFormats.text
        switch kind {
        case .statement:
            command = try statement(name)
            output.appendParameterDescription(types: [])
        case .portal:
            let portal = try portal(name)
            command = portal.command
            formats = portal.formats
        }
        guard let columns = command?.columns else { return output.appendNoData() }
        ConsoleTable(columns: columns).encodeDescription(into: &output, formats)
    }

    private mutating func execute(_ reader: inout MessageReader) throws(ConsoleError) -> ConsoleRequest? {
        let name: [UInt8]
        let limit: Int32
        do throws(WireError) {
            name = try reader.readCString().array
            limit = try reader.readInt32()
        } catch { throw .badPacket }
        let portal = try portal(name)
        let running = ExtendedProtocol.Running(portal: name, rowLimit: max(0, Int(limit)))
        guard let command = portal.command else {
            output.appendEmptyQueryResponse()
            return nil
        }
        if portal.table != nil {
            sendRows(running)
            return nil
        }
        guard !portal.isDone else {
            throw ConsoleError(
                .objectNotInPrerequisiteState, "portal \"\(ConsoleSession.text(name))\" cannot be run")
        }
        totals[.queries] += 1
        totals[.transactions] += 1
        extended.running = running
        return begin(command)
    }

    /// Close: what is not there is closed too.
    private mutating func forget(_ reader: inout MessageReader) throws(ConsoleError) {
        let (kind, name) = try ConsoleSession.target(&reader)
        switch kind {
        case .statement: extended.statements[name] = nil
        case .portal: extended.portals[name] = nil
        }
        output.appendCloseComplete()
    }

    /// What an Execute came to.
    mutating func deliver(_ outcome: ConsoleOutcome, to running: ExtendedProtocol.Running) {
        switch outcome {
        case .table(let table):
            extended.portals[running.portal]?.table = table
            sendRows(running)
        case .tag(let tag):
            extended.portals[running.portal]?.isDone = true
            output.appendCommandComplete(tag)
        case .failed(let error):
            fail(error)
            extended.isSkipping = true
        }
    }

    private mutating func sendRows(_ running: ExtendedProtocol.Running) {
        guard let portal = extended.portals[running.portal], let table = portal.table else { return }
        let left = table.rows.count - portal.nextRow
        let count = running.rowLimit == 0 ? left : min(left, running.rowLimit)
        let rows = portal.nextRow..<(portal.nextRow + count)
        table.encodeRows(rows, into: &output, portal.formats)
        extended.portals[running.portal]?.nextRow += count
        // As PostgreSQL does: whoever asked for exactly what there was hears of the end the next time.
        if running.rowLimit > 0, count == running.rowLimit {
            output.appendPortalSuspended()
        } else {
            output.appendCommandComplete(ConsoleTable.tag)
        }
    }

    private func statement(_ name: [UInt8]) throws(ConsoleError) -> ConsoleCommand? {
        guard let command = extended.statements[name] else {
            throw ConsoleError(
                .invalidStatementName, "prepared statement \"\(ConsoleSession.text(name))\" does not exist")
        }
        return command
    }

    private func portal(_ name: [UInt8]) throws(ConsoleError) -> ExtendedProtocol.Portal {
        guard let portal = extended.portals[name] else {
            throw ConsoleError(.invalidCursorName, "portal \"\(ConsoleSession.text(name))\" does not exist")
        }
        return portal
    }

    private static func text(_ name: [UInt8]) -> String { String(decoding: name, as: UTF8.self) }

    private static func target(
        _ reader: inout MessageReader
    ) throws(ConsoleError) -> (kind: StatementOrPortal, name: [UInt8]) {
        do throws(WireError) {
            guard let kind = StatementOrPortal(rawValue: try reader.readUInt8()) else { throw .invalidValue }
            return (kind, try reader.readCString().array)
        } catch { throw .badPacket }
    }
}
