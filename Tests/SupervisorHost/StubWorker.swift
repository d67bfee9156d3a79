import Base
import Config
import Glibc
import System

@testable import SharedState

/// A worker whose clients say, line by line, what it is to do, and get a line back.
struct StubWorker: ~Copyable {
    let context: WorkerContext
    let segment: Segment
    let lost: Int32
    var clients: [Int32] = []
    var isEnding = false
    var isMute = false
    var hasDrained = false
    var isLeaving = false
    var epoch: UInt64
    var configuration: Configuration?
    /// Pauses are not done before this is over.
    var holdsPauses = false
    var heldPauses: [UInt64] = []

    init(_ context: consuming WorkerContext) {
        guard let segment = try? Segment.attach(memory: context.segment, byteCount: context.segmentByteCount),
            let lost = try? Signals.descriptor(for: [context.supervisorLostSignal])
        else { Process.exitNow(3) }
        self.segment = segment
        self.lost = lost
        epoch = context.epoch
        configuration = StubWorker.decode(context.configurationImage)
        self.context = context
    }

    static func decode(_ bytes: [UInt8]) -> Configuration? {
        guard let image = try? ConfigurationImage(decoding: bytes) else { return nil }
        return Configuration.parse(image).configuration
    }

    static func run(_ context: consuming WorkerContext) -> Never {
        var worker = StubWorker(context)
        if worker.configuration?.settings.text(of: "job_name") == "unable" {
            worker.log("no way")
            Process.exitNow(WorkerContext.unableStatus)
        }
        worker.send(.ready)
        while true { worker.turn() }
    }

    mutating func turn() {
        let listeners = context.listeners.filter { !isEnding || $0.family == .unix }.map(\.descriptor)
        let descriptors = [lost, context.control] + listeners + clients
        let ready = Poll.wait(descriptors.map { Poll.Interest($0, .read) }, milliseconds: 200)
        segment.worker(context.index).beat(Clock.monotonicNanoseconds / 1000)
        if ready[0].canRead { Process.exitNow(0) }
        let all = clients
        for (index, listener) in listeners.enumerated() where ready[2 + index].canRead {
            if let client = try? Socket.accept(listener) {
                clients.append(client)
                _ = segment.ledger(of: context.index).admit(limit: 0)
            }
        }
        for (index, client) in all.enumerated() where ready[2 + listeners.count + index].canRead {
            serve(client)
        }
        if ready[1].canRead { takeOrders() }
        while let message = try? DescriptorPassing.receive(from: context.inbox) {
            clients += message.descriptors
            for _ in message.descriptors { _ = segment.ledger(of: context.index).admit(limit: 0) }
        }
        if isEnding, clients.isEmpty, !hasDrained {
            hasDrained = true
            send(.drained)
            if isLeaving { Process.exitNow(0) }
        }
    }

    func send(_ message: ControlMessage, _ descriptors: [Int32] = []) {
        var buffer = ByteBuffer()
        try? message.encode(into: &buffer)
        try? DescriptorPassing.send(
            buffer.bytes.withUnsafeBytes { [UInt8]($0) }, descriptors, to: context.control)
    }

    func log(_ text: String) {
        segment.worker(context.index).logRing.append(
            .log, realtimeMicroseconds: Clock.realNanoseconds / 1000, pid: Process.id, text: text)
        Descriptors.signal(event: context.supervisorWake)
    }

    mutating func takeOrders() {
        while let received = try? DescriptorPassing.receive(from: context.control) {
            if received.isEnd { Process.exitNow(0) }
            guard let message = try? ControlMessage.decode(received.bytes.span.bytes) else { continue }
            handle(message, received.descriptors)
        }
    }

    mutating func handle(_ message: ControlMessage, _ descriptors: [Int32]) {
        switch message {
        case .configuration(let epoch, let byteCount):
            let bytes = (try? SharedMemory.contents(of: descriptors[0], limit: Int(byteCount))) ?? []
            configuration = StubWorker.decode(bytes)
            self.epoch = epoch
            send(.acknowledged(epoch: epoch, problem: configuration == nil ? Array("cannot".utf8) : []))
        case .order(let order):
            let database = order.database.map { " " + String(decoding: $0, as: UTF8.self) } ?? ""
            log("worker \(context.index) got order \(order.kind)\(database)")
            switch order.kind {
            case .pause where holdsPauses:
                heldPauses.append(order.epoch)
                return
            // Worker 1 has a client of this number.
            case .killClient where context.index != 1 || order.argument != 7:
                return send(.acknowledged(epoch: order.epoch, problem: Array("not found".utf8)))
            case .resume:
                for epoch in heldPauses { send(.acknowledged(epoch: epoch, problem: [])) }
                heldPauses = []
            case .shutdownNow: Process.exitNow(0)
            case .shutdownWaitForClients, .shutdownWaitForServers:
                isEnding = true
                for listener in context.listeners where listener.family == .tcp {
                    Descriptors.close(listener.descriptor)
                }
            case .drain:
                isLeaving = true
                isEnding = true
            default: break
            }
            send(.acknowledged(epoch: order.epoch, problem: []))
        case .rowsWanted(let request, let kind):
            if isMute { return }
            var writer = RowWriter()
            if kind == .lists {
                writer.beginRow(fieldCount: 2)
                writer.append("used_clients")
                writer.append(10 + context.index)
            }
            let rows = writer.bytes.withUnsafeBytes { [UInt8]($0) }
            send(.rows(RowsAnswer(request: request, rows: rows, isLast: true)))
        default: break
        }
        for descriptor in descriptors { Descriptors.close(descriptor) }
    }

