import Auth
import Base
import Config
import EventLoop
import PoolCore
import SharedState
import System
import TLS

/// What the supervisor and the other workers say.
extension WorkerLoop {
    /// Reads and obeys everything the supervisor has sent.
    mutating func readControl() {
        while !isEnding {
            let received: DescriptorPassing.Message?
            // A supervisor that died with something unread is an error, once; nothing tells of it again.
            do { received = try DescriptorPassing.receive(from: context.control) } catch {
                return supervisorLost()
            }
            guard let message = received else { return }
            if message.isEnd { return supervisorLost() }
            let decoded = try? ControlMessage.decode(message.bytes.rawSpan)
            guard let decoded else {
                // A message of a newer supervisor that this worker does not know yet.
                message.descriptors.forEach(Descriptors.close)
                continue
            }
            obey(decoded, message.descriptors)
        }
    }

    private mutating func obey(_ message: ControlMessage, _ descriptors: [Int32]) {
        switch message {
        case .configuration(let epoch, let byteCount):
            reload(epoch, Int(byteCount), descriptors.first ?? -1)
        case .order(let order):
            obey(order)
        case .rowsWanted(let request, let kind):
            sendRows(request, kind)
        case .workerEnded(let index):
            tell(.workerEnded(index))
        case .workerAdded(let index):
            guard let descriptor = descriptors.first else { return }
            while context.inboxSenders.count <= index { context.inboxSenders.append(-1) }
            if context.inboxSenders[index] >= 0 { Descriptors.close(context.inboxSenders[index]) }
            context.inboxSenders[index] = descriptor
            return
        case .resolved, .ready, .acknowledged, .consoleLogin, .rows, .resolve, .drained, .orderRequest:
            break
        }
        descriptors.forEach(Descriptors.close)
    }

    private mutating func obey(_ order: Order) {
        switch order.kind {
        case .shutdownNow:
            isEnding = true
        case .shutdownWaitForClients, .shutdownWaitForServers:
            stopListening()
            tell(.order(order))
        case .open:
            armListeners()
        case .suspend:
            suspend(order)
        case .resume where order.database == nil:
            endSuspension()
            tell(.order(order))
        case .drain:
            stopAccepting()
            tell(.order(order))
        case .pause, .resume, .reopen, .kill, .reconnect, .disable, .enable, .waitClose, .killClient,
            .dismissClients:
            tell(.order(order))
        }
    }

    /// Nobody is left who could replace this worker or take its log: let transactions end, then go.
    private mutating func supervisorLost() {
        guard !isSupervisorLost else { return }
        isSupervisorLost = true
        stopListening()
        tell(.order(Order(epoch: 0, kind: .shutdownWaitForServers)))
    }

    private mutating func reload(_ epoch: UInt64, _ byteCount: Int, _ descriptor: Int32) {
        guard descriptor >= 0,
            let bytes = try? SharedMemory.contents(of: descriptor, limit: max(byteCount, 1)),
            let image = try? ConfigurationImage(decoding: bytes),
            let new = Configuration.parse(image).configuration
        else {
            return report(
                .acknowledged(epoch: epoch, problem: Array("the configuration cannot be read".utf8)))
        }
        let effective = ConfigurationDifference(from: configuration, to: new).effective
        do throws(TLSError) { contexts = try TLSContexts(effective) } catch {
            return report(.acknowledged(epoch: epoch, problem: Array("TLS setup failed: \(error)".utf8)))
        }
        configuration = effective
        connectionOptions = ConnectionOptions(configuration.settings)
        setListenerOptions()
        tell(
            .configuration(
                effective, userList: image.userList(of: effective), rules: image.rules(of: effective),
                epoch: epoch))
    }

