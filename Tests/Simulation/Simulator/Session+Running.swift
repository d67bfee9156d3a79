/// What statements do.
extension Session {
    /// Carries out a portal's statement, or, of one with a row limit, a part.
    mutating func run(_ portal: inout Portal, limit: Int, isExtended: Bool) throws(Refusal) {
        guard let command = portal.command else { return }
        switch command {
        case .begin:
            openBlock()
            write("C", "BEGIN")
        case .commit, .rollback:
            endBlock(command)
        case .set(let name, let value):
            try set(name, value)
            write("C", "SET")
        case .setConfig(let names, let values):
            try setConfig(names, values, isExtended)
        case .show(let name):
            guard let key = Session.parameterNames.first(where: { $0.lowercased() == name.lowercased() })
            else { throw Refusal(state: "42704", text: "unrecognized configuration parameter \"\(name)\"") }
            if !isExtended { writeColumns([name], command) }
            if portal.rowsSent == 0 {
                portal.rowsSent = 1
                writeRow([parameters[key] ?? ""])
                if limit == 1 { return write("s") }
            }
            write("C", "SHOW")
        case .select(let selection):
            try select(selection, &portal, limit, isExtended)
        case .insert:
            write("C", "INSERT 0 1")
        case .notice(let text):
            warn("NOTICE", "00000", text)
            write("C", "DO")
        case .copyOut(let rows):
            write(Message("H", [0, 0, 1, 0, 0]))
            for row in 1...max(rows, 1) where row <= rows { write(Message("d", Array("\(row)\n".utf8))) }
            write("c")
            write("C", "COPY \(rows)")
        case .copyIn, .missing:
            preconditionFailure("what is begun or refused elsewhere is not run")
        case .discardAll:
            parameters = defaults
            portals.removeAll()
            forgetNamed()
            write("C", "DISCARD ALL")
        case .deallocateAll:
            forgetNamed()
            write("C", "DEALLOCATE ALL")
        case .deallocate(let name):
            guard statements[name] != nil, !name.isEmpty else {
                throw Refusal(state: "26000", text: "prepared statement \"\(name)\" does not exist")
            }
            statements[name] = nil
            write("C", "DEALLOCATE")
        }
    }

    private mutating func forgetNamed() {
        let unnamed = statements[""]
        statements.removeAll()
        statements[""] = unnamed
    }

    private mutating func endBlock(_ command: Command) {
        let commits = command == .commit && block != .failed
        if block == .implicit { warn("WARNING", "25P01", "there is no transaction in progress") }
        endTransaction(commits: commits || block == .implicit && command == .commit)
        write("C", commits ? "COMMIT" : "ROLLBACK")
    }

    private mutating func setConfig(
        _ names: [String], _ values: [String], _ isExtended: Bool
    ) throws(Refusal) {
        for index in names.indices { try set(names[index], values[index]) }
        if !isExtended { writeColumns(names.map { _ in "set_config" }, .setConfig(names, values)) }
        writeRow(values)
        write("C", "SELECT 1")
    }

    private mutating func select(
        _ selection: Selection, _ portal: inout Portal, _ limit: Int, _ isExtended: Bool
    ) throws(Refusal) {
        if !isExtended { writeColumns(selection.columns.map(\.name), .select(selection)) }
        let left = selection.rows - portal.rowsSent
        let count = limit > 0 ? min(limit, left) : left
        for _ in 0..<count {
            portal.rowsSent += 1
            var values: [String] = []
            for column in selection.columns {
                values.append(try value(column.content, row: portal.rowsSent, portal.values))
            }
            writeRow(values)
        }
        // PostgreSQL looks no further than it was asked to, so it does not know that there is no more.
        if limit > 0, count == limit { return write("s") }
        write("C", "SELECT \(count)")
    }

    private mutating func value(
        _ content: Selection.Column.Content, row: Int, _ values: [String]
    ) throws(Refusal) -> String {
        switch content {
        case .literal(let text): return text
        case .text, .integer: return values.first ?? ""
        case .user: return settings.user
        case .database: return settings.database
        case .row: return String(row)
        case .repeated(let count): return String(repeating: "x", count: count)
        case .divisionByZero: preconditionFailure("it is refused when it is planned")
        case .sleep(let milliseconds):
            if isCancelled {
                throw Refusal(state: "57014", text: "canceling statement due to user request")
            }
            sleptMilliseconds += milliseconds
            return ""
        }
    }

    // MARK: Rows

    mutating func writeColumns(_ names: [String], _ command: Command) {
        var body: [UInt8] = []
        body.appendInteger(UInt16(names.count))
        for (index, name) in names.enumerated() {
            body.appendText(name)
            body.appendInteger(UInt32(0))
            body.appendInteger(UInt16(0))
            body.appendInteger(UInt32(Session.isInteger(command, index) ? 23 : 25))
            body.appendInteger(UInt16(0xFFFF))
            body.appendInteger(UInt32(0xFFFF_FFFF))
            body.appendInteger(UInt16(0))
        }
        write(Message("T", body))
    }

    private static func isInteger(_ command: Command, _ column: Int) -> Bool {
        guard case .select(let selection) = command else { return false }
        switch selection.columns[column].content {
        case .integer, .row: return true
        default: return false
        }
    }

    mutating func writeRow(_ values: [String]) {
        var body: [UInt8] = []
        body.appendInteger(UInt16(values.count))
        for value in values {
            body.appendInteger(UInt32(value.utf8.count))
            body += Array(value.utf8)
        }
        write(Message("D", body))
    }

    mutating func writeParameters(_ command: Command?) {
        var body: [UInt8] = []
        body.appendInteger(UInt16(command?.parameterCount ?? 0))
        if case .select(let selection)? = command,
            let column = selection.columns.first(where: { $0.usesParameter })
        {
            body.appendInteger(UInt32(column.content == .integer ? 23 : 25))
        }
        write(Message("t", body))
    }
}
