import EventLoop
import Glibc
import System
import Testing

@Suite struct WaitTests {
    @Test(arguments: backends, [0, 5_000_000, 30_000_000] as [UInt64])
    func aWaitEndsInTime(backend: EventLoop.Preference, timeout: UInt64) throws {
        var loop = try EventLoop(backend)
        for budget: UInt64 in [0, 1_000_000] {
            let start = Clock.monotonicNanoseconds
            var took: UInt64 = 0
            var waits = 0
            // A signal may end a wait early; rings of other tests that end on this thread are such.
            repeat {
                #expect(loop.wait(timeoutNanoseconds: timeout - took, busyPollNanoseconds: budget) == 0)
                took = Clock.monotonicNanoseconds - start
                waits += 1
            } while took < timeout
            #expect(waits < 20)
            #expect(took < timeout + 1_000_000_000)
            #expect(loop.nowNanoseconds >= start + timeout)
        }
    }

    @Test func theChoiceIsExplained() throws {
        let configured = try EventLoop(.epoll)
        #expect(configured.backend == .epoll)
        #expect(configured.choice == "epoll, as configured")
        let automatic = try EventLoop(.automatic)
        #expect(automatic.choice.hasPrefix(automatic.backend == .ioUring ? "io_uring" : "epoll, because"))
    }

    /// Short waits make the loop look before it sleeps; long ones make it stop.
    @Test(arguments: backends)
    func lookingIsForBusyLoopsOnly(backend: EventLoop.Preference) throws {
        var loop = try EventLoop(backend)
        let pair = try Socket.pair(.stream)
        loop.receive(pair.second, tag(Operation.receive))
        for _ in 0..<100 {
            try write([1], to: pair.first)
            let count = loop.wait(timeoutNanoseconds: 1_000_000_000, busyPollNanoseconds: 1_000_000_000)
            for index in 0..<count { _ = loop.take(loop[index]) }
        }
        let before = loop.counters
        // Nothing comes any more: very few of these waits may burn their budget.
        for _ in 0..<50 { loop.wait(timeoutNanoseconds: 2_000_000, busyPollNanoseconds: 100_000) }
        #expect(loop.counters.spinMissCount - before.spinMissCount <= 5)
        Descriptors.close(pair.first)
        Descriptors.close(pair.second)
    }

    /// 2,000 connections with echo in rounds: every byte comes back, every buffer too.
    @Test(arguments: backends)
    func twoThousandConnectionsAreEchoed(backend: EventLoop.Preference) throws {
        try Limits.raiseDescriptors()
        var loop = try EventLoop(backend)
        let count = 2000
        var pairs: [(first: Int32, second: Int32)] = []
        for slot in 0..<count {
            let pair = try Socket.pair(.stream, nonBlocking: false)
            pairs.append(pair)
            loop.receive(pair.second, tag(Operation.receive, UInt32(slot)))
        }
        for round in 0..<3 as Range<UInt8> {
            for slot in 0..<count { try write([round, UInt8(slot & 0xFF)], to: pairs[slot].first) }
            var echoed = 0
            let deadline = Clock.monotonicNanoseconds + 20_000_000_000
            while echoed < count, Clock.monotonicNanoseconds < deadline {
                let ready = loop.wait(timeoutNanoseconds: 100_000_000)
                for index in 0..<ready {
                    let completion = loop[index]
                    let slot = completion.tag.slot
                    if completion.tag.operation == Operation.send {
                        // The buffer's number travelled in the generation.
                        echoed += 1
                        continue
                    }
                    if completion.result == -ENOBUFS || (!completion.hasMore && completion.result > 0) {
                        loop.receive(pairs[Int(slot)].second, tag(Operation.receive, slot))
                    }
                    guard completion.result > 0 else { continue }
                    let event = loop.take(completion)
                    #expect(event.bytes == [round, UInt8(slot & 0xFF)])
                    loop.send(
                        pairs[Int(slot)].second, tag(Operation.send, slot), echoes.start + 2 * Int(slot),
                        count: 2)
                }
            }
            #expect(echoed == count)
            for slot in 0..<count { #expect(try Descriptors.read(pairs[slot].first, limit: 10)?.count == 2) }
        }
        #expect(loop.freeSmallBufferCount == loop.smallBufferCount)
        for pair in pairs { Descriptors.close(pair.first) }
        var ended: Set<UInt32> = []
        _ = loop.run { events in
            ended = Set(events.filter { !$0.hasMore && $0.result == 0 }.map(\.slot))
            return ended.count == count
        }
        #expect(ended.count == count)
        for pair in pairs { loop.close(pair.second) }
        loop.wait(timeoutNanoseconds: 0)
    }

    private let echoes = Bytes(count: 4000)

    @Test func tagsKeepTheirParts() {
        let tag = LoopTag(operation: 0xEF, slot: .max, generation: 0xFF_FFFF)
        #expect(tag.operation == 0xEF)
        #expect(tag.slot == .max)
        #expect(tag.generation == 0xFF_FFFF)
        #expect(LoopTag(raw: tag.raw) == tag)
    }
}
