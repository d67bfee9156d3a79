import Testing

@testable import System

@Suite struct OutputQueueTests {
    private let line = [UInt8](repeating: 0x61, count: 999) + [0x0a]

    @Test func aFullPipeLosesLinesAndCountsThem() throws {
        let (read, write) = try Descriptors.pipe()
        defer {
            Descriptors.close(read)
            Descriptors.close(write)
        }
        var queue = OutputQueue(descriptor: write, limit: 10_000)
        for _ in 0..<200 { queue.append(line) }
        #expect(queue.isWaiting)
        #expect(queue.droppedCount > 100)
        #expect(queue.takeDroppedCountWhenFree() == 0)
        while queue.isWaiting {
            _ = try Descriptors.read(read, limit: 1 << 20)
            queue.flush()
        }
        #expect(queue.takeDroppedCountWhenFree() > 100)
    }

    @Test func aReaderThatHasGoneIsForgotten() throws {
        Signals.ignore([Signals.brokenPipe])
        let (read, write) = try Descriptors.pipe()
        Descriptors.close(read)
        defer { Descriptors.close(write) }
        var queue = OutputQueue(descriptor: write)
        queue.append(line)
        queue.drain(milliseconds: 1000)
        #expect(!queue.isWaiting)
    }
}
