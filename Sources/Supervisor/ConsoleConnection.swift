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

    let id: ConsoleID
    /// The socket, ours.
    let descriptor: Int32
    /// The session's state.
    var session: ConsoleSession
    /// Who it is, for the log.
    let user: String
    /// `nil` for a session that a worker has authenticated.
    private(set) var control: Control?
    /// Whether the other end is gone.
    private(set) var isBroken = false
    private var isClosed = false

    /// A connection that owns `descriptor`.
    init(
        id: ConsoleID, descriptor: Int32, user: String, session: consuming ConsoleSession,
        control: Control? = nil
    ) {
        self.id = id
        self.descriptor = descriptor
        self.user = user
        self.session = session
        self.control = control
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
    /// For a program that takes over; `nil` when the session cannot go on there.
    var record: TaggedRecord? {
        guard !isBroken, let parked = session.parked else { return nil }
        var record = TaggedRecord()
        record.add(1, id)
        record.add(2, descriptor)
        record.add(3, user)
        record.add(4, UInt64(parked.role.rawValue))
        record.add(5, parked.cancelKey.processId)
        record.add(6, parked.cancelKey.secret)
        record.add(7, parked.input)
        record.add(8, parked.output)
        record.add(9, parked.awaitsRestart)
        if let control {
            record.add(10, control.id)
            record.add(11, control.peerPid)
            record.add(12, control.connectedMicroseconds)
        }
        return record
    }

    /// What `record` gave.
    convenience init(_ record: TaggedRecord) throws(ControlError) {
        guard let role = ConsoleRole(rawValue: try record.number(4, as: UInt8.self)) else {
            throw .badField(tag: 4)
        }
        let parked = ParkedConsole(
            role: role,
            cancelKey: ConsoleCancelKey(
                processId: try record.number(5, as: Int32.self), secret: record.bytes(6)),
            input: record.bytes(7), output: record.bytes(8), awaitsRestart: try record.flag(9))
        var control: Control?
        if !record.bytes(10).isEmpty {
            control = Control(
                id: try record.number(10), peerPid: try record.number(11, as: Int32.self),
                connectedMicroseconds: try record.number(12))
        }
        self.init(
            id: try record.number(1), descriptor: try record.number(2, as: Int32.self),
            user: record.text(3), session: ConsoleSession(parked, formatTime: Supervisor.format),
            control: control)
    }
}