    mutating func serve(_ client: Int32) {
        let text = (try? Descriptors.read(client, limit: 65536)).flatMap { $0 } ?? []
        guard !text.isEmpty else {
            clients.removeAll { $0 == client }
            segment.ledger(of: context.index).dismiss()
            return Descriptors.close(client)
        }
        let words = String(decoding: text, as: UTF8.self).split(whereSeparator: \.isWhitespace).map(
            String.init)
        guard let command = words.first else { return }
        let argument = words.count > 1 ? words[1] : ""
        let answer: String
        switch command {
        case "index": answer = "\(context.index)"
        case "incarnation": answer = "\(context.incarnation)"
        case "pid": answer = "\(Process.id)"
        case "paused": answer = "\(context.startsPaused)"
        case "epoch": answer = "\(epoch)"
        case "setting": answer = configuration?.settings.text(of: argument) ?? "none"
        case "descriptors": answer = descriptorReport()
        case "log":
            log(argument)
            answer = "logged"
        case "flood":
            for number in 0..<(Int(argument) ?? 0) {
                log("line \(number) " + String(repeating: "x", count: 200))
            }
            answer = "flooded"
        case "hold":
            holdsPauses = true
            answer = "held"
        case "mute":
            isMute = true
            answer = "muted"
        case "crash":
            log("last words")
            kill(Process.id, SIGKILL)
            answer = ""
        case "stop-locked":
            segment.ledger(of: context.index).locked { _ = kill(Process.id, SIGSTOP) }
            answer = "went on"
        case "exit": Process.exitNow(Int32(argument) ?? 0)
        case "title":
            let bytes = (try? FileSystem.read("/proc/self/cmdline")) ?? []
            answer = String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        case "resolve": answer = resolve(argument)
        case "count":
            let pool = segment.worker(context.index).allocatePool(
                database: Array("d".utf8), user: Array("u".utf8))
            pool.add(.queries, 5)
            answer = "counted"
        case "console":
            let login = ConsoleLogin(
                clientId: 1, user: Array("boss".utf8), role: .admin, address: Array("unix".utf8), port: 0,
                parameters: [])
            send(.consoleLogin(login), [client])
            clients.removeAll { $0 == client }
            segment.ledger(of: context.index).dismiss()
            return Descriptors.close(client)
        default: answer = "what?"
        }
        try? Descriptors.writeAll(client, Array((answer + "\n").utf8))
    }

    /// What is open besides what the context names, the clients and the standard three.
    func descriptorReport() -> String {
        var known: Set<Int32> = [0, 1, 2, lost, context.control, context.inbox, context.resolver]
        known.insert(context.supervisorWake)
        known.formUnion(context.inboxSenders)
        known.formUnion(context.listeners.map(\.descriptor))
        known.formUnion(clients)
        let open = Descriptors.openDescriptors()
        let stray = open.filter { !known.contains($0) }
        let missing = known.filter { $0 >= 0 && !open.contains($0) }
        return "stray \(stray.count) missing \(missing.count) senders \(context.inboxSenders.count)"
    }

    func resolve(_ name: String) -> String {
        let request = ResolverRequest(
            id: 7, lifeMilliseconds: 1000, failureLifeMilliseconds: 1000, name: name)
        _ = try? Descriptors.write(context.resolver, request.encoded()[...])
        _ = Poll.wait([Poll.Interest(context.resolver, .read)], milliseconds: 5000)
        guard let bytes = try? Descriptors.read(context.resolver, limit: 8192),
            let answer = ResolverAnswer(bytes)
        else { return "no answer" }
        return answer.failure.isEmpty
            ? answer.addresses.map(\.description).joined(separator: ",") : answer.failure
    }
}
