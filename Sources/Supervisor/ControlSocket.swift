import Base
import Config
import SharedState
import System
import Wire

/// The Unix socket on which the supervisor itself serves the console, in a folder that only we may enter.
struct ControlSocket {
    /// Connections taken from the queue before anything else is looked at.
    static let acceptsPerTurn = 16

    /// Listens; ours until `remove`.
    let descriptor: Int32
    /// What it is called; its name is the only one libpq can make.
    let path: String
    private let folder: PrivateFolder
    private let isFolderOurs: Bool

    /// Makes the folder and listens in it, or says why not. What a dead instance left there is replaced.
    static func open(_ settings: Settings, in path: String) throws(StartupFailure) -> ControlSocket {
        let name = "\(path)/\(settings.controlSocketName)"
        guard let address = SocketAddress(unixPath: name) else {
            throw StartupFailure("\(name) is too long to be the name of a socket")
        }
        let folder: PrivateFolder
        do throws(PrivateFolder.Failure) { folder = try PrivateFolder(path) } catch {
            switch error {
            case .isTaken: throw StartupFailure("another instance that is running uses \(path)")
            case .isNotPrivate:
                throw StartupFailure("\(path) has to be a directory of our own user with mode 0700")
            case .system(let failure): throw StartupFailure("\(failure)")
            }
        }
        // A folder that the administrator made stays; one at a place we chose is of no use without us.
        let isOurs = folder.isNew || settings.controlDirectory.isEmpty
        var options = Listener.Options()
        options.unixMode = 0o600
        do throws(SystemError) {
            try FileSystem.remove(name)
            return ControlSocket(
                descriptor: try Listener.open(address, options), path: name, folder: folder,
                isFolderOurs: isOurs)
        } catch {
            try? FileSystem.remove(name)
            folder.close(removing: isOurs)
            throw StartupFailure("\(error)")
        }
    }

    /// Whether a process of this user may use it.
    static func admits(_ user: UInt32) -> Bool { user == 0 || user == Accounts.effectiveUserID }

    /// What whoever may not come in is told.
    static func refusal(_ state: SQLState, _ text: String) -> [UInt8] {
        var message = ByteBuffer(capacity: 128)
        message.appendErrorResponse(.fatal, state, text)
        return unsafe message.bytes.withUnsafeBytes { unsafe [UInt8]($0) }
    }

    /// Leaves nothing behind.
    func remove() {
        try? FileSystem.remove(path)
        Descriptors.close(descriptor)
        folder.close(removing: isFolderOurs)
    }
}

extension ControlSocket {
    private enum Tag {
        static let descriptor: UInt16 = 1
        static let path: UInt16 = 2
        static let folder: UInt16 = 3
        static let isFolderNew: UInt16 = 4
        static let folderDescriptor: UInt16 = 5
        static let isFolderOurs: UInt16 = 6
    }

    /// What must stay open when another program takes over.
    var descriptors: [Int32] { [descriptor, folder.descriptor] }

    /// For a program that takes over.
    var record: TaggedRecord {
        var record = TaggedRecord()
        record.add(Tag.descriptor, descriptor)
        record.add(Tag.path, path)
        record.add(Tag.folder, folder.path)
        record.add(Tag.isFolderNew, folder.isNew)
        record.add(Tag.folderDescriptor, folder.descriptor)
        record.add(Tag.isFolderOurs, isFolderOurs)
        return record
    }

    /// What `record` gave.
    init(_ record: TaggedRecord) throws(ControlError) {
        self.init(
            descriptor: try record.number(Tag.descriptor, as: Int32.self), path: record.text(Tag.path),
            folder: PrivateFolder(
                path: record.text(Tag.folder), isNew: try record.flag(Tag.isFolderNew),
                descriptor: try record.number(Tag.folderDescriptor, as: Int32.self)),
            isFolderOurs: try record.flag(Tag.isFolderOurs))
    }
}