    /// Serves a connection that somebody else has accepted.
    private mutating func adopt(_ descriptor: Int32) {
        let isUnix = Socket.localAddress(of: descriptor)?.family == .unix
        let listener = context.listeners.first { ($0.family == .unix) == isUnix }
        // A worker that leaves may be told to end at any moment.
        if isLeaving, let other = core.emptiestOther(), passOn(descriptor, to: other) { return }
        guard let listener else { return Descriptors.close(descriptor) }
        serve(descriptor, from: listener)
    }

    // MARK: Rows

    private mutating func sendRows(_ request: UInt64, _ kind: RowsKind) {
        var rows = RowWriter()
        if kind == .worker {
            core.appendWorker(ioBackend: loop.backend == .ioUring ? "io_uring" : "epoll", to: &rows)
        } else {
            core.appendRows(kind, to: &rows)
        }
        let bytes = [UInt8](copyingBytes: rows.bytes)
        if bytes.count <= RowsAnswer.inlineLimit {
            return report(.rows(RowsAnswer(request: request, rows: bytes, isLast: true)))
        }
        guard let file = try? SharedMemory.sealedCopy("pgsluice rows", of: bytes) else {
            return report(.rows(RowsAnswer(request: request, rows: [], isLast: true)))
        }
        let answer = RowsAnswer(
            request: request, rows: [], attachedByteCount: UInt64(bytes.count), isLast: true)
        _ = send(.rows(answer), [file], to: context.control)
        Descriptors.close(file)
    }

    // MARK: Other workers

    /// Reads everything the other workers have sent.
    mutating func readInbox() {
        while let message = try? DescriptorPassing.receive(from: context.inbox) {
            guard let decoded = try? InboxMessage.decode(message.bytes.rawSpan) else {
                message.descriptors.forEach(Descriptors.close)
                continue
            }
            let isMeant = decoded.incarnation == context.incarnation && !message.isTruncated
            switch decoded.message {
            case .lend(let server):
                lent(server, message.descriptors, isMeant: isMeant)
                continue
            case .move(let record):
                moved(record, message.descriptors, isMeant: isMeant)
                continue
            case .moveAttached(let byteCount):
                let record = attached(message.descriptors, behind: 1, Int(byteCount))
                moved(record, Array(message.descriptors.prefix(1)), isMeant: isMeant)
                continue
            case .moveSession(let record):
                movedSession(record, message.descriptors, isMeant: isMeant)
                continue
            case .moveSessionAttached(let byteCount):
                let record = attached(message.descriptors, behind: 2, Int(byteCount))
                movedSession(record, Array(message.descriptors.prefix(2)), isMeant: isMeant)
                continue
            case .accepted:
                message.descriptors.forEach { adopt($0) }
                continue
            default:
                message.descriptors.forEach(Descriptors.close)
            }
            switch decoded.message {
            case .cancel(let key, _, let sender, let ticket):
                tell(.cancelRequested(key: key, CancelTicket(worker: Int(sender), number: ticket)))
            case .drop(let database): tell(.databaseDropped(database))
            case .cancelAnswer(let ticket, let isFound):
                tell(.cancelAnswered(Handle(raw: ticket), isFound: isFound))
            case .wanted, .welcomeWanted, .welcome, .evict, .freed, .lend, .accepted, .move, .moveAttached,
                .moveSession, .moveSessionAttached:
                tell(.told(decoded.message))
            }
        }
    }

    /// What lies in the memory file behind so many descriptors of a message, which is closed.
    private func attached(_ descriptors: [Int32], behind count: Int, _ byteCount: Int) -> [UInt8] {
        let files = descriptors.dropFirst(count)
        defer { files.forEach(Descriptors.close) }
        guard let file = files.first else { return [] }
        return (try? SharedMemory.contents(of: file, limit: max(byteCount, 1))) ?? []
    }

