import CLinux
import Glibc

/// poll(2), for processes with few descriptors and no hurry.
public enum Poll {
    /// What a descriptor is asked for.
    public struct Direction: OptionSet, Sendable {
        public let rawValue: Int16
        public init(rawValue: Int16) { self.rawValue = rawValue }
        /// Something can be read, or the other side has ended.
        public static let read = Direction(rawValue: Int16(POLLIN))
        /// Something can be written.
        public static let write = Direction(rawValue: Int16(POLLOUT))
    }

    /// A descriptor and what is asked of it.
    public struct Interest: Sendable {
        public let descriptor: Int32
        public let direction: Direction
        /// Asks `direction` of `descriptor`; a descriptor of -1 is passed over.
        public init(_ descriptor: Int32, _ direction: Direction) {
            self.descriptor = descriptor
            self.direction = direction
        }
    }

    /// What was found out about a descriptor.
    public struct Readiness: Equatable, Sendable {
        /// Something can be read, the other side has ended, or the descriptor has failed: a read tells
        /// which.
        public var canRead = false
        /// Something can be written, or a write would tell why not.
        public var canWrite = false
    }

    /// Waits until something asked for is there or the time is over; answers in the order of `interests`.
    ///
    /// - Parameter milliseconds: how long at most; -1 for ever, 0 not at all.
    public static func wait(_ interests: [Interest], milliseconds: Int32) -> [Readiness] {
        var entries = interests.map {
            pollfd(fd: $0.descriptor, events: $0.direction.rawValue, revents: 0)
        }
        let found = unsafe poll(&entries, nfds_t(entries.count), milliseconds)
        guard found > 0 else { return [Readiness](repeating: Readiness(), count: interests.count) }
        return entries.map { entry in
            let failed = entry.revents & Int16(POLLERR | POLLHUP | POLLNVAL) != 0
            return Readiness(
                canRead: failed || entry.revents & Int16(POLLIN) != 0,
                canWrite: failed || entry.revents & Int16(POLLOUT) != 0)
        }
    }
}
