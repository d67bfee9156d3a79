import Auth
import Base
import Config
import SharedState
import Wire

/// Taking over a configuration: at the start, and at each reload.
extension PoolCore {
    /// Makes the core follow a validated configuration. Connections stay unless the change forces them to go.
    mutating func apply(_ new: Configuration, userList: [UInt8]) {
        let old = configuration
        configuration = new
        applyHotSettings()
        applyUsers(userList)
        lookupCache.removeAll()
        applyDatabases(old)
        applyPeers()
        for slot in 0..<pools.slotLimit {
            guard let pool = pools.handle(at: slot) else { continue }
            pools[pool].settings = resolvedSettings(Int(pools[pool].database), Int(pools[pool].user))
        }
        makeForcedPools()
        nextFullUpkeep = now
    }

    private mutating func applyHotSettings() {
        let settings = configuration.settings
        hot.maxPacketSize = UInt32(clamping: settings.maxPacketSizeByteCount)
        hot.disablesQuery = settings.disablePQExec
        hot.maxPreparedStatements = settings.maxPreparedStatements
        hot.roundRobin = settings.serverRoundRobin
        hot.checkDelay = settings.serverCheckDelayNanoseconds
        // Nil is no check at all; an empty text is a query too.
        hot.checksBeforeUse = settings.serverCheckQuery != nil
        hot.resetsAlways = settings.serverResetQueryAlways
        hot.resetQuery = !settings.serverResetQuery.isEmpty
        checkQuery = Array((settings.serverCheckQuery ?? "").utf8)
        resetQuery = Array(settings.serverResetQuery.utf8)
    }

    private mutating func applyUsers(_ userList: [UInt8]) {
        for index in users.indices { users[index].isKnown = false }
        for entry in UserList.parse(userList).entries {
            let index = userNumber(entry.name)
            setSecret(index, entry.secret)
            users[index].isKnown = true
        }
        for index in users.indices where !users[index].isKnown { setSecret(index, .none) }
        applyLikeness()
        userDefinitions.removeAll()
        for definition in configuration.users {
            let name = Array(definition.name.utf8)
            users[userNumber(name)].isKnown = true
            userDefinitions[name] = definition
        }
    }

    /// What has been made from a secret stays while the secret does.
    private mutating func setSecret(_ user: Int, _ secret: StoredSecret) {
        guard users[user].secret != secret else { return }
        users[user].secret = secret
        users[user].verifier = nil
        users[user].passThrough = nil
        users[user].keysAreShared = false
        users[user].derived = nil
    }

    private mutating func applyDatabases(_ old: Configuration) {
        var listed: Set<[UInt8]> = []
        for definition in configuration.databases {
            let name = Array(definition.name.utf8)
            listed.insert(name)
            if let index = databaseIndex[name] {
                let before = databases[index].definition
                databases[index].definition = definition
                databases[index].isAuto = false
                let isOther =
                    PoolCore.changesServers(before, definition)
                    || old.serverTLS(of: before) != configuration.serverTLS(of: definition)
                if isOther { replaceServers(of: index) }
            } else {
                addDatabase(name, definition, isAuto: false)
            }
        }
        let template = configuration.autoDatabase
        for index in databases.indices
        where !databases[index].isRemoved && databases[index].peer == 0
            && !listed.contains(databases[index].name)
        {
            guard databases[index].isAuto, let template else {
                removeDatabase(index)
                continue
            }
            guard
                template != old.autoDatabase
                    || old.serverTLS(of: template) != configuration.serverTLS(of: template)
            else { continue }
            databases[index].definition = template.instantiated(as: name(of: index))
            replaceServers(of: index)
        }
    }

    /// Whether servers opened for `old` are of no use for `new`.
    private static func changesServers(_ old: DatabaseDefinition, _ new: DatabaseDefinition) -> Bool {
        old.serverDatabaseName != new.serverDatabaseName || old.hosts != new.hosts || old.port != new.port
            || old.user != new.user || old.connectQuery != new.connectQuery
            || old.loadBalanceHosts != new.loadBalanceHosts || old.authQuery != new.authQuery
            || old.authDatabaseName != new.authDatabaseName
    }

    @discardableResult
    private mutating func addDatabase(_ name: [UInt8], _ definition: DatabaseDefinition, isAuto: Bool) -> Int
    {
        var database = Database(name: name, definition: definition, isAuto: isAuto)
        database.lastUse = now
        database.isKilled = lifecycle.pausesNewDatabases
        let index = isAuto ? vacantDatabase() : nil
        if let index { databases[index] = database } else { databases.append(database) }
        databaseIndex[name] = index ?? databases.count - 1
        return index ?? databases.count - 1
    }

    /// The place of a database that is gone, and of which nothing speaks any more: names that are asked for
    /// once must not fill the memory. O(databases and pools).
    private func vacantDatabase() -> Int? {
        var used = Set(lifecycle.pendingPauses.compactMap(\.database))
        used.formUnion(lifecycle.pendingCloses.compactMap(\.database))
        for slot in 0..<pools.slotLimit {
            if let pool = pools.handle(at: slot) { used.insert(Int(pools[pool].database)) }
        }
        return databases.indices.first { index in
            databases[index].isRemoved && databases[index].peer == 0 && !used.contains(index)
                && databases[index].clientCount == 0 && databases[index].entry.isNone
        }
    }

