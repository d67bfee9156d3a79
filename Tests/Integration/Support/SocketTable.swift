import Glibc

/// A TCP connection of this machine as the kernel knows it.
struct TCPSocket {
    var localPort: Int
    var remotePort: Int
    /// Of the other end, such as 127.0.0.1.
    var remoteAddress: String
    /// What `/proc/PID/fd` calls it; 0 when no process has it.
    var inode: Int
}

/// The kernel's table of sockets, asked for over netlink: unlike `/proc/net/tcp` it can leave out the
/// thousands that only wait for their time to pass.
final class SocketTable {
    private let descriptor: Int32
    private var answer = [UInt8](repeating: 0, count: 1 << 16)

    private static let dumpByFamily: UInt16 = 20
    /// Established, being opened, and closed by the other end only.
    private static let open: UInt32 = 1 << 1 | 1 << 2 | 1 << 8

    init() throws {
        let diagnostics: Int32 = 4
        descriptor = socket(AF_NETLINK, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), diagnostics)
        guard descriptor >= 0 else { throw Failure.system("socket(AF_NETLINK)") }
    }

    deinit { close(descriptor) }

    /// Open connections from or to a port.
    func open(from localPort: Int = 0, to remotePort: Int = 0) throws -> [TCPSocket] {
        var request = Self.bytes(UInt32(72)) + Self.bytes(Self.dumpByFamily)
        request += Self.bytes(UInt16(0x301))  // a request for all that fits
        request += [UInt8](repeating: 0, count: 8)
        request += [UInt8(AF_INET), UInt8(IPPROTO_TCP), 0, 0] + Self.bytes(Self.open)
        request += Self.bytes(UInt16(localPort).bigEndian) + Self.bytes(UInt16(remotePort).bigEndian)
        request += [UInt8](repeating: 0, count: 72 - request.count)
        guard send(descriptor, request, request.count, 0) == request.count else {
            throw Failure.system("ask for the table of sockets")
        }
        var found: [TCPSocket] = []
        while true {
            let count = recv(descriptor, &answer, answer.count, 0)
            guard count > 0 else { throw Failure.system("read the table of sockets") }
            guard try read(count, into: &found) else { return found }
        }
    }

    /// Takes one answer apart; false after the last.
    private func read(_ count: Int, into found: inout [TCPSocket]) throws -> Bool {
        try answer.withUnsafeBytes { bytes in
            var start = 0
            while start + 16 <= count {
                let length = Int(bytes.loadUnaligned(fromByteOffset: start, as: UInt32.self))
                switch bytes.loadUnaligned(fromByteOffset: start + 4, as: UInt16.self) {
                case 3: return false
                case Self.dumpByFamily where length >= 16 + 72:
                    found.append(Self.connection(bytes, start + 16))
                default: throw Failure("the table of sockets is refused")
                }
                start += (length + 3) & ~3
            }
            return true
        }
    }

    private static func connection(_ bytes: UnsafeRawBufferPointer, _ start: Int) -> TCPSocket {
        func port(_ offset: Int) -> Int {
            Int(UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: start + offset, as: UInt16.self)))
        }
        return TCPSocket(
            localPort: port(4), remotePort: port(6),
            remoteAddress: bytes[start + 24..<start + 28].map { "\($0)" }.joined(separator: "."),
            inode: Int(bytes.loadUnaligned(fromByteOffset: start + 68, as: UInt32.self)))
    }

    private static func bytes(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value) { Array($0) }
    }

    /// The sockets that a process has open; empty when it is gone.
    static func inodes(of process: pid_t) -> Set<Int> {
        var found: Set<Int> = []
        guard let folder = opendir("/proc/\(process)/fd") else { return [] }
        defer { closedir(folder) }
        var text = [CChar](repeating: 0, count: 64)
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            let count = readlink("/proc/\(process)/fd/\(name)", &text, text.count)
            guard count > 0 else { continue }
            let target = String(decoding: text[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if target.hasPrefix("socket:["), let inode = Int(target.dropFirst(8).dropLast()) {
                found.insert(inode)
            }
        }
        return found
    }
}

extension Pooler {
    /// The worker that serves a client; `nil` when none has accepted it.
    func worker(of client: Connection) throws -> pid_t? {
        let port = RawConnection.localPort(of: client.socket)
        let sockets = try SocketTable().open(from: self.port)
        guard let inode = sockets.first(where: { $0.remotePort == port })?.inode else { return nil }
        return workers().first { SocketTable.inodes(of: $0).contains(inode) }
    }
}
