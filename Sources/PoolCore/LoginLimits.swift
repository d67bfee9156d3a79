import Auth
import Base
import Config
import SharedState
import Wire

/// What those may take of us who have not proved who they are: places, time, and failures.
///
/// Each worker has its share of a limit. Connections are spread over workers, and what a worker allows is
/// decided without asking the others, which matters where thousands of strangers come in a second.
extension PoolCore {
    /// A client that nobody knows yet is in. Where there are too many of its kind, the one that has been here
    /// longest gives way: whoever is quick gets in, and whoever only holds places loses them. It is one from
    /// where most of them come, so that the others do not notice.
    mutating func strangerArrived(_ client: Handle<Client>, _ origin: ClientOrigin) {
        strangers.add(client, from: OriginKey(origin), in: &clients)
        let settings = configuration.settings
        let ofAddress = share(of: settings.maxLoginConnectionsPerAddress)
        if ofAddress > 0, strangers.countBeside(client, in: clients) > ofAddress {
            let limit = settings.maxLoginConnectionsPerAddress
            return giveWay(strangers.oldestBeside(client, in: clients), .loginsOfAddress(limit: limit))
        }
        let all = share(of: settings.maxLoginConnections)
        let room = all > 0 ? min(all, loginCapacity) : loginCapacity
        if strangers.count > room {
            giveWay(strangers.oldestOfBusiest, .logins(limit: min(room * shareCount, Int(Int32.max))))
        }
    }

    private mutating func giveWay(_ client: Handle<Client>, _ limit: ClientLimit) {
        fail(client, .login(.limit(limit)))
    }

    /// The client is known now, or has come for something else than a login.
    mutating func strangerLeft(_ client: Handle<Client>) { strangers.remove(client, in: &clients) }

    /// The workers that share a limit.
    private var shareCount: Int { max(1, workerCount) }

    /// This worker's share of a limit, rounded up; 0 for none.
    private func share(of limit: Int) -> Int { (limit + shareCount - 1) / shareCount }

    // MARK: Failures

    /// The limit that a login runs into because too many like it have failed; `nil` when there is none.
    func failureLimit(_ client: Handle<Client>, _ login: ClientLogin) -> ClientError? {
        let settings = configuration.settings
        let ofAddress = settings.maxLoginFailuresPerAddress
        if let origin = clientOrigins[client],
            loginFailures.isOver(failureKey(origin), now: now, rate: share(of: ofAddress))
        {
            return .login(.limit(.failuresOfAddress(limit: ofAddress)))
        }
        let ofUser = settings.maxLoginFailuresPerUser
        if loginFailures.isOver(failureKey(login.userName), now: now, rate: share(of: ofUser)) {
            return .login(.limit(.failuresOfUser(limit: ofUser)))
        }
        return nil
    }

    /// A login was refused because of what the client said of itself.
    mutating func noteFailure(_ client: Handle<Client>, _ login: ClientLogin) {
        let settings = configuration.settings
        if let origin = clientOrigins[client] {
            let rate = share(of: settings.maxLoginFailuresPerAddress)
            loginFailures.note(failureKey(origin), now: now, rate: rate)
        }
        let rate = share(of: settings.maxLoginFailuresPerUser)
        loginFailures.note(failureKey(login.userName), now: now, rate: rate)
    }

    private func failureKey(_ origin: ClientOrigin) -> UInt64 {
        let bytes = OriginKey(origin).bytes
        return Hash128.sip(bytes.rawSpan, key: segment.secrets.instance, tweak: 1).low
    }

    private func failureKey(_ user: [UInt8]) -> UInt64 {
        Hash128.sip(user.rawSpan, key: segment.secrets.instance, tweak: 2).low
    }

    /// Counts the end of a login, by what ended it.
    mutating func countFailedLogin(_ error: ClientError) {
        if case .login(.limit) = error { loginsRefused &+= 1 } else { loginsFailed &+= 1 }
    }

    // MARK: Time

    /// The deadline of the step a login is in: from our last answer, or from the accept, to the client's next
    /// message. Time in which the client waits for us does not count.
    mutating func meetsStepDeadline(_ client: Handle<Client>) -> Bool {
        let limit = configuration.settings.clientLoginStepTimeoutNanoseconds
        guard limit > 0, now &- clients[client].lastActivity >= limit, awaitsClient(client) else {
            return true
        }
        fail(client, .timeout(.clientLoginStep(limitSeconds: seconds(limit))))
        return false
    }

    /// Whether a login goes on with the client's next message.
    private func awaitsClient(_ client: Handle<Client>) -> Bool {
        switch clients[client].state {
        case .startup: return true
        case .authenticating:
            switch clientLogins[client]?.exchange {
            case .plain, .md5, .scram, .outside: return true
            case .finished, .judged, .none?, nil: return false
            }
        default: return false
        }
    }
}
