/// How a view fills a terminal: lines that are never wider or more than there is room for.
struct TopLayout {
    /// A line, and whether it stands out.
    struct Line: Equatable {
        var text: String
        var isHeading = false
    }

    let width: Int
    let height: Int
    let order: TopOrder

    /// A part with rows under names.
    private struct Section {
        var table: TextTable
        /// The place among the columns of each, from the least dispensable on.
        var priorities: [Int]
        /// Columns of text that may be cut when even so there is no room.
        var shrinkable: [Int]
    }

    /// - Parameters:
    ///   - title: what is looked at.
    ///   - clock: the time of day.
    func lines(_ view: TopView, title: String, clock: String) -> [Line] {
        guard width > 0, height > 0 else { return [] }
        var lines = [
            Line(text: ends(title, clock), isHeading: false), Line(text: summary(view)),
        ]
        let sections = [pools(view), workers(view), waiters(view)].filter { !$0.table.rows.isEmpty }
        let available = height - lines.count - 1
        let shares = TopLayout.shares(sections.map(\.table.rows.count), available: available)
        for (section, rows) in zip(sections, shares) where rows > 0 {
            lines.append(Line(text: ""))
            lines += render(section, rows: rows)
        }
        lines = Array(lines.prefix(height - 1))
        while lines.count < height - 1 { lines.append(Line(text: "")) }
        lines.append(Line(text: footer))
        return lines.suffix(height).map { Line(text: $0.text.cut(to: width), isHeading: $0.isHeading) }
    }

    /// How many rows each part gets; a part that gets any takes two more lines. What is first matters most.
    static func shares(_ wanted: [Int], available: Int) -> [Int] {
        var shares = wanted.map { _ in 0 }
        var left = available
        // One row each first, as far as there is room for them at all.
        for index in wanted.indices where wanted[index] > 0 && left >= 3 {
            shares[index] = 1
            left -= 3
        }
        while left > 0 {
            var grew = false
            for index in wanted.indices where shares[index] > 0 && shares[index] < wanted[index] && left > 0 {
                shares[index] += 1
                left -= 1
                grew = true
            }
            if !grew { break }
        }
        return shares
    }

    private var footer: String {
        let words = TopOrder.allCases.map { "\($0.key) \($0.rawValue)" }.joined(separator: "  ")
        let long = "sorted by \(order.rawValue)   \(words)   q quit"
        guard long.displayWidth > width else { return long }
        let keys = TopOrder.allCases.map { order == $0 ? "[\($0.key)]" : String($0.key) }
        return "sort: \(keys.joined(separator: " "))   q quit"
    }

    private func summary(_ view: TopView) -> String {
        let sums = view.now.sums
        var parts = [view.now.state.harmless]
        if let rate = view.transactionRate { parts.append("xact/s \(Units.count(rate))") }
        if let rate = view.queryRate { parts.append("query/s \(Units.count(rate))") }
        var waiting = "clients \(sums.clients), \(sums.waitingClients) waiting"
        if sums.waitingClients > 0 {
            waiting += " \(Units.duration(microseconds: sums.longestWaitMicroseconds))"
        }
        parts += [waiting, "servers \(sums.servers), \(sums.idleServers) idle"]
        return parts.joined(separator: TextTable.gap)
    }

    /// Text at both ends of a line; the left one yields.
    private func ends(_ left: String, _ right: String) -> String {
        let room = width - right.displayWidth - 1
        guard room > 0 else { return left.cut(to: width) }
        return left.harmless.cut(to: room).padded(to: room) + " " + right
    }

    // MARK: Parts

    private func pools(_ view: TopView) -> Section {
        var table = TextTable([
            Column("DATABASE"), Column("USER"), Column("CLIENTS", isNumber: true),
            Column("WAITING", isNumber: true), Column("LONGEST", isNumber: true),
            Column("SERVERS", isNumber: true), Column("IDLE", isNumber: true),
            Column("XACT/S", isNumber: true), Column("QUERY/S", isNumber: true),
            Column("QUERY50", isNumber: true), Column("QUERY99", isNumber: true),
            Column("XACT99", isNumber: true), Column("WAIT99", isNumber: true),
        ])
        table.rows = view.sorted(by: order).map { pool in
            let longest = pool.now.longestWaitMicroseconds
            return [
                TextTable.cell(pool.now.database), TextTable.cell(pool.now.user), "\(pool.now.clients)",
                "\(pool.now.waiting)", longest > 0 ? Units.duration(microseconds: longest) : "-",
                "\(pool.now.servers)", "\(pool.now.idle)", pool.transactionRate.map(Units.count) ?? "-",
                pool.queryRate.map(Units.count) ?? "-", TopLayout.time(pool.now.queryP50),
                TopLayout.time(pool.now.queryP99), TopLayout.time(pool.now.transactionP99),
                TopLayout.time(pool.now.waitP99),
            ]
        }
        return Section(
            table: table, priorities: [0, 2, 3, 5, 8, 10, 1, 4, 12, 7, 6, 11, 9], shrinkable: [0, 1])
    }

