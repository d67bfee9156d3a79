#if DEBUG || INVARIANTS
    import Auth
    import Base
    import Config
    import SharedState
    import Wire

    @testable import PoolCore

    /// A core with nothing around it: its user plays clients, servers and the clock, and reads what the core
    /// sends.
    open class CoreRig {
        public var core: PoolCore
        public let shared: SharedMemory
        /// All connections there have been, by their slots.
        private var links: [Link] = [Link()]

        private struct Link {
            /// Whose it is, as long as it is open.
            var peer: Peer?
            /// Bytes sent to it and not read by the test yet.
            var sent: [UInt8] = []
            /// Bytes the core did not take yet.
            var held: [UInt8] = []
            /// They are not to be shown again before they are asked for.
            var isWaiting = false
            /// The core has closed it.
            var isClosed = false
        }

        /// Servers the core wants connected.
        public var connecting: [Handle<Server>] = []
        /// Connections the core has closed.
        public var closed: Set<ConnectionID> { Set(connections.filter { links[Int($0.slot)].isClosed }) }
        /// What was complained of.
        public private(set) var faults: [String] = []
        /// Log lines.
        public var log: [String] { lines.map { String(decoding: $0, as: UTF8.self) } }
        private var lines: [[UInt8]] = []
        /// Whether the invariants are checked after every event, and not only when `check` is called.
        public var checksEveryEvent = true
        public private(set) var broadcasts: [[UInt8]] = []
        public private(set) var broadcasters: [Handle<Client>] = []
        public private(set) var answers: [(CancelTicket, Bool)] = []
        public private(set) var drops: [[UInt8]] = []
        public private(set) var acknowledged: [UInt64] = []
        /// Orders about something that is not here.
        public private(set) var missing: [UInt64] = []
        public private(set) var isDrained = false
        /// Connections that the core wants encrypted and has not been told that they are.
        public private(set) var encrypting: Set<ConnectionID> = []
        /// What was sent to other workers, and the server whose descriptor goes with it.
        public private(set) var posted: [Post] = []
        /// Answers whether a message with a server finds room; the others always do.
        public var hasRoom = true
        /// Connections on which the core wants nothing to be received.
        public private(set) var detached: Set<ConnectionID> = []

        /// The servers that have come with their clients.
        public private(set) var broughtServers: [ConnectionID] = []

        /// A message to another worker.
        public struct Post {
            public var worker: Int
            public var bytes: [UInt8]
            public var peer: Peer?
        }

        /// Clients whose passwords are to be judged.
        public var verifying: [Handle<Client>] = []
        /// The bytes that the core wants overwritten.
        public private(set) var secrets: [UInt8] = []
        /// Clients whose console session the supervisor is to take over.
        public private(set) var consoles: [Handle<Client>] = []

        /// A core configured by an ini text's lines after `[pgbouncer]`, with one database `db` and users
        /// with empty passwords.
        public required init(
            _ settings: String = "", databases: String = "db = host=10.0.0.1", users: String = "",
            sharing shared: SharedMemory = SharedMemory(workers: 1), worker: Int = 0, incarnation: UInt64 = 1
        ) {
            self.shared = shared
            let (configuration, list) = CoreRig.configuration(settings, databases: databases, users: users)
            core = PoolCore(
                configuration: configuration, userList: list,
                identity: WorkerIdentity(index: worker, incarnation: incarnation),
                capacities: Capacities(
                    clients: 4096, servers: 256, pools: 64, replyChunks: 4096, statements: 1024),
                segment: shared.segment, seed: 1)
            core.now = 1_000_000_000
            refill()
            drain()
        }

        /// A configuration and its user list, for the start and for reloads.
        public static func configuration(
            _ settings: String = "", databases: String = "db = host=10.0.0.1", users: String = ""
        ) -> (Configuration, [UInt8]) {
            let ini = """
                [databases]
                \(databases)
                [pgbouncer]
                listen_addr = 127.0.0.1
                \(settings.contains("auth_type") ? "" : "auth_type = trust")
                auth_file = users
                \(settings.contains("server_tls_sslmode") ? "" : "server_tls_sslmode = disable")
                \(settings.contains("pool_mode") ? "" : "pool_mode = transaction")
                \(settings)
                """
            let list = users.isEmpty ? "\"alice\" \"\"\n\"bob\" \"\"\n" : users
            let image = ConfigurationImage(
                path: "ini",
                files: [
                    .init(path: "ini", bytes: Array(ini.utf8)), .init(path: "users", bytes: Array(list.utf8)),
                ])
            let parsed = Configuration.parse(image)
            guard let configuration = parsed.configuration else {
                fatalError("\(parsed.diagnostics)")
            }
            return (configuration, Array(list.utf8))
        }

        private func refill() {
            var random = Random(seed: core.now)
            var bytes: [UInt8] = []
            for _ in 0..<16384 { bytes.append(UInt8(truncatingIfNeeded: random.next())) }
            core.entropy.add(bytes.rawSpan)
        }

        /// The core has broken a promise.
        open func complain(_ fault: String) { faults.append(fault) }

        // MARK: Events

        /// Lets time pass, with upkeep wherever it is due.
        public func advance(milliseconds: UInt64) {
            let end = core.now + milliseconds * 1_000_000
            while core.nextUpkeep <= end {
                core.now = max(core.now, core.nextUpkeep)
                tell(.upkeep)
            }
            core.now = end
        }

        /// Everybody leaves; what is kept for them must go with them.
        public func expectEmptiness() {
            for connection in connections {
                if case .client? = links[Int(connection.slot)].peer { hangUp(connection) }
            }
            for connection in connections {
                if case .server? = links[Int(connection.slot)].peer { hangUp(connection) }
            }
            while !connecting.isEmpty { tell(.connectFailed(connecting.removeFirst(), .connect("refused"))) }
            for fault in core.ledger.faults() { complain("\(fault)") }
            if core.clients.count > 0 { complain("\(core.clients.count) clients are left") }
            if core.servers.count > 0 { complain("\(core.servers.count) servers are left") }
            if core.replies.count > 0 { complain("\(core.replies.count) chunks of replies are left") }
            if core.statements.counts != (0, 0, 0) {
                complain("statements are left: \(core.statements.counts)")
            }
        }

        /// Complains of invariants that do not hold.
        public func check(includesStatistics: Bool = true) {
            for fault in core.checkInvariants(includesStatistics: includesStatistics) { complain(fault) }
        }

        /// Forgets all but the last log lines.
        public func forgetLog() { lines.removeFirst(max(0, lines.count - 20)) }

        private var connections: [ConnectionID] {
            (1..<links.count).map { ConnectionID(slot: UInt32($0), generation: 1) }
        }

        /// Whether the core has left this connection open.
        public func isOpen(_ connection: ConnectionID) -> Bool { links[Int(connection.slot)].peer != nil }

        /// Whether what has been received from this connection is held, so that no more is taken from it.
        public func isHeld(_ connection: ConnectionID) -> Bool { links[Int(connection.slot)].isWaiting }

        /// The server behind a connection.
        public func record(of connection: ConnectionID) -> Server? {
            guard case .server(let server)? = links[Int(connection.slot)].peer, core.servers.contains(server)
            else {
                return nil
            }
            return core.servers[server]
        }

        /// The client behind a connection.
        public func clientHandle(of connection: ConnectionID) -> Handle<Client>? {
            guard case .client(let client)? = links[Int(connection.slot)].peer, core.clients.contains(client)
            else {
                return nil
            }
            return client
        }

        /// The state of the client behind a connection.
        public func state(of connection: ConnectionID) -> Client.State? {
            guard case .client(let client)? = links[Int(connection.slot)].peer, core.clients.contains(client)
            else {
                return nil
            }
            return core.clients[client].state
        }

        public func tell(_ event: Event) {
            if core.entropy.needsRefill { refill() }
            core.handle(event)
            drain()
        }

        /// A new connection from a client.
        public func accept(from address: String) -> ConnectionID {
            accept(ClientOrigin(address: address, port: 4711, localAddress: "10.0.0.9", localPort: 6432))
        }

        /// A new connection from a client.
        public func accept(
            _ origin: ClientOrigin = ClientOrigin(
                address: "10.9.9.9", port: 4711, localAddress: "10.0.0.9", localPort: 6432)
        ) -> ConnectionID {
            let connection = makeConnection()
            tell(.accepted(connection, origin))
            return connection
        }

        /// Opens the connection of a server the core wants; the oldest one first.
        public func connectServer() -> ConnectionID {
            let connection = makeConnection()
            let server = connecting.removeFirst()
            links[Int(connection.slot)].peer = .server(server)
            tell(
                .connected(
                    server, connection, remote: "10.0.0.1", port: 5432, local: "10.0.0.9", localPort: 999))
            return connection
        }

        /// The supervisor takes over the oldest console session; answers our end of the pair.
        public func openConsole() -> ConnectionID {
            let connection = makeConnection()
            let client = consoles.removeFirst()
            links[Int(connection.slot)].peer = .console(client)
            tell(.consoleOpened(client, connection))
            return connection
        }

        /// The handshake on a connection is done.
        public func encrypt(
            _ connection: ConnectionID, _ encryption: Encryption = Encryption(version: "TLSv1.3", cipher: "C")
        ) {
            guard encrypting.remove(connection) != nil, let peer = links[Int(connection.slot)].peer else {
                return
            }
            tell(.encrypted(peer, encryption))
        }

        /// The peer closes a connection.
        public func hangUp(_ connection: ConnectionID) {
            guard let peer = links[Int(connection.slot)].peer else { return }
            tell(.closed(peer, "gone"))
        }

        /// Bytes arrive, in pieces of at most `pieceSize`.
        public func receive(_ connection: ConnectionID, _ bytes: [UInt8], pieceSize: Int = .max) {
            let slot = Int(connection.slot)
            var rest = bytes[...]
            while !rest.isEmpty {
                let piece = rest.prefix(pieceSize)
                rest = rest.dropFirst(piece.count)
                if links[slot].held.isEmpty {
                    links[slot].held = Array(piece)
                } else {
                    links[slot].held += piece
                }
                if !links[slot].isWaiting { show(slot) }
            }
        }

        private func show(_ slot: Int) {
            shown += 1
            defer {
                shown -= 1
                if shown == 0, !detaching.isEmpty { tell(.detached(detaching.removeFirst())) }
            }
            while !links[slot].held.isEmpty, let peer = links[slot].peer {
                let bytes = links[slot].held
                if core.entropy.needsRefill { refill() }
                let consumption = core.received(peer, bytes.rawSpan)
                if !core.secretBytes.isEmpty {
                    secrets += bytes[core.secretBytes]
                    core.secretBytes = 0..<0
                }
                if consumption.consumed > bytes.count {
                    complain("\(consumption.consumed) of \(bytes.count) bytes are used")
                }
                input = bytes
                drain()
                input = []
                guard links[slot].peer != nil else { return }
                if consumption.consumed == links[slot].held.count {
                    links[slot].held = []
                    return
                }
                links[slot].held.removeFirst(min(consumption.consumed, bytes.count))
                if consumption.needed == 0 {
                    links[slot].isWaiting = true
                    return
                }
                if links[slot].held.count < consumption.needed { return }
            }
        }

        // MARK: Actions

        private var input: [UInt8] = []
        private var shown = 0
        private var detaching: [Peer] = []

        private func drain() {
            var wake: [ConnectionID] = []
            for index in 0..<core.actions.count {
                switch core.actions[index] {
                case .forward(let to, let offset, let count):
                    links[Int(to.slot)].sent += input[offset..<(offset + count)]
                case .send(let to, let offset, let count):
                    CoreRig.append(core.output, offset, count, to: &links[Int(to.slot)].sent)
                case .serve(let connection, let client): links[Int(connection.slot)].peer = .client(client)
                case .resume(let connection): wake.append(connection)
                case .close(let connection, _):
                    links[Int(connection.slot)].isClosed = true
                    links[Int(connection.slot)].peer = nil
                    links[Int(connection.slot)].held = []
                case .connect(let server):
                    guard core.isWanted(server) else { continue }
                    _ = core.endpoint(of: server)
                    connecting.append(server)
                case .abandonConnect(let server): connecting.removeAll { $0 == server }
                case .encrypt(let connection):
                    encrypting.insert(connection)
                case .openConsole(let client): consoles.append(client)
                case .verify(let client): verifying.append(client)
                case .drained: isDrained = true
                case .broadcastCancel(let client, let offset, let count):
                    broadcasts.append(output(offset, count))
                    broadcasters.append(client)
                case .announceDrop(let offset, let count): drops.append(output(offset, count))
                case .answerCancel(let ticket, let isFound): answers.append((ticket, isFound))
                case .log(_, _, let offset, let count):
                    lines.append(output(offset, count))
                case .acknowledge(let epoch): acknowledged.append(epoch)
                case .acknowledgeMissing(let epoch): missing.append(epoch)
                case .detach(let connection):
                    detached.insert(connection)
                    guard let peer = links[Int(connection.slot)].peer else { continue }
                    // Bytes behind those that led here may be about to be held.
                    if shown > 0 { detaching.append(peer) } else { afterwards.append(.detached(peer)) }
                case .attach(let connection): detached.remove(connection)
                case .adopt(let connection, let peer):
                    links[Int(connection.slot)].peer = peer
                    if !links[Int(connection.slot)].held.isEmpty {
                        links[Int(connection.slot)].isWaiting = true
                        wake.append(connection)
                    }
                case .pass(let peer, let worker, let offset, let count):
                    if hasRoom {
                        posted.append(Post(worker: worker, bytes: message(peer, offset, count), peer: peer))
                    } else {
                        afterwards.append(.passFailed(peer))
                    }
                case .tell(let worker, let offset, let count):
                    posted.append(Post(worker: worker, bytes: output(offset, count)))
                }
            }
            core.actions.removeAll()
            core.output.removeAll()
            if checksEveryEvent { check() }
            later += wake
            if !wakesLater, !later.isEmpty { wakeAll() }
            if !afterwards.isEmpty { tell(afterwards.removeFirst()) }
        }

        /// Whether clients whose held input is asked for have to wait for `wakeAll`, as when there is more
        /// to do in a turn of the worker.
        public var wakesLater = false
        private var later: [ConnectionID] = []

        /// Shows the held input that was asked for.
        public func wakeAll() {
            let woken = later
            later = []
            for connection in woken where links[Int(connection.slot)].isWaiting {
                links[Int(connection.slot)].isWaiting = false
                show(Int(connection.slot))
            }
        }

        private var afterwards: [Event] = []

        /// What has been posted since the last look.
        public func takePosted() -> [Post] {
            defer { posted = [] }
            return posted
        }

        /// The message that carries a client or server, with what the client has sent and nobody has used.
        private func message(_ peer: Peer, _ offset: Int, _ count: Int) -> [UInt8] {
            guard peer.isClient else { return output(offset, count) }
            let input = links[Int(core.connection(of: peer).slot)].held
            var buffer = ByteBuffer()
            let record = output(offset, count) + input
            let message: InboxMessage =
                core.companion(of: peer).isNone ? .move(record: record) : .moveSession(record: record)
            try? message.encode(incarnation: 1, into: &buffer)
            return buffer.bytes.withUnsafeBytes { Array($0) }
        }

        /// A message of another worker arrives; answers the connection of the server or client it brought.
        @discardableResult
        public func take(_ post: Post) throws -> ConnectionID? {
            let message = try InboxMessage.decode(post.bytes.rawSpan).message
            if case .move(let record) = message {
                let client = try MovedClient(decoding: record)
                let connection = makeConnection()
                links[Int(connection.slot)].held = client.input
                tell(.moved(client, connection))
                return connection
            }
            if case .moveSession(let record) = message {
                let session = try MovedSession(decoding: record)
                let connection = makeConnection()
                links[Int(connection.slot)].held = session.client.input
                broughtServers.append(makeConnection())
                tell(.movedSession(session, connection, server: broughtServers[broughtServers.count - 1]))
                return connection
            }
            guard case .lend(let server) = message else {
                tell(.told(message))
                return nil
            }
            let connection = makeConnection()
            tell(.lent(server, connection))
            return connection
        }

        private static func append(
            _ output: borrowing ByteBuffer, _ offset: Int, _ count: Int, to bytes: inout [UInt8]
        ) {
            output.bytes.withUnsafeBytes { bytes += $0[offset..<(offset + count)] }
        }

        private func output(_ offset: Int, _ count: Int) -> [UInt8] {
            var bytes: [UInt8] = []
            CoreRig.append(core.output, offset, count, to: &bytes)
            return bytes
        }

        private func makeConnection() -> ConnectionID {
            links.append(Link())
            return ConnectionID(slot: UInt32(links.count - 1), generation: 1)
        }

        // MARK: Reading what was sent

        /// Everything sent to a connection since the last look.
        public func bytes(_ connection: ConnectionID) -> [UInt8] {
            let slot = Int(connection.slot)
            if links[slot].sent.isEmpty { return [] }
            defer { links[slot].sent = [] }
            return links[slot].sent
        }

        /// Everything sent to a connection since the last look, as messages: type and body, `?` for a startup
        /// packet.
        public func messages(_ connection: ConnectionID, isFirst: Bool = false) -> [Message] {
            var bytes = bytes(connection)[...]
            var messages: [Message] = []
            if isFirst, bytes.count >= 4 {
                let length = bytes.prefix(4).reduce(0) { $0 << 8 | Int($1) }
                messages.append(Message(type: "?", body: Array(bytes.dropFirst(4).prefix(length - 4))))
                bytes = bytes.dropFirst(length)
            }
            while bytes.count >= 5 {
                let length = bytes.dropFirst().prefix(4).reduce(0) { $0 << 8 | Int($1) }
                let type = Character(Unicode.Scalar(bytes.first!))
                messages.append(Message(type: type, body: Array(bytes.dropFirst(5).prefix(length - 4))))
                bytes = bytes.dropFirst(length + 1)
            }
            return messages
        }

        /// The types of everything sent to a connection since the last look, in one string.
        public func types(_ connection: ConnectionID) -> String { String(messages(connection).map(\.type)) }

        /// The raw bytes sent to a connection since the last look.
        public func raw(_ connection: ConnectionID) -> [UInt8] { bytes(connection) }
    }
#endif
