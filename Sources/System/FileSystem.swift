import CLinux
import Glibc

/// Files, read and written whole.
public enum FileSystem {
    /// The bytes of a file.
    ///
    /// - Parameter limit: a longer file is an error (EFBIG), so that a device cannot fill the memory.
    public static func read(_ path: String, limit: Int = 64 << 20) throws(SystemError) -> [UInt8] {
        let descriptor = unsafe clinux_open(path, O_RDONLY | O_NOCTTY, 0)
        guard descriptor >= 0 else { throw SystemError("open \(path)") }
        defer { Descriptors.close(descriptor) }
        var bytes: [UInt8] = []
        while true {
            let more: [UInt8]?
            do { more = try Descriptors.read(descriptor, limit: 65536) } catch {
                throw SystemError("read \(path)", error.errno)
            }
            guard let more, !more.isEmpty else { return bytes }
            bytes += more
            guard bytes.count <= limit else { throw SystemError("read \(path)", Errno(EFBIG)) }
        }
    }

    /// The names in a folder, in no order, without `.` and `..`; `nil` when it cannot be read.
    public static func names(in folder: String) -> [String]? {
        guard let directory = unsafe opendir(folder) else { return nil }
        defer { unsafe closedir(directory) }
        var names: [String] = []
        while let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    /// A descriptor to read a file by, close-on-exec, the caller's; `nil` when it cannot be had.
    public static func open(_ path: String) -> Int32? {
        let descriptor = unsafe clinux_open(path, O_RDONLY | O_NOCTTY, 0)
        return descriptor >= 0 ? descriptor : nil
    }

    /// Makes a new file with these bytes; EEXIST when there is one.
    public static func create(_ path: String, _ bytes: [UInt8], mode: UInt32) throws(SystemError) {
        let descriptor = unsafe clinux_open(path, O_WRONLY | O_CREAT | O_EXCL, mode)
        guard descriptor >= 0 else { throw SystemError("create \(path)") }
        defer { Descriptors.close(descriptor) }
        do { try Descriptors.writeAll(descriptor, bytes) } catch {
            throw SystemError("write \(path)", error.errno)
        }
    }

    /// A descriptor that appends to the file, made if missing. Non-blocking, so that a FIFO cannot stop its
    /// writer; the caller owns it.
    public static func openForAppending(_ path: String, mode: UInt32) throws(SystemError) -> Int32 {
        let flags = O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_NONBLOCK
        let descriptor = unsafe clinux_open(path, flags, mode)
        guard descriptor >= 0 else { throw SystemError("open \(path)") }
        return descriptor
    }

    /// Removes a file; one that is not there is fine.
    public static func remove(_ path: String) throws(SystemError) {
        guard unsafe unlink(path) == 0 || Errno.last.code == ENOENT else {
            throw SystemError("remove \(path)")
        }
    }

    /// Whether something has this name.
    public static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

    /// Whether others than the owner and the group may read a file; false when that cannot be told.
    public static func isReadableByOthers(_ path: String) -> Bool {
        var information = stat()
        guard unsafe stat(path, &information) == 0 else { return false }
        return information.st_mode & 0o004 != 0
    }

    /// Where a symbolic link leads, or `nil` when it cannot be read.
    public static func linkTarget(_ path: String) -> String? {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = unsafe readlink(path, &buffer, buffer.count)
        guard count > 0, count < buffer.count else { return nil }
        return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Sets permission bits, and the group unless it is `nil`.
    public static func setAccess(_ path: String, mode: UInt32, group: UInt32?) throws(SystemError) {
        if let group, unsafe chown(path, uid_t.max, gid_t(group)) != 0 {
            throw SystemError("set the group of \(path)")
        }
        guard unsafe chmod(path, mode_t(mode)) == 0 else { throw SystemError("set the mode of \(path)") }
    }

    /// A path that means the same in every folder.
    public static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/"), let folder = Process.workingDirectory else { return path }
        return folder == "/" ? "/" + path : folder + "/" + path
    }
}