    private func workers(_ view: TopView) -> Section {
        var table = TextTable([
            Column("WORKER", isNumber: true), Column("PROCESS", isNumber: true), Column("STATE"),
            Column("CPU%", isNumber: true), Column("CLIENTS", isNumber: true),
            Column("WAITING", isNumber: true), Column("SERVERS", isNumber: true),
            Column("IDLE", isNumber: true), Column("BEAT", isNumber: true),
            Column("RESTARTS", isNumber: true),
        ])
        func number(_ value: Int?) -> String { value.map { "\($0)" } ?? "-" }
        table.rows = view.workers.map { worker in
            [
                "\(worker.now.index)", number(worker.now.process), TextTable.cell(worker.now.state),
                worker.processorShare.map { "\(Int(($0 * 100).rounded()))" } ?? "-",
                number(worker.now.clients), number(worker.now.waiting), number(worker.now.servers),
                number(worker.now.idle),
                worker.now.beatMilliseconds.map { Units.duration(milliseconds: $0) } ?? "-",
                number(worker.now.restarts),
            ]
        }
        return Section(table: table, priorities: [0, 2, 3, 4, 5, 6, 8, 9, 7, 1], shrinkable: [2])
    }

    private func waiters(_ view: TopView) -> Section {
        var table = TextTable([
            Column("WAITING", isNumber: true), Column("FOR"), Column("DATABASE"), Column("USER"),
            Column("CLIENT", isNumber: true), Column("ADDRESS"), Column("APPLICATION"),
        ])
        table.rows = view.now.waiters.map { waiter in
            [
                Units.duration(microseconds: waiter.waitMicroseconds), TextTable.cell(waiter.waitsFor),
                TextTable.cell(waiter.database), TextTable.cell(waiter.user), TextTable.cell(waiter.id),
                TextTable.cell(waiter.address), TextTable.cell(waiter.application),
            ]
        }
        return Section(table: table, priorities: [0, 1, 2, 3, 4, 6, 5], shrinkable: [6, 2, 3, 5])
    }

    private static func time(_ microseconds: UInt64?) -> String {
        guard let microseconds, microseconds > 0 else { return "-" }
        return Units.duration(microseconds: microseconds)
    }

    // MARK: Rendering

    /// A part in `rows` rows; the last says how many there are besides, when not all have room.
    private func render(_ section: Section, rows: Int) -> [Line] {
        var table = section.table
        let hidden = table.rows.count - rows
        if hidden > 0 { table.rows = Array(table.rows.prefix(rows - 1)) }
        fit(&table, section)
        var lines = table.lines.map { Line(text: $0) }
        lines[0].isHeading = true
        if hidden > 0 { lines.append(Line(text: "and \(hidden + 1) more")) }
        return lines
    }

    /// Cuts long names, then leaves out columns, the most dispensable first, until it is narrow enough.
    private func fit(_ table: inout TextTable, _ section: Section) {
        let shortest = 12
        var kept = section.priorities
        func total(_ widths: [Int]) -> Int {
            kept.reduce(-TextTable.gap.count) { $0 + widths[$1] + TextTable.gap.count }
        }
        var widths = table.widths
        while kept.count > 1 {
            let excess = total(widths) - width
            guard excess > 0 else { break }
            let spare = section.shrinkable.filter(kept.contains)
                .map { ($0, max(0, widths[$0] - shortest)) }
            if spare.reduce(0, { $0 + $1.1 }) >= excess {
                var left = excess
                for (column, room) in spare {
                    let less = min(room, left)
                    widths[column] -= less
                    left -= less
                }
            } else {
                kept.removeLast()
            }
        }
        let columns = kept.sorted()
        for row in table.rows.indices {
            table.rows[row] = columns.map { table.rows[row][$0].cut(to: widths[$0]) }
        }
        table.columns = columns.map { table.columns[$0] }
    }
}
