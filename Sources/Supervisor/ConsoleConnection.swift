import Base
import Console
import SharedState
import System

/// A console session and the socket it is served on.
final class ConsoleConnection {
    /// Bytes read at once.
    private static let readLimit = 16384

    /// What is known of a session that came over the control socket.
    struct Control {
        /// From the counter that clients and servers share.
        let id: UInt64
        /// The process at the other end.
        let peerPid: Int32
        /// Microseconds since 1970.
        let connectedMicroseconds: UInt64
        /// When it last sent something.
        var requestedMicroseconds: UInt64

        /// A session that begins now.
        init(id: UInt64, peerPid: Int32, connectedMicroseconds: UInt64) {
            self.id = id
            self.peerPid = peerPid
            self.connectedMicroseconds = connectedMicroseconds
            requestedMicroseconds = connectedMicroseconds
        }
    }

    /// A worker process.
    struct Relay: Equatable {
        let worker: Int
        let incarnation: UInt64
    }

    let id: ConsoleID
    /// The socket, ours.
    let descriptor: Int32
    /// The session's state.
    var session: ConsoleSession
    /// Who it is, for the log.
    let user: String
    /// `nil` for a session that a worker has authenticated.
    private(set) var control: Control?
    /// The worker process that passes the bytes of such a session on.
    let relay: Relay?
    /// Whether the other end is gone.
    private(set) var isBroken = false
    private var isClosed = false

    /// A connection that owns `descriptor`.
    init(
        id: ConsoleID, descriptor: Int32, user: String, session: consuming ConsoleSession,
        control: Control? = nil, relay: Relay? = nil
    ) {
        self.id = id
        self.descriptor = descriptor
        self.user = user
        self.session = session
        self.control = control
        self.relay = relay
    }

    /// What a poll is to find out. Without interest in anything it still tells when the other end is gone.
    var interest: Poll.Interest {
        var direction: Poll.Direction = []
        if session.wantsInput { direction.insert(.read) }
        if session.output.count > 0 { direction.insert(.write) }
        return Poll.Interest(descriptor, direction)
    }

    /// Whether nothing is left to do.
    var isOver: Bool { isBroken || session.isClosing && session.output.count == 0 }

    /// Gives the socket back, once however often it is called: answering a session may end it.
    func close() {
        guard !isClosed else { return }
        isClosed = true
        isBroken = true
        Descriptors.close(descriptor)
    }

    /// Takes what the client sent; notices when it has gone.
    func read() {
        do throws(SystemError) {
            guard let bytes = try Descriptors.read(descriptor, limit: ConsoleConnection.readLimit) else {
                return
            }
            if bytes.isEmpty {
                isBroken = true
                session.close()
            } else if session.wantsInput {
                control?.requestedMicroseconds = Clock.realNanoseconds / 1000
                unsafe session.receive(bytes.span.bytes)
            }
        } catch {
            isBroken = true
            session.close()
        }
    }

    /// Sends what the client takes.
    func write() {
        while session.output.count > 0, !isBroken {
            let bytes = ConsoleConnection.copy(session.output, limit: 65536)
            do throws(SystemError) {
                let sent = try Descriptors.write(descriptor, bytes[...])
                if sent == 0 { return }
                session.output.removeFirst(sent)
            } catch {
                isBroken = true
                session.close()
            }
        }
    }

    private static func copy(_ buffer: borrowing ByteBuffer, limit: Int) -> [UInt8] {
        let bytes = buffer.bytes
        return unsafe bytes.extracting(first: limit).withUnsafeBytes { unsafe [UInt8]($0) }
    }
}

extension ConsoleConnection {
    private enum Tag {
        static let id: UInt16 = 1
        static let descriptor: UInt16 = 2
        static let user: UInt16 = 3
        static let role: UInt16 = 4
        static let cancelProcess: UInt16 = 5
        static let cancelSecret: UInt16 = 6
        static let input: UInt16 = 7
        static let output: UInt16 = 8
        static let awaitsRestart: UInt16 = 9
        static let controlId: UInt16 = 10
        static let controlPeer: UInt16 = 11
        static let controlConnected: UInt16 = 12
        static let relayWorker: UInt16 = 13
        static let relayIncarnation: UInt16 = 14
    }

    /// For a program that takes over; `nil` when the session cannot go on there.
    var record: TaggedRecord? {
        guard !isBroken, let parked = session.parked else { return nil }
        var record = TaggedRecord()
        record.add(Tag.id, id)
        record.add(Tag.descriptor, descriptor)
        record.add(Tag.user, user)
        record.add(Tag.role, UInt64(parked.role.rawValue))
        record.add(Tag.cancelProcess, parked.cancelKey.processId)
        record.add(Tag.cancelSecret, parked.cancelKey.secret)
        record.add(Tag.input, parked.input)
        record.add(Tag.output, parked.output)
        record.add(Tag.awaitsRestart, parked.awaitsRestart)
        if let control {
            record.add(Tag.controlId, control.id)
            record.add(Tag.controlPeer, control.peerPid)
            record.add(Tag.controlConnected, control.connectedMicroseconds)
        }
        if let relay {
            record.add(Tag.relayWorker, UInt64(relay.worker))
            record.add(Tag.relayIncarnation, relay.incarnation)
        }
        return record
    }

    /// What `record` gave.
    convenience init(_ record: TaggedRecord) throws(ControlError) {
        guard let role = ConsoleRole(rawValue: try record.number(Tag.role, as: UInt8.self)) else {
            throw .badField(tag: Tag.role)
        }
        let parked = ParkedConsole(
            role: role,
            cancelKey: ConsoleCancelKey(
                processId: try record.number(Tag.cancelProcess, as: Int32.self),
                secret: record.bytes(Tag.cancelSecret)),
            input: record.bytes(Tag.input), output: record.bytes(Tag.output),
            awaitsRestart: try record.flag(Tag.awaitsRestart))
        var control: Control?
        if !record.bytes(Tag.controlId).isEmpty {
            control = Control(
                id: try record.number(Tag.controlId),
                peerPid: try record.number(Tag.controlPeer, as: Int32.self),
                connectedMicroseconds: try record.number(Tag.controlConnected))
        }
        var relay: Relay?
        if !record.bytes(Tag.relayWorker).isEmpty {
            relay = Relay(
                worker: try record.number(Tag.relayWorker, as: Int.self),
                incarnation: try record.number(Tag.relayIncarnation))
        }
        self.init(
            id: try record.number(Tag.id), descriptor: try record.number(Tag.descriptor, as: Int32.self),
            user: record.text(Tag.user), session: ConsoleSession(parked, formatTime: Supervisor.format),
            control: control, relay: relay)
    }
}
