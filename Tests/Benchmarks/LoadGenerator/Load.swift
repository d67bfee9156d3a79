import Auth
import Base
import BenchmarkSupport
import CLinux
import Glibc
import System
import TLS
import Wire

/// Drives the connections of one process, on one thread.
struct Load: ~Copyable {
    /// A client that waits longer than this for an answer is an error.
    private static let patienceNanoseconds: UInt64 = 20_000_000_000
    /// Connections being made at the same time, so that no listen queue overflows.
    private static let loginLimit = 64
    /// Errors told in words; all are counted.
    private static let toldErrorLimit = 5

    private let options: Options
    private let script: Script
    private let process: Int
    private let tally: Tally
    private let barrier: Barrier
    private let poller = Poller()
    private let received = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 16)
    private let scratch = UnsafeMutableRawPointer.allocate(byteCount: 2048, alignment: 16)
    private let encryption: Encryption?
    /// Logins by password, of the clients that are at it.
    private var proofs: [Int: ScramClient] = [:]
    /// What was derived from the password, which all clients share.
    private var knownKeys: DerivedScramKeys?
    private let firstNumber: Int
    private var clients: [Client]
    private var now: UInt64 = 0
    private var nextLogin = 0
    private var loggingInCount = 0
    private var readyCount = 0
    private var isMeasuring = false
    private var toldErrors = 0

    private static let inputToken = UInt64.max

    /// The share of the clients that process number `process` drives.
    init(options: Options, process: Int, tally: Tally, barrier: Barrier) {
        self.options = options
        self.process = process
        self.tally = tally
        self.barrier = barrier
        script = Script(options)
        encryption = options.usesTLS ? Encryption() : nil
        firstNumber = options.clientCount * process / options.processCount
        let end = options.clientCount * (process + 1) / options.processCount
        clients = Array(repeating: Client(), count: end - firstNumber)
    }

    deinit {
        received.deallocate()
        scratch.deallocate()
    }

    /// Logs all clients in, waits for the other processes, and does what the mode asks for.
    mutating func run() {
        logIn()
        if options.mode == .idle {
            stayIdle()
        } else {
            for index in clients.indices where clients[index].state == .ready { begin(index) }
            turn(until: Clock.monotonicNanoseconds + options.warmUpNanoseconds)
            measure()
        }
        countStalled()
    }

    // MARK: Phases

    private mutating func logIn() {
        now = Clock.monotonicNanoseconds
        let deadline = now + Load.patienceNanoseconds + UInt64(clients.count) * 1_000_000
        while readyCount < clients.count {
            while nextLogin < clients.count, loggingInCount < Load.loginLimit {
                connect(nextLogin)
                nextLogin += 1
            }
            handleEvents(milliseconds: 100)
            if now > deadline { stop("\(clients.count - readyCount) clients could not log in in time") }
            if tally.errorCount > 0, options.mode != .connect { stop("a client could not log in") }
        }
        barrier.arrive(process)
        while !barrier.isComplete { usleep(1000) }
    }

    private mutating func measure() {
        let start = Clock.monotonicNanoseconds
        let watchedBefore = watchedNanoseconds()
        let ownBefore = ownNanoseconds()
        isMeasuring = true
        turn(until: start + options.measureNanoseconds)
        isMeasuring = false
        noteWaiting(since: start)
        tally.ownNanoseconds = ownNanoseconds() - ownBefore
        tally.watchedNanoseconds = watchedNanoseconds() - watchedBefore
        tally.measuredNanoseconds = Clock.monotonicNanoseconds - start
    }

    private mutating func turn(until end: UInt64) {
        now = Clock.monotonicNanoseconds
        while now < end {
            handleEvents(milliseconds: Int32((end - now) / 1_000_000) + 1)
        }
    }

    private mutating func stayIdle() {
        for index in clients.indices { begin(index) }
        let deadline = now + Load.patienceNanoseconds
        while clients.contains(where: { $0.state == .running }) {
            handleEvents(milliseconds: 100)
            if now > deadline { stop("not every client got its first answer in time") }
        }
        announce("{\"ready\": \(clients.count), \"errors\": \(tally.errorCount)}")
        poller.addLevelTriggered(STDIN_FILENO, token: Load.inputToken)
        var isInputOpen = true
        while isInputOpen {
            let count = poller.wait(milliseconds: -1)
            for index in 0..<count where poller[index].token == Load.inputToken {
                isInputOpen = read(STDIN_FILENO, received.baseAddress, 1) > 0
            }
            for index in 0..<count where poller[index].token != Load.inputToken && poller[index].hasEnded {
                failed(Int(poller[index].token), "an idle connection was closed")
            }
        }
    }

    /// Who has not been answered in the end has waited too.
    private func noteWaiting(since start: UInt64) {
        for client in clients where client.state == .running && client.startNanoseconds < now {
            tally.longestNanoseconds = max(
                tally.longestNanoseconds, now - max(client.startNanoseconds, start))
        }
    }

    private func countStalled() {
        let stalled = clients.filter {
            $0.state == .running && now > $0.startNanoseconds + Load.patienceNanoseconds
        }.count
        if stalled > 0 {
            complain("\(stalled) clients waited more than \(Load.patienceNanoseconds / 1_000_000_000) s")
            tally.errorCount += UInt64(stalled)
        }
    }

    private func watchedNanoseconds() -> UInt64 {
        guard process == 0 else { return 0 }
        return options.watchedProcesses.reduce(0) { sum, process in
            let used = clinux_process_cpu_nanoseconds(process)
            if used < 0 { stop("process \(process), whose processor time is wanted, is gone") }
            return sum + UInt64(used)
        }
    }

    private func ownNanoseconds() -> UInt64 {
        UInt64(max(clinux_process_cpu_nanoseconds(getpid()), 0))
    }

    // MARK: Events

    private mutating func handleEvents(milliseconds: Int32) {
        let count = poller.wait(milliseconds: milliseconds)
        now = Clock.monotonicNanoseconds
        for position in 0..<count {
            let event = poller[position]
            let index = Int(event.token & 0xFFFF_FFFF)
            // A connection may have been replaced since the event was queued.
            guard UInt64(UInt32(bitPattern: clients[index].fd)) == event.token >> 32 else { continue }
            if clients[index].state == .connecting {
                if event.isWritable { connected(index) }
            } else if event.isReadable {
                receive(index, hasEnded: event.hasEnded)
            }
        }
    }

    private mutating func receive(_ index: Int, hasEnded: Bool) {
        while true {
            let fd = clients[index].fd
            let count = recv(fd, received.baseAddress, received.count, 0)
            if count < 0, errno == EAGAIN || errno == EINTR { return }
            if count <= 0 {
                let reason = count == 0 ? "closed by the other side" : String(cString: strerror(errno))
                return failed(index, "connection lost: \(reason)")
            }
            let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(received)[..<count])
            if let session = clients[index].session {
                decrypt(index, session, bytes)
            } else {
                take(index, bytes)
            }
            // Short reads empty the socket; another connection may have come into the place of this one.
            let isAnother = clients[index].state == .connecting || clients[index].fd != fd
            if isAnother || (count < received.count && !hasEnded) { return }
        }
    }

    private mutating func take(_ index: Int, _ bytes: UnsafeRawBufferPointer) {
        switch clients[index].state {
        case .askingForTLS:
            guard bytes.elementsEqual("S".utf8) else {
                return failed(index, "TLS is refused: \(ErrorText.describe(bytes))")
            }
            let session = encryption!.session()
            clients[index].session = session
            clients[index].state = .shakingHands
            encryption!.channel.input = UnsafeRawBufferPointer(start: nil, count: 0)
            shakeHands(index, session)
        case .loggingIn: readLogin(index, bytes)
        case .preparing, .running: compare(index, bytes)
        case .unconnected, .connecting, .shakingHands, .ready, .failed:
            failed(index, "an answer nobody asked for: \(ErrorText.describe(bytes))")
        }
    }

    private mutating func readLogin(_ index: Int, _ bytes: UnsafeRawBufferPointer) {
        clients[index].rest += bytes
        while true {
            switch clients[index].rest.withUnsafeBytes({ LoginReply.read($0) }) {
            case .incomplete(let consumed):
                return clients[index].rest.removeFirst(consumed)
            case .asked(let code, let data, let consumed):
                clients[index].rest.removeFirst(consumed)
                if !proveOneself(index, code, data) { return }
            case .failed(let reason):
                return failed(index, "login failed: \(reason)")
            case .ready:
                clients[index].rest = []
                proofs[index] = nil
                guard let preparation = script.preparation else { return loggedIn(index) }
                clients[index].state = .preparing
                clients[index].answered = 0
                return send(index, preparation)
            }
        }
    }

    /// A step of SCRAM; false when the login has failed.
    private mutating func proveOneself(_ index: Int, _ code: UInt32, _ data: [UInt8]) -> Bool {
        var buffer = ByteBuffer()
        switch (code, proofs[index]) {
        case (10, nil) where !options.password.isEmpty:
            var nonce = [UInt8](repeating: 0, count: 18)
            for place in nonce.indices { nonce[place] = .random(in: 0...255) }
            let scram = ScramClient(credential: .password(options.password), nonce: nonce)
            buffer.appendSASLInitialResponse(mechanism: scram.mechanism, scram.clientFirst.rawSpan)
            proofs[index] = scram
        case (11, var scram?):
            do {
                try scram.receiveServerFirst(data.rawSpan, known: knownKeys)
            } catch {
                failed(index, "login failed: \(error)")
                return false
            }
            while !scram.step(iterations: 100_000) {}
            knownKeys = scram.derived ?? knownKeys
            buffer.appendSASLResponse(scram.clientFinal.rawSpan)
            proofs[index] = scram
        case (12, let scram?) where scram.isServerProven(by: data.rawSpan):
            return true
        default:
            failed(index, "login failed: authentication request \(code) cannot be answered")
            return false
        }
        send(index, buffer.array)
        return true
    }

    // MARK: TLS

    private mutating func shakeHands(_ index: Int, _ session: TLSSession) {
        let progress = session.shakeHands()
        sendEncrypted(index)
        switch progress {
        case .waiting: break
        case .failed(let error): failed(index, "TLS: \(error)")
        case .done:
            clients[index].state = .loggingIn
            send(index, script.startup)
        }
    }

    private mutating func decrypt(_ index: Int, _ session: TLSSession, _ bytes: UnsafeRawBufferPointer) {
        encryption!.channel.input = bytes
        if clients[index].state == .shakingHands { shakeHands(index, session) }
        // Another connection in its place may well have the same descriptor.
        while clients[index].state != .connecting, clients[index].state != .failed {
            switch session.read(encryption!.channel) {
            case .bytes(let count):
                take(index, UnsafeRawBufferPointer(rebasing: encryption!.channel.plain[..<count]))
            case .empty: return
            case .end: return failed(index, "connection lost: closed by the other side")
            case .broken(let error): return failed(index, "\(error)")
            }
        }
    }

    /// Sends what the session has written.
    private mutating func sendEncrypted(_ index: Int) {
        let output = encryption!.channel.output
        guard let start = output.baseAddress, output.count > 0 else { return }
        let sent = Socket.send(clients[index].fd, start, output.count)
        encryption!.channel.emptyOutput()
        finish(index, sent)
    }

    /// Compares a piece of an answer with what it must be.
    private mutating func compare(_ index: Int, _ bytes: UnsafeRawBufferPointer) {
        let client = clients[index]
        let isPreparing = client.state == .preparing
        let expected = isPreparing ? script.preparation!.answer : script.steps[Int(client.step)].answer
        let end = client.answered + bytes.count
        guard end <= expected.count else {
            return failed(index, "more than the answer: \(ErrorText.describe(bytes))")
        }
        let isRight = expected.withUnsafeBytes { expected in
            var start = expected.baseAddress!
            if !isPreparing, let offset = script.steps[Int(client.step)].answerNumber {
                scratch.copyMemory(from: start, byteCount: expected.count)
                writeNumber(of: index, at: scratch + offset)
                start = UnsafeRawPointer(scratch)
            }
            return memcmp(start + client.answered, bytes.baseAddress!, bytes.count) == 0
        }
        guard isRight else { return failed(index, "a wrong answer: \(ErrorText.describe(bytes))") }
        clients[index].answered = end
        if end == expected.count { answered(index) }
    }

    // MARK: Moves of a client

    private mutating func connect(_ index: Int) {
        // One source address has about 28,000 ports.
        let source = options.isLoopback ? UInt8((firstNumber + index) / 20_000) : 0
        let fd = connect(source: source == 0 ? 0 : source + 1, firstNumber + index)
        loggingInCount += 1
        clients[index].fd = fd
        clients[index].state = .connecting
        clients[index].rest = []
        poller.add(fd, token: UInt64(UInt32(bitPattern: fd)) << 32 | UInt64(index))
    }

    private func connect(source: UInt8, _ number: Int) -> Int32 {
        let port = options.sourcePorts.isEmpty ? 0 : options.sourcePorts[number]
        let deadline = now + 3_000_000_000
        while true {
            if let fd = Socket.connect(to: options.address, source: source, port: port) { return fd }
            // The kernel may remember for a second who came from a chosen port before.
            guard port != 0, errno == EADDRNOTAVAIL, Clock.monotonicNanoseconds < deadline else {
                stop("cannot connect: \(String(cString: strerror(errno)))")
            }
            usleep(20_000)
        }
    }

    private mutating func connected(_ index: Int) {
        let failure = Socket.connectError(clients[index].fd)
        guard failure == 0 else {
            return failed(index, "cannot connect: \(String(cString: strerror(failure)))")
        }
        clients[index].state = encryption == nil ? .loggingIn : .askingForTLS
        send(index, encryption == nil ? script.startup : Encryption.request)
    }

    private mutating func loggedIn(_ index: Int) {
        loggingInCount -= 1
        if options.mode == .connect, clients[index].startNanoseconds != 0 {
            return sendStep(index)
        }
        clients[index].state = .ready
        readyCount += 1
    }

    /// Begins the first transaction of a client that is ready.
    private mutating func begin(_ index: Int) {
        clients[index].startNanoseconds = Clock.monotonicNanoseconds
        sendStep(index)
    }

    private mutating func sendStep(_ index: Int) {
        clients[index].state = .running
        clients[index].answered = 0
        send(index, script.steps[Int(clients[index].step)])
    }

    private mutating func answered(_ index: Int) {
        if clients[index].state == .preparing { return loggedIn(index) }
        clients[index].step += 1
        if Int(clients[index].step) < script.steps.count { return sendStep(index) }
        clients[index].step = 0
        if options.mode == .connect {
            send(index, script.farewell)
            if let session = clients[index].session {
                session.sayGoodbye()
                sendEncrypted(index)
            }
            close(index)
        }
        clients[index].sequence = (clients[index].sequence + 1) % 100
        if isMeasuring {
            tally.transactionCount += 1
            let latency = now - clients[index].startNanoseconds
            tally.latencies.record(nanoseconds: latency)
            tally.longestNanoseconds = max(tally.longestNanoseconds, latency)
        }
        switch options.mode {
        case .idle:
            clients[index].state = .ready
        case .connect:
            clients[index].startNanoseconds = now
            connect(index)
        case .simple, .hold, .extended, .prepared, .transaction, .big:
            clients[index].startNanoseconds = now
            sendStep(index)
        }
    }

    private mutating func failed(_ index: Int, _ reason: String) {
        if toldErrors < Load.toldErrorLimit {
            toldErrors += 1
            complain("client \(firstNumber + index): \(reason)")
        }
        tally.errorCount += 1
        close(index)
        clients[index].state = .failed
        if clients.allSatisfy({ $0.state == .failed }) { stop("no client is left") }
    }

    private mutating func close(_ index: Int) {
        Glibc.close(clients[index].fd)
        clients[index].fd = -1
        clients[index].session?.free()
        clients[index].session = nil
    }

    // MARK: Sending

    private mutating func send(_ index: Int, _ step: Script.Step) {
        guard let offset = step.requestNumber else { return send(index, step.request) }
        step.request.withUnsafeBytes { scratch.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        writeNumber(of: index, at: scratch + offset)
        send(index, UnsafeRawBufferPointer(start: scratch, count: step.request.count))
    }

    private mutating func send(_ index: Int, _ bytes: [UInt8]) {
        bytes.withUnsafeBytes { send(index, $0) }
    }

    private mutating func send(_ index: Int, _ bytes: UnsafeRawBufferPointer) {
        guard let session = clients[index].session else {
            return finish(index, Socket.send(clients[index].fd, bytes.baseAddress!, bytes.count))
        }
        guard session.write(bytes) else { return failed(index, "TLS is broken") }
        sendEncrypted(index)
    }

    private mutating func finish(_ index: Int, _ sent: Int) {
        if sent < 0 { failed(index, "cannot send: \(String(cString: strerror(errno)))") }
    }

    /// Writes the eight digits that name a client and its request: 1, five of the client, two of the request.
    private func writeNumber(of index: Int, at place: UnsafeMutableRawPointer) {
        var number = 10_000_000 + (firstNumber + index) * 100 + Int(clients[index].sequence)
        for offset in (0..<8).reversed() {
            place.storeBytes(of: UInt8(ascii: "0") + UInt8(number % 10), toByteOffset: offset, as: UInt8.self)
            number /= 10
        }
    }
}