    /// Clients of a database that is gone are told; its servers and pools follow.
    private mutating func removeDatabase(_ index: Int) {
        databases[index].isRemoved = true
        databaseIndex.removeValue(forKey: databases[index].name)
        for slot in 0..<clients.slotLimit {
            guard let client = clients.handle(at: slot) else { continue }
            if Int(clients[client].database) == index {
                fail(client, .administrator(.databaseRemoved))
            } else if clients[client].isBeingLookedUp, Int(pools[clients[client].pool].database) == index {
                lookupFailed(client)
            }
        }
        replaceServers(of: index)
    }

    /// Every server of a database is closed as soon as its client is done with it, and the pools learn the
    /// parameters of the new ones.
    mutating func replaceServers(of database: Int) {
        for slot in 0..<pools.slotLimit {
            guard let pool = pools.handle(at: slot), Int(pools[pool].database) == database else { continue }
            bytes.release(pools[pool].welcomeMessages)
            pools[pool].welcomeMessages = 0
            parameters.release(pools[pool].welcomeParameters, &bytes)
            pools[pool].welcomeParameters = .empty
            pools[pool].retryAt = 0
            pools[pool].hasFailed = false
        }
        for slot in 0..<servers.slotLimit {
            guard let server = servers.handle(at: slot),
                Int(pools[servers[server].pool].database) == database
            else { continue }
            replace(server)
        }
    }

    private mutating func replace(_ server: Handle<Server>) {
        switch servers[server].state {
        case .idle:
            closeServer(server, reason: "database configuration changed")
        case .connecting, .startup:
            guard !servers[server].isMessenger, !servers[server].isReplication else { return }
            closeServer(server, reason: "connect string changed")
        case .linked, .tested, .beingCancelled, .lending, .lookingUp:
            servers[server].needsClose = true
            let client = servers[server].client
            if servers[server].isReplication, clients.contains(client) {
                fail(client, .server(.configurationChanged))
            }
        case .cancelling:
            break
        }
    }

    // MARK: Finding

    /// The index of a user, made on first sight.
    mutating func userNumber(_ name: [UInt8]) -> Int {
        if let index = userIndex[name] { return index }
        users.append(User(name: name))
        userIndex[name] = users.count - 1
        return users.count - 1
    }

    /// The index of the database clients call by this name; made from the `*` entry if there is one.
    mutating func databaseNumber(_ name: [UInt8]) -> Int? {
        if let index = databaseIndex[name] { return index }
        guard let template = configuration.autoDatabase, name.count < 64, !name.isEmpty else { return nil }
        let start = output.count
        output.append("registered new auto-database: db=")
        output.append(name)
        log(.log, from: start)
        let text = String(decoding: name, as: UTF8.self)
        return addDatabase(name, template.instantiated(as: text), isAuto: true)
    }

    func poolKey(_ database: Int, _ user: Int) -> UInt64 { UInt64(database) << 32 | UInt64(user) }

    /// The pool of a database and user, made on first use; `nil` when there can be no more pools.
    mutating func poolNumber(_ database: Int, _ user: Int) -> Handle<Pool>? {
        let key = poolKey(database, user)
        if let pool = poolIndex[key] { return pool }
        let isPeer = databases[database].peer > 0
        let name = databases[database].name
        guard pools.count < pools.capacity,
            let entry = ledger.join(
                // No database is called what begins with a zero.
                database: Ledger.key(database: isPeer ? [0] + name : name, segment.secrets.instance),
                user: Ledger.key(user: users[user].name, segment.secrets.instance))
        else { return nil }
        let counters =
            isPeer ? block.unusedCounters : block.allocatePool(database: name, user: users[user].name)
        let record = Pool(
            database: Int32(database), user: Int32(user), settings: resolvedSettings(database, user),
            counters: counters, entry: entry, isPeer: isPeer)
        guard let pool = pools.insert(record) else {
            preconditionFailure("there was room for it a moment ago")
        }
        if let before = poolOfEntry.updateValue(pool, forKey: entry) { pools[before].isReplaced = true }
        pools[pool].lastUse = now
        poolIndex[key] = pool
        return pool
    }

    private func resolvedSettings(_ database: Int, _ user: Int) -> ResolvedPoolSettings {
        let name = String(decoding: users[user].name, as: UTF8.self)
        return configuration.poolSettings(
            database: databases[database].definition, poolUser: name, loginUser: name)
    }

    /// Databases with a forced user can be filled before the first client comes.
    private mutating func makeForcedPools() {
        guard identity.index == 0 else { return }
        for index in databases.indices where !databases[index].isRemoved {
            guard let user = databases[index].definition.user else { continue }
            let minimum =
                databases[index].definition.minPoolSize.map(Int.init) ?? configuration.settings.minPoolSize
            if minimum > 0 { _ = poolNumber(index, userNumber(Array(user.utf8))) }
        }
    }
}
