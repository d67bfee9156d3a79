import Testing

@testable import System

@Suite struct SharedMemoryTests {
    @Test func sealedCopiesCannotBeChanged() throws {
        let bytes = Array("configuration".utf8)
        let descriptor = try SharedMemory.sealedCopy("test", of: bytes)
        defer { Descriptors.close(descriptor) }
        #expect(try SharedMemory.contents(of: descriptor, limit: 100) == bytes)
        #expect(throws: SystemError.self) { try Descriptors.writeAll(descriptor, [1]) }
        #expect(throws: SystemError.self) { try SharedMemory.contents(of: descriptor, limit: 3) }
    }

    @Test func twoMappingsShowTheSameBytes() throws {
        let descriptor = try SharedMemory.create("test", byteCount: 8192)
        defer { Descriptors.close(descriptor) }
        try SharedMemory.sealSize(descriptor)
        let first = try SharedMemory.map(descriptor, byteCount: 8192)
        let second = try SharedMemory.map(descriptor, byteCount: 8192)
        defer {
            SharedMemory.unmap(first, byteCount: 8192)
            SharedMemory.unmap(second, byteCount: 8192)
        }
        first.storeBytes(of: 42, toByteOffset: 4096, as: UInt64.self)
        #expect(second.load(fromByteOffset: 4096, as: UInt64.self) == 42)
    }
}
