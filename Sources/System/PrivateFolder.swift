import CLinux
import Glibc

/// A folder that is ours alone: nobody else may look into it, and one process at a time has it.
public struct PrivateFolder {
    /// Why a folder is not ours to use.
    public enum Failure: Error {
        /// Another process that lives has it.
        case isTaken
        /// It is somebody else's, others may enter it, or it is none.
        case isNotPrivate
        /// It cannot be made or opened.
        case system(SystemError)
    }

    /// Where it is.
    public let path: String
    /// Whether there was none before.
    public let isNew: Bool
    /// Holds the lock, which ends with the process however it ends.
    public let descriptor: Int32

    /// The folder whose lock this process holds already.
    public init(path: String, isNew: Bool, descriptor: Int32) {
        self.path = path
        self.isNew = isNew
        self.descriptor = descriptor
    }

    /// Makes the folder, mode 0700, or takes over one of ours that nobody has any more.
    public init(_ path: String) throws(Failure) {
        self.path = path
        isNew = unsafe mkdir(path, 0o700) == 0
        guard isNew || Errno.last.code == EEXIST else { throw .system(SystemError("make \(path)")) }
        // No link: somebody else could have led it anywhere.
        descriptor = unsafe clinux_open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0)
        guard descriptor >= 0 else {
            if [ELOOP, ENOTDIR].contains(Errno.last.code) { throw .isNotPrivate }
            throw .system(SystemError("open \(path)"))
        }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0, status.st_uid == geteuid(),
            status.st_mode & 0o077 == 0
        else {
            Descriptors.close(descriptor)
            throw .isNotPrivate
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let failure = Errno.last
            Descriptors.close(descriptor)
            if failure.code == EWOULDBLOCK { throw .isTaken }
            throw .system(SystemError("lock \(path)", failure))
        }
    }

    /// Gives the folder back, and removes it when it is empty and `removing`.
    public func close(removing: Bool) {
        if removing { unsafe rmdir(path) }
        Descriptors.close(descriptor)
    }
}
