import EventLoop
import Glibc
import System
import Testing

/// Both back ends must pass every test.
let backends: [EventLoop.Preference] = [.ioUring, .epoll]

/// What a completion said, with the received bytes copied out.
struct Event: Equatable {
    var operation: UInt8
    var slot: UInt32
    var result: Int32
    var hasMore: Bool
    var bytes: [UInt8]
}

/// Operations of the tests.
enum Operation {
    static let accept: UInt8 = 1
    static let receive: UInt8 = 2
    static let send: UInt8 = 3
    static let connect: UInt8 = 4
    static let poll: UInt8 = 5
}

func tag(_ operation: UInt8, _ slot: UInt32 = 0) -> LoopTag {
    LoopTag(operation: operation, slot: slot, generation: 1)
}

extension EventLoop {
    /// Takes turns until `isEnough` or five seconds have passed, and gives all buffers back.
    mutating func run(until isEnough: ([Event]) -> Bool) -> [Event] {
        var events: [Event] = []
        let deadline = Clock.monotonicNanoseconds + 5_000_000_000
        while !isEnough(events) {
            guard Clock.monotonicNanoseconds < deadline else {
                Issue.record("gave up after \(events.count) events: \(events.suffix(5))")
                break
            }
            let count = wait(timeoutNanoseconds: 100_000_000)
            for index in 0..<count { events.append(take(self[index])) }
        }
        return events
    }

    /// Takes turns until nothing comes for a while.
    mutating func runUntilQuiet(milliseconds: UInt64 = 50) -> [Event] {
        var events: [Event] = []
        while true {
            let count = wait(timeoutNanoseconds: milliseconds * 1_000_000)
            if count == 0 { return events }
            for index in 0..<count { events.append(take(self[index])) }
        }
    }

    /// Copies a completion's bytes out and gives its buffer back.
    mutating func take(_ completion: Completion) -> Event {
        var event = Event(
            operation: completion.tag.operation, slot: completion.tag.slot, result: completion.result,
            hasMore: completion.hasMore, bytes: [])
        if !completion.buffer.isNone {
            event.bytes = Array(bytes(of: completion))
            giveBack(completion.buffer)
        }
        return event
    }

    /// Sends an array; the caller keeps it alive until the completion.
    mutating func send(_ descriptor: Int32, _ tag: LoopTag, _ bytes: UnsafeBufferPointer<UInt8>) {
        send(descriptor, tag, UnsafeRawPointer(bytes.baseAddress!), count: bytes.count)
    }
}

/// Two connected TCP sockets.
func tcpPair() throws -> (client: Int32, server: Int32) {
    let listener = try Listener.open(try #require(SocketAddress(host: "127.0.0.1", port: 0)))
    defer { Descriptors.close(listener) }
    let client = try Socket.open(.ipv4)
    try Socket.connect(client, to: try #require(Socket.localAddress(of: listener)))
    _ = Poll.wait([Poll.Interest(listener, .read)], milliseconds: 5000)
    return (client, try #require(try Socket.accept(listener)))
}

/// Writes all of it, waiting.
func write(_ bytes: [UInt8], to descriptor: Int32) throws { try Descriptors.writeAll(descriptor, bytes) }

/// A buffer that stays where it is.
final class Bytes {
    let buffer: UnsafeMutableBufferPointer<UInt8>
    init(count: Int) {
        buffer = .allocate(capacity: count)
        for index in 0..<count { buffer[index] = UInt8(truncatingIfNeeded: index &* 31) }
    }
    deinit { buffer.deallocate() }
    var start: UnsafeRawPointer { UnsafeRawPointer(buffer.baseAddress!) }
    var all: UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(buffer) }
}

func errorNumber(_ number: Int32) -> Int32 { -number }
