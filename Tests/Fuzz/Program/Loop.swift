import BenchmarkSupport
import Glibc

/// Seconds on a clock that only goes forward.
func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// One socket and who is behind it. Pieces are sent one a turn, so that they arrive apart.
class Peer {
    let descriptor: Int32
    let loop: Loop
    private(set) var isOpen = true
    private var pieces: [[UInt8]] = []
    private var isBlocked = false
    /// Whether it reads what comes; there may be more to read when it does again.
    var isReading = true {
        didSet { if isReading, !oldValue { read() } }
    }

    init(_ descriptor: Int32, _ loop: Loop) {
        self.descriptor = descriptor
        self.loop = loop
        loop.add(self)
    }

    /// Whether everything has been handed to the system.
    var isSent: Bool { pieces.isEmpty }

    /// Bytes came.
    func received(_ bytes: [UInt8]) {}
    /// Everything has been sent.
    func sent() {}
    /// The other end has closed.
    func ended() { close() }
    /// Some milliseconds have passed.
    func tick(_ time: Double) {}

    func send(_ more: [[UInt8]]) {
        guard isOpen else { return }
        pieces += more.filter { !$0.isEmpty }
        if !pieces.isEmpty { loop.wantsTurn(self) }
    }

    /// Closes; with a reset, and what was sent may be lost.
    func close(withReset: Bool = false) {
        guard isOpen else { return }
        isOpen = false
        pieces = []
        if withReset {
            var option = linger(l_onoff: 1, l_linger: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        }
        loop.remove(self)
        Glibc.close(descriptor)
    }

    /// Sends the next piece; true when there are more and it makes sense to come again.
    fileprivate func takeTurn() -> Bool {
        guard isOpen, !isBlocked, let piece = pieces.first else { return false }
        let count = piece.withUnsafeBytes { Socket.send(descriptor, $0.baseAddress!, $0.count) }
        if count < 0 {
            if errno == EAGAIN { isBlocked = true } else { pieces = [] }
            return false
        }
        if count < piece.count {
            pieces[0].removeFirst(count)
        } else {
            pieces.removeFirst()
        }
        if pieces.isEmpty { sent() }
        return !pieces.isEmpty
    }

    fileprivate func happened(_ event: Poller.Event) {
        if event.isWritable, isBlocked {
            isBlocked = false
            loop.wantsTurn(self)
        }
        if event.isReadable, isReading { read() }
    }

    private func read() {
        while isOpen, isReading {
            let count = recv(descriptor, loop.buffer.baseAddress, loop.buffer.count, 0)
            if count > 0 {
                received(Array(loop.buffer[..<count]))
            } else if count < 0, errno == EAGAIN {
                return
            } else if count < 0, errno == EINTR {
                continue
            } else {
                return ended()
            }
        }
    }
}

/// A listener, and what is made of its connections.
final class Door {
    let descriptor: Int32
    let port: Int
    let address: String
    private let accepted: (Int32) -> Void

    init(_ loop: Loop, address: String = "127.0.0.1", _ accepted: @escaping (Int32) -> Void) {
        descriptor = Socket.listen(on: .internet(address, 0))
        port = Int(Socket.port(of: descriptor))
        self.address = address
        self.accepted = accepted
        loop.add(self)
    }

    fileprivate func open() { while let client = Socket.accept(descriptor) { accepted(client) } }
}

/// Waits for all sockets on one thread.
final class Loop {
    fileprivate let buffer = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: 1 << 16)
    private let poller = Poller(capacity: 512)
    private var peers: [Int32: Peer] = [:]
    private var doors: [Int32: Door] = [:]
    private var turns: [Int32] = []
    private var lastTick = 0.0
    private var lastTurn = 0.0
    /// Seconds in which this program itself was not given a processor, or had too much to do: nobody else is
    /// to be blamed for them.
    private(set) var lost = 0.0

    fileprivate func add(_ peer: Peer) {
        peers[peer.descriptor] = peer
        poller.add(peer.descriptor, token: UInt64(peer.descriptor))
    }

    fileprivate func add(_ door: Door) {
        doors[door.descriptor] = door
        poller.addLevelTriggered(door.descriptor, token: UInt64(door.descriptor))
    }

    fileprivate func remove(_ peer: Peer) { peers[peer.descriptor] = nil }

    fileprivate func wantsTurn(_ peer: Peer) { turns.append(peer.descriptor) }

    /// Closes everything.
    func closeAll() {
        for peer in Array(peers.values) { peer.close() }
        for door in doors.values { Glibc.close(door.descriptor) }
        doors = [:]
    }

    /// One turn: a piece for each, then what happened meanwhile.
    func turn() {
        let start = now()
        if lastTurn > 0, start - lastTurn > 0.2 { lost += start - lastTurn }
        lastTurn = start
        let whose = turns
        turns = []
        for descriptor in whose {
            if let peer = peers[descriptor], peer.takeTurn() { turns.append(descriptor) }
        }
        for index in 0..<poller.wait(milliseconds: turns.isEmpty ? 5 : 0) {
            let event = poller[index]
            let descriptor = Int32(event.token)
            if let door = doors[descriptor] { door.open() } else { peers[descriptor]?.happened(event) }
        }
        let time = now()
        guard time - lastTick > 0.01 else { return }
        lastTick = time
        for peer in Array(peers.values) { peer.tick(time) }
    }

    /// Turns until something is so; false when it takes too long.
    func turn(until isSo: () -> Bool, within seconds: Double) -> Bool {
        let deadline = now() + seconds
        while !isSo() {
            if now() > deadline { return false }
            turn()
        }
        return true
    }
}
