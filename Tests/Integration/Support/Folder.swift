import Glibc

/// The temporary folder of this run, which the unprivileged user owns. The program under test is copied
/// there, since that user may not be able to enter the folder where it was built.
final class Folder: Sendable {
    static let shared = Folder()

    private let root: String

    private init() {
        var template = Array("/tmp/pgsluice-test.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { preconditionFailure("cannot make a folder in /tmp") }
        root = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        Leash.shared.own(folder: root)
        chmod(root, 0o755)
        if let account = Child.account { chown(root, account.user, account.group) }
        signal(SIGPIPE, SIG_IGN)
    }

    /// A name in the folder.
    func path(_ name: String) -> String { "\(root)/\(name)" }

    /// A new folder in it.
    func make(_ name: String) throws -> String {
        let path = path("\(name)-\(unique())")
        guard mkdir(path, 0o700) == 0 else { throw Failure.system("mkdir \(path)") }
        if let account = Child.account { chown(path, account.user, account.group) }
        return path
    }

    /// The copy of the program under test. Beside it are copies of those that it starts.
    static let binary: String = {
        let copy = shared.path("pgsluice")
        do {
            try writeFile(copy, bytes: readBytes(Options.binary))
            if access(Options.binary + "-web", R_OK) == 0 {
                try writeFile(copy + "-web", bytes: readBytes(Options.binary + "-web"))
                chmod(copy + "-web", 0o755)
            }
        } catch {
            preconditionFailure("\(error): build it with swift build -c release --product pgsluice")
        }
        chmod(copy, 0o755)
        return copy
    }()

    /// A copy of sluicectl, which was built together with these tests.
    static let control: String = {
        let copy = shared.path("sluicectl")
        var own = [CChar](repeating: 0, count: 4_096)
        let count = readlink("/proc/self/exe", &own, own.count)
        let path = String(decoding: own[..<max(0, count)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let folder = path.split(separator: "/").dropLast().map { "/" + $0 }.joined()
        do {
            try writeFile(copy, bytes: readBytes("\(folder)/sluicectl"))
        } catch {
            preconditionFailure("\(error): build it with swift build --product sluicectl")
        }
        chmod(copy, 0o755)
        return copy
    }()
}

private let uniqueCounter = Shared(0)

/// A number that no other caller in this process gets.
func unique() -> Int {
    uniqueCounter.with { counter in
        counter += 1
        return counter
    }
}

func readFile(_ path: String) throws -> String { String(decoding: try readBytes(path), as: UTF8.self) }

func readBytes(_ path: String) throws -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw Failure.system("open \(path)") }
    defer { close(descriptor) }
    var all: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 20)
    while true {
        let count = read(descriptor, &chunk, chunk.count)
        guard count >= 0 else { throw Failure.system("read \(path)") }
        if count == 0 { return all }
        all.append(contentsOf: chunk[..<count])
    }
}

func writeFile(_ path: String, _ text: String) throws { try writeFile(path, bytes: Array(text.utf8)) }

/// Writes a whole file, which the unprivileged user then owns.
func writeFile(_ path: String, bytes: [UInt8]) throws {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw Failure.system("open \(path)") }
    defer { close(descriptor) }
    var offset = 0
    while offset < bytes.count {
        let count = bytes[offset...].withUnsafeBytes { write(descriptor, $0.baseAddress!, $0.count) }
        guard count > 0 else { throw Failure.system("write \(path)") }
        offset += count
    }
    if let account = Child.account { fchown(descriptor, account.user, account.group) }
}

private let nextPort = Shared(20_000 + Int(getpid()) * 37 % 9_000)

/// A TCP port of the loopback interface that nobody uses, below those the kernel hands out itself.
func freePort() throws -> Int {
    for _ in 0..<2_000 {
        let port = nextPort.with { port in
            port = port >= 30_000 ? 20_000 : port + 1
            return port
        }
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(INADDR_ANY).bigEndian
        let bound = withUnsafePointer(to: address) { pointer in
            bind(
                descriptor, .init(__sockaddr_in__: pointer), socklen_t(MemoryLayout<sockaddr_in>.size))
        }
        if bound == 0 { return port }
    }
    throw Failure("no free port")
}
