import SharedState

/// How rows about the same thing from several workers become one row, column by column.
enum ColumnMerge {
    /// What makes rows be about the same thing.
    case key
    /// The sum over workers.
    case sum
    /// The greatest over workers.
    case greatest
    /// The longest wait: this column in seconds, the next one its microseconds.
    case longestWait
    /// Decided by `longestWait` before it.
    case longestWaitRest
    /// The same everywhere: the first that is not NULL.
    case first
}

extension RowsKind {
    /// How this kind's rows are merged; empty when every row stands for itself.
    var merge: [ColumnMerge] {
        switch self {
        case .clients, .servers, .worker, .waiters: []
        case .memory: [.key, .first, .sum, .sum, .sum]
        case .pools:
            [.key, .key] + [ColumnMerge](repeating: .sum, count: 11)
                + [.longestWait, .longestWaitRest, .first, .first]
        case .databases:
            [.key] + [ColumnMerge](repeating: .first, count: 11) + [.sum, .first, .sum, .greatest, .greatest]
        case .users: [.key, .first, .first, .first, .first, .sum, .first, .sum]
        case .lists: [.key, .sum]
        case .peers: [.key, .first, .first, .first]
        case .peerPools: [.key, .sum, .sum, .sum, .sum]
        }
    }
}

/// Merges rows by their keys.
enum RowsMerge {
    /// One row per key, ordered by key.
    ///
    /// - Precondition: every row has as many fields as `plan`.
    static func merge(_ rows: [[[UInt8]?]], _ plan: [ColumnMerge]) -> [[[UInt8]?]] {
        var places: [[[UInt8]]: Int] = [:]
        var result: [[[UInt8]?]] = []
        for row in rows {
            let key = key(row, plan)
            if let place = places[key] {
                combine(&result[place], row, plan)
            } else {
                places[key] = result.count
                result.append(row)
            }
        }
        return sorted(result) { key($0, plan) }
    }

    /// Rows ordered by what `key` gives, byte by byte; rows of the same key keep their order.
    static func sorted(_ rows: [[[UInt8]?]], key: ([[UInt8]?]) -> [[UInt8]]) -> [[[UInt8]?]] {
        let keys = rows.map(key)
        let order = rows.indices.sorted { left, right in
            for (first, second) in zip(keys[left], keys[right]) where first != second {
                return first.lexicographicallyPrecedes(second)
            }
            return left < right
        }
        return order.map { rows[$0] }
    }

    /// A field as a number; 0 when it is none.
    static func number(_ field: [UInt8]?) -> Int {
        field.flatMap { Int(String(decoding: $0, as: UTF8.self)) } ?? 0
    }

    private static func key(_ row: [[UInt8]?], _ plan: [ColumnMerge]) -> [[UInt8]] {
        var key: [[UInt8]] = []
        for (field, rule) in zip(row, plan) where rule == .key { key.append(field ?? []) }
        return key
    }

    private static func combine(_ row: inout [[UInt8]?], _ other: [[UInt8]?], _ plan: [ColumnMerge]) {
        for (index, rule) in plan.enumerated() {
            switch rule {
            case .key, .longestWaitRest: continue
            case .sum:
                row[index] = text(number(row[index]) &+ number(other[index]))
            case .greatest:
                row[index] = text(max(number(row[index]), number(other[index])))
            case .longestWait:
                let mine = (number(row[index]), number(row[index + 1]))
                let theirs = (number(other[index]), number(other[index + 1]))
                guard theirs > mine else { continue }
                row[index] = other[index]
                row[index + 1] = other[index + 1]
            case .first:
                row[index] = row[index] ?? other[index]
            }
        }
    }

    private static func text(_ number: Int) -> [UInt8] { Array(String(number).utf8) }
}
