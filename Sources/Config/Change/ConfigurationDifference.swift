/// What a reload from one configuration to another changes.
public struct ConfigurationDifference: Equatable, Sendable {
    /// The changes: settings in their order, then databases, users, peers by name.
    public let changes: [ConfigurationChange]
    /// The new configuration as it comes into force: with the old values of what only a restart applies.
    public let effective: Configuration

    /// Compares two configurations. O(settings + databases + users).
    public init(from old: Configuration, to new: Configuration) {
        var changes: [ConfigurationChange] = []
        var effective = new
        for (index, field) in SettingTable.settings.enumerated() {
            let (oldText, newText) = (old.settings.texts[index], new.settings.texts[index])
            guard oldText != newText else { continue }
            let name = field.setting.name
            let (oldShown, newShown) = (old.settings.shownText(at: index), new.settings.shownText(at: index))
            if field.setting.isReloadable {
                changes.append(.setting(name: name, old: oldShown, new: newShown))
            } else {
                changes.append(.settingNeedsRestart(name: name, old: oldShown, new: newShown))
                effective.settings.copy(index, from: old.settings)
            }
        }
        let oldDatabases = old.databases + [old.autoDatabase].compactMap(\.self)
        let newDatabases = new.databases + [new.autoDatabase].compactMap(\.self)
        ConfigurationDifference.compare(oldDatabases, newDatabases, name: \.name) { old, new in
            switch (old, new) {
            case (.some(let old), .some(let new)):
                changes.append(
                    .databaseChanged(name: new.name, replacesServers: new.needsOtherServers(than: old)))
            case (.some(let old), nil): changes.append(.databaseRemoved(name: old.name))
            case (nil, .some(let new)): changes.append(.databaseAdded(name: new.name))
            case (nil, nil): break
            }
        }
        ConfigurationDifference.compare(old.users, new.users, name: \.name) { old, new in
            switch (old, new) {
            case (.some, .some(let new)): changes.append(.userChanged(name: new.name))
            case (.some(let old), nil): changes.append(.userRemoved(name: old.name))
            case (nil, .some(let new)): changes.append(.userAdded(name: new.name))
            case (nil, nil): break
            }
        }
        if old.peers != new.peers { changes.append(.peersChanged) }
        for (path, bytes) in new.tlsFiles.sorted(by: { $0.key < $1.key })
        where old.tlsFiles[path].map({ $0 != bytes }) ?? false {
            changes.append(.fileChanged(path: path))
        }
        self.changes = changes
        self.effective = effective
    }

    /// Calls `report` for every element that is only in one list, or differs between them, by name.
    private static func compare<Element: Equatable>(
        _ old: [Element], _ new: [Element], name: KeyPath<Element, String>,
        report: (_ old: Element?, _ new: Element?) -> Void
    ) {
        func precedes(_ a: Element, _ b: Element) -> Bool {
            a[keyPath: name].utf8.lexicographicallyPrecedes(b[keyPath: name].utf8)
        }
        var oldRest = old.sorted(by: precedes)[...]
        var newRest = new.sorted(by: precedes)[...]
        while true {
            switch (oldRest.first, newRest.first) {
            case (nil, nil): return
            case (.some(let old), nil):
                report(old, nil)
                oldRest.removeFirst()
            case (nil, .some(let new)):
                report(nil, new)
                newRest.removeFirst()
            case (.some(let old), .some(let new)):
                if precedes(old, new) {
                    report(old, nil)
                    oldRest.removeFirst()
                } else if precedes(new, old) {
                    report(nil, new)
                    newRest.removeFirst()
                } else {
                    if old != new { report(old, new) }
                    oldRest.removeFirst()
                    newRest.removeFirst()
                }
            }
        }
    }
}

extension DatabaseDefinition {
    /// Whether servers of `old` are of no use to this entry, so that they are closed as they become free.
    ///
    /// The same keys are marked `replacesServers` in `SettingTable`.
    public func needsOtherServers(than old: DatabaseDefinition) -> Bool {
        serverDatabaseName != old.serverDatabaseName || hosts != old.hosts || port != old.port
            || user != old.user || authQuery != old.authQuery || authDatabaseName != old.authDatabaseName
            || loadBalanceHosts != old.loadBalanceHosts || connectQuery != old.connectQuery
            || serverTLS != old.serverTLS
    }
}
