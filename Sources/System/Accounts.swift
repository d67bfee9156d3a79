import CLinux
import Glibc

/// Users and groups of the machine.
public enum Accounts {
    /// A user as the system's databases know it.
    public struct User: Equatable, Sendable {
        public let name: String
        public let id: UInt32
        /// The main group.
        public let group: UInt32
    }

    /// Who this process acts as.
    public static var effectiveUserID: UInt32 { geteuid() }

    /// The user with this name, or `nil` when there is none.
    public static func user(named name: String) -> User? {
        guard let entry = unsafe getpwnam(name) else { return nil }
        return User(name: name, id: unsafe entry.pointee.pw_uid, group: unsafe entry.pointee.pw_gid)
    }

    /// The name of the user with this number, or `nil` when it has none.
    public static func userName(id: UInt32) -> String? {
        guard let entry = unsafe getpwuid(id), let name = unsafe entry.pointee.pw_name else { return nil }
        return unsafe String(cString: name)
    }

    /// The group with this name or, written in digits, this number; `nil` when there is none of that name.
    public static func group(named name: String) -> UInt32? {
        if let entry = unsafe getgrnam(name) { return unsafe entry.pointee.gr_gid }
        return UInt32(name)
    }

    /// Becomes this user for good, with the groups it belongs to. Needs the privileges of root.
    public static func become(_ user: User) throws(SystemError) {
        guard unsafe initgroups(user.name, user.group) == 0 else {
            throw SystemError("take over the groups of user \(user.name)")
        }
        guard setgid(user.group) == 0 else { throw SystemError("switch to the group of user \(user.name)") }
        guard setuid(user.id) == 0 else { throw SystemError("switch to user \(user.name)") }
        // Whoever could still return would be able to do what root can.
        guard user.id == 0 || setuid(0) != 0 else { throw SystemError("give up root", Errno(EPERM)) }
    }
}