    /// Another worker lends a server.
    private mutating func lent(_ server: LentServer, _ descriptors: [Int32], isMeant: Bool) {
        guard isMeant, descriptors.count == 1 else {
            descriptors.forEach(Descriptors.close)
            return core.refuse(server)
        }
        let record = Connection(descriptor: descriptors[0], peer: .server(.none), state: .open)
        guard let handle = connections.insert(record) else {
            Descriptors.close(descriptors[0])
            return core.refuse(server)
        }
        tell(.lent(server, ConnectionID(raw: handle.raw)))
    }

    /// Another worker sends a client.
    private mutating func moved(_ bytes: [UInt8], _ descriptors: [Int32], isMeant: Bool) {
        guard let client = try? MovedClient(decoding: bytes) else {
            return descriptors.forEach(Descriptors.close)
        }
        guard isMeant, descriptors.count == 1 else {
            descriptors.forEach(Descriptors.close)
            return core.refuse(client)
        }
        let record = Connection(descriptor: descriptors[0], peer: .client(.none), state: .open)
        guard let handle = connections.insert(record) else {
            Descriptors.close(descriptors[0])
            return core.refuse(client)
        }
        let connection = ConnectionID(raw: handle.raw)
        hold(connection, client.input)
        tell(.moved(client, connection))
    }

    private mutating func hold(_ connection: ConnectionID, _ input: [UInt8]) {
        unsafe input.withUnsafeBytes { input in
            guard let start = input.baseAddress else { return }
            unsafe hold(connection, start, input.count)
        }
    }

    /// Another worker sends a client with its server.
    private mutating func movedSession(_ bytes: [UInt8], _ descriptors: [Int32], isMeant: Bool) {
        guard let session = try? MovedSession(decoding: bytes) else {
            return descriptors.forEach(Descriptors.close)
        }
        guard isMeant, descriptors.count == 2, connections.count + 2 <= connections.capacity,
            let client = connections.insert(
                Connection(descriptor: descriptors[0], peer: .client(.none), state: .open)),
            let server = connections.insert(
                Connection(descriptor: descriptors[1], peer: .server(.none), state: .open))
        else {
            descriptors.forEach(Descriptors.close)
            return core.refuse(session)
        }
        let connection = ConnectionID(raw: client.raw)
        hold(connection, session.client.input)
        tell(.movedSession(session, connection, server: ConnectionID(raw: server.raw)))
    }
}

extension ConfigurationImage {
    /// The user list that a configuration names; empty when there is none.
    func userList(of configuration: Configuration) -> [UInt8] {
        configuration.settings.authFile.flatMap { bytes(of: $0) } ?? []
    }
}

extension ConfigurationImage {
    /// The rules that a configuration names; none, by which nobody is let in, unless it is them that say how
    /// clients prove who they are.
    func rules(of configuration: Configuration) -> AccessRules {
        let settings = configuration.settings
        guard settings.authType == .hba else { return AccessRules() }
        let networks = NetworkInterfaces.addresses.compactMap {
            Network(NetworkAddress(bytes: $0.bytes), mask: NetworkAddress(bytes: $0.mask))
        }
        let files = AccessFiles(read: bytes, list: names) { text throws(TextPattern.Malformed) in
            try TextPattern(compiling: text)
        }
        // What there is to say has been said by who checked the configuration.
        return AccessRules.parse(
            settings.authHBAFile, maps: settings.authIdentFile, networks: networks, files: files
        ).rules
    }
}

extension ConnectionOptions {
    /// The options a configuration asks for.
    init(_ settings: Settings) {
        self.init()
        keepAlive = settings.tcpKeepalive
        keepAliveIdleSeconds = Int32(clamping: settings.tcpKeepaliveIdleSeconds)
        keepAliveIntervalSeconds = Int32(clamping: settings.tcpKeepaliveIntervalSeconds)
        keepAliveCount = Int32(clamping: settings.tcpKeepaliveCount)
        userTimeoutMilliseconds = Int32(clamping: settings.tcpUserTimeoutMilliseconds)
        socketBufferByteCount = Int32(clamping: settings.tcpSocketBufferByteCount)
    }
}
