import Base
import Config
import EventLoop
import PoolCore
import System

/// An attempt to reach PostgreSQL for one server.
struct Attempt {
    /// The socket being connected; `.none` while the name is being resolved.
    var connection = ConnectionID.none
    /// The host as the configuration names it, and the port.
    var host = ""
    var port = 0
    /// Addresses that have not been tried yet.
    var addresses: [SocketAddress] = []
}

/// What is known of host names, and who waits for them.
struct NameCache {
    /// Servers that wait for a name.
    var waiting: [String: [Handle<Server>]] = [:]
    /// The names of questions under way.
    var questions: [UInt64: String] = [:]
    var nextQuestion: UInt64 = 0
    /// Counts answers, so that successive connections begin with different addresses.
    var turn = 0
}

/// Connecting to PostgreSQL.
extension WorkerLoop {
    /// Opens a connection for a server of the core's.
    @inline(never)
    mutating func connect(_ server: Handle<Server>) {
        guard core.isWanted(server) else { return }
        switch core.endpoint(of: server) {
        case .unix(let path):
            guard let address = SocketAddress(unixPath: path) else {
                return afterwards.append(
                    .connectFailed(server, .connect("\(path) is not a name of a Unix socket")))
            }
            begin(server, Attempt(host: path, port: 0, addresses: [address]))
        case .network(let host, let port):
            if let address = SocketAddress(host: host, port: UInt16(clamping: port)) {
                begin(server, Attempt(host: host, port: port, addresses: [address]))
            } else {
                attempts[server] = Attempt(host: host, port: port)
                ask(host, for: server)
            }
        }
    }

    /// Gives an attempt up.
    @inline(never)
    mutating func abandon(_ server: Handle<Server>) {
        guard let attempt = attempts.removeValue(forKey: server) else { return }
        if contains(attempt.connection) { beginClose(attempt.connection) }
    }

    private mutating func begin(_ server: Handle<Server>, _ attempt: Attempt) {
        var attempt = attempt
        var problem = "no address"
        while !attempt.addresses.isEmpty {
            let address = attempt.addresses.removeFirst()
            guard let family = address.family else { continue }
            do throws(SystemError) {
                let descriptor = try Socket.open(family)
                if family != .unix { _ = connectionOptions.apply(to: descriptor) }
                var record = Connection(descriptor: descriptor, peer: .server(server), state: .connecting)
                record.isConnecting = true
                guard let handle = connections.insert(record) else {
                    Descriptors.close(descriptor)
                    break
                }
                attempt.connection = ConnectionID(raw: handle.raw)
                attempts[server] = attempt
                return loop.connect(descriptor, tag(Operation.connect, attempt.connection), to: address)
            } catch {
                problem = error.description
            }
        }
        attempts.removeValue(forKey: server)
        afterwards.append(.connectFailed(server, .connect(problem)))
    }

    /// A connect has succeeded or failed.
    mutating func connectCompleted(_ completion: Completion) {
        let connection = ConnectionID(slot: completion.tag.slot, generation: completion.tag.generation)
        guard contains(connection) else { return }
        self[connection].isConnecting = false
        guard self[connection].state == .connecting, case .server(let server) = self[connection].peer,
            let attempt = attempts[server], attempt.connection == connection
        else { return finishClose(connection) }
        if let failure = completion.failure {
            beginClose(connection)
            if attempt.addresses.isEmpty {
                attempts.removeValue(forKey: server)
                tell(.connectFailed(server, .connect("\(attempt.host): \(failure)")))
            } else {
                begin(server, attempt)
                flushAfterwards()
            }
            return
        }
        attempts.removeValue(forKey: server)
        self[connection].state = .open
        let descriptor = self[connection].descriptor
        let remote = Socket.peerAddress(of: descriptor)
        let local = Socket.localAddress(of: descriptor)
        let isUnix = remote?.family == .unix
        armReceive(connection)
        tell(
            .connected(
                server, connection, remote: isUnix ? "unix" : remote?.hostText ?? attempt.host,
                port: isUnix ? Int(attempt.port) : Int(remote?.port ?? 0),
                local: isUnix ? "unix" : local?.hostText ?? "", localPort: isUnix ? 0 : Int(local?.port ?? 0))
        )
    }

    // MARK: Names

    private mutating func ask(_ host: String, for server: Handle<Server>) {
        names.waiting[host, default: []].append(server)
        guard names.waiting[host]?.count == 1 else { return }
        names.nextQuestion += 1
        let id = UInt64(context.incarnation) << 32 | names.nextQuestion
        names.questions[id] = host
        let request = ResolverRequest(
            id: id, lifeMilliseconds: milliseconds(configuration.settings.dnsMaxTTLNanoseconds),
            failureLifeMilliseconds: milliseconds(configuration.settings.dnsNegativeTTLNanoseconds),
            name: host)
        if (try? DescriptorPassing.send(request.encoded(), to: context.resolver)) == nil {
            answer(ResolverAnswer(id: id, addresses: [], failure: "the name resolver does not answer"))
        }
    }

    private func milliseconds(_ nanoseconds: UInt64) -> UInt32 { UInt32(clamping: nanoseconds / 1_000_000) }

    /// Reads what the resolver has found out.
    mutating func readResolver() {
        while let message = try? DescriptorPassing.receive(from: context.resolver), !message.isEnd {
            if readVerdict(message.bytes) { continue }
            guard let found = ResolverAnswer(message.bytes) else { continue }
            answer(found)
        }
        flushAfterwards()
    }

    private mutating func answer(_ answer: ResolverAnswer) {
        guard let host = names.questions.removeValue(forKey: answer.id) else { return }
        for server in names.waiting.removeValue(forKey: host) ?? [] {
            guard var attempt = attempts[server], attempt.connection.isNone else { continue }
            guard !answer.addresses.isEmpty else {
                attempts.removeValue(forKey: server)
                afterwards.append(.connectFailed(server, .name("\(host): \(answer.failure)")))
                continue
            }
            names.turn += 1
            let first = names.turn % answer.addresses.count
            let rotated = answer.addresses[first...] + answer.addresses[..<first]
            attempt.addresses = rotated.map { SocketAddress($0, port: UInt16(clamping: attempt.port)) }
            begin(server, attempt)
        }
    }

    /// Tells the core of what happened outside of carrying out its actions.
    @inline(never)
    mutating func flushAfterwards() {
        while !afterwards.isEmpty { tell(afterwards.removeFirst()) }
    }
}
