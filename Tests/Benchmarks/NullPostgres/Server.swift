import Base
import BenchmarkSupport
import Glibc
import TLS

/// Serves all connections on one thread: reads what is there, answers all of it, writes once.
struct Server: ~Copyable {
    private let listener: Int32
    private let authentication: NullSession.Authentication
    /// For clients that want TLS, if there is a certificate.
    private let encryption: Encryption?
    private let replies = Replies()
    private let poller = Poller()
    /// By descriptor.
    private var connections: [Connection?] = []
    private var input = ByteBuffer(capacity: 1 << 16)
    private var output = ByteBuffer(capacity: 1 << 16)
    private var received = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 16)
    private var nextProcessID: UInt32 = 1

    init(listener: Int32, authentication: NullSession.Authentication, encryption: Encryption?) {
        self.listener = listener
        self.authentication = authentication
        self.encryption = encryption
        poller.addLevelTriggered(listener, token: UInt64(listener))
    }

    deinit { received.deallocate() }

    /// Serves for ever.
    mutating func run() {
        while true {
            for index in 0..<poller.wait(milliseconds: -1) {
                let event = poller[index]
                let fd = Int32(event.token)
                if fd == listener {
                    accept()
                } else {
                    serve(fd, event)
                }
            }
        }
    }

    private mutating func accept() {
        while let fd = Socket.accept(listener) {
            while connections.count <= Int(fd) { connections.append(nil) }
            connections[Int(fd)] = Connection(
                session: NullSession(authentication: authentication, processID: nextProcessID))
            nextProcessID &+= 1
            poller.add(fd, token: UInt64(fd))
        }
    }

    private mutating func serve(_ fd: Int32, _ event: Poller.Event) {
        guard connections[Int(fd)] != nil else { return }
        if event.isWritable, !finishWriting(fd) { return end(fd) }
        guard event.isReadable, connections[Int(fd)]!.isFlushed else { return }
        read(fd, hasEnded: event.hasEnded)
    }

    /// Reads and answers until nothing is left to read, or the peer does not take the answers.
    private mutating func read(_ fd: Int32, hasEnded: Bool) {
        while true {
            let count = recv(fd, received.baseAddress, received.count, 0)
            if count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR) { return end(fd) }
            if count < 0 { return }
            let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(received)[..<count])
            guard take(bytes, of: fd) else { return end(fd) }
            guard connections[Int(fd)]!.isFlushed else { return }
            if count < received.count, !hasEnded { return }
        }
    }

    /// Answers what came, decrypted if it has to be; `false` when the connection is done.
    private mutating func take(_ bytes: UnsafeRawBufferPointer, of fd: Int32) -> Bool {
        guard let encryption else { return answer(bytes, of: fd) }
        guard let session = connections[Int(fd)]!.encryption else {
            guard bytes.elementsEqual(Encryption.request) else { return answer(bytes, of: fd) }
            connections[Int(fd)]!.encryption = encryption.session()
            return Socket.send(fd, "S", 1) == 1
        }
        encryption.channel.input = bytes
        if !connections[Int(fd)]!.isEncrypted {
            switch session.shakeHands() {
            case .waiting: return sendRecords(fd, more: false)
            case .failed: return false
            case .done: connections[Int(fd)]!.isEncrypted = true
            }
            guard sendRecords(fd, more: false) else { return false }
        }
        while true {
            switch session.read(encryption.channel) {
            case .bytes(let count):
                let plain = UnsafeRawBufferPointer(rebasing: encryption.channel.plain[..<count])
                guard answer(plain, of: fd) else { return false }
            case .empty: return true
            case .end, .broken: return false
            }
        }
    }

    /// Answers what came, together with what was left over from before; `false` when the connection is done.
    private mutating func answer(_ bytes: UnsafeRawBufferPointer, of fd: Int32) -> Bool {
        if connections[Int(fd)]!.rest.isEmpty {
            return answerAll(bytes, of: fd)
        }
        input.removeAll()
        input.append(connections[Int(fd)]!.rest)
        input.append(RawSpan(_unsafeBytes: bytes))
        connections[Int(fd)]!.rest = []
        return answerAll(UnsafeRawBufferPointer(start: input.baseAddress, count: input.count), of: fd)
    }

    private mutating func answerAll(_ bytes: UnsafeRawBufferPointer, of fd: Int32) -> Bool {
        var offset = 0
        while true {
            output.removeAll()
            let rest = UnsafeRawBufferPointer(rebasing: bytes[offset...])
            let (consumed, pause) = connections[Int(fd)]!.session.answer(rest, with: replies, into: &output)
            offset += consumed
            switch pause {
            case .needsInput:
                keep(bytes, from: offset, of: fd)
                return send(fd, more: false)
            case .close:
                _ = send(fd, more: false)
                return false
            case .bigAnswer(let start):
                if connections[Int(fd)]!.encryption != nil { stop("big answers are not encrypted here") }
                connections[Int(fd)]!.bigOffset = start
                guard send(fd, more: true), sendBig(fd) else { return false }
                if !connections[Int(fd)]!.isFlushed {
                    keep(bytes, from: offset, of: fd)
                    connections[Int(fd)]!.isPaused = true
                    return true
                }
            }
        }
    }

    private mutating func keep(_ bytes: UnsafeRawBufferPointer, from offset: Int, of fd: Int32) {
        if offset < bytes.count { connections[Int(fd)]!.rest = Array(bytes[offset...]) }
    }

    /// Sends the output; what does not fit is kept for later.
    private mutating func send(_ fd: Int32, more: Bool) -> Bool {
        guard output.count > 0 else { return true }
        let bytes = UnsafeRawBufferPointer(start: output.baseAddress, count: output.count)
        guard let session = connections[Int(fd)]!.encryption else { return send(bytes, to: fd, more: more) }
        return session.write(bytes) && sendRecords(fd, more: more)
    }

    /// Sends what a session has written.
    private mutating func sendRecords(_ fd: Int32, more: Bool) -> Bool {
        let records = encryption!.channel.output
        defer { encryption!.channel.emptyOutput() }
        return records.isEmpty || send(records, to: fd, more: more)
    }

    private mutating func send(_ bytes: UnsafeRawBufferPointer, to fd: Int32, more: Bool) -> Bool {
        let count = Socket.send(fd, bytes.baseAddress!, bytes.count, more: more)
        if count < 0, errno != EAGAIN { return false }
        connections[Int(fd)]!.unsent += bytes[max(count, 0)...]
        return true
    }

    /// Sends what is left of the big answer, as far as it goes; `false` when the connection is gone.
    private mutating func sendBig(_ fd: Int32) -> Bool {
        while connections[Int(fd)]!.unsent.isEmpty, let offset = connections[Int(fd)]!.bigOffset {
            let count = replies.big.withUnsafeBytes {
                Socket.send(fd, $0.baseAddress! + offset, $0.count - offset)
            }
            if count < 0 { return errno == EAGAIN }
            let end = offset + count
            connections[Int(fd)]!.bigOffset = end == replies.big.count ? nil : end
        }
        return true
    }

    /// Goes on with what could not be sent before, and then with input that had to wait for it.
    private mutating func finishWriting(_ fd: Int32) -> Bool {
        guard !connections[Int(fd)]!.isFlushed else { return true }
        while !connections[Int(fd)]!.unsent.isEmpty {
            let count = connections[Int(fd)]!.unsent.withUnsafeBytes {
                Socket.send(fd, $0.baseAddress!, $0.count)
            }
            if count < 0 { return errno == EAGAIN }
            connections[Int(fd)]!.unsent.removeFirst(count)
        }
        guard sendBig(fd) else { return false }
        guard connections[Int(fd)]!.isFlushed, connections[Int(fd)]!.isPaused else { return true }
        connections[Int(fd)]!.isPaused = false
        let rest = connections[Int(fd)]!.rest
        connections[Int(fd)]!.rest = []
        guard rest.withUnsafeBytes({ answerAll($0, of: fd) }) else { return false }
        // Input that came meanwhile was reported once and not read.
        if connections[Int(fd)]!.isFlushed { read(fd, hasEnded: false) }
        return true
    }

    private mutating func end(_ fd: Int32) {
        connections[Int(fd)]!.encryption?.free()
        connections[Int(fd)] = nil
        close(fd)
    }
}
