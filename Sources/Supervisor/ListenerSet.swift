import Config
import SharedState
import System

/// All listening sockets of the instance. The supervisor makes them and keeps them open, so that the queue
/// of a worker that died is still there for its successor.
struct ListenerSet {

    /// One address and its sockets.
    fileprivate struct Entry {
        let family: WorkerListener.Family
        let description: String
        let port: UInt16
        /// One for each worker, or a single one that all share.
        var descriptors: [Int32]
        let sharing: WorkerListener.Sharing
        let address: SocketAddress
        let options: Listener.Options
        /// The file of a Unix socket of ours.
        let path: String?
    }

    /// What went wrong without being the end.
    private(set) var warnings: [String] = []
    fileprivate var entries: [Entry] = []
    /// New connections do not go to all workers.
    fileprivate var isSteered = false

    /// What is listened on, in the words of the log.
    var descriptions: [String] { entries.map(\.description) }

    /// Whether nothing listens.
    var isEmpty: Bool { entries.isEmpty }

    /// What one worker accepts from.
    func listeners(forWorker index: Int) -> [WorkerListener] {
        entries.map { entry in
            WorkerListener(
                descriptor: entry.descriptors[entry.sharing == .own ? index : 0], family: entry.family,
                sharing: entry.sharing, description: entry.description, port: entry.port)
        }
    }

    /// The sockets from which only this worker accepts.
    func queues(ofWorker index: Int) -> [Int32] {
        entries.filter { $0.sharing == .own }.map { $0.descriptors[index] }
    }

    /// Makes the sockets of another worker, with the next index.
    mutating func addWorker() throws(SystemError) {
        var opened: [Int32] = []
        do throws(SystemError) {
            for entry in entries where entry.sharing == .own {
                opened.append(try Listener.open(entry.address, entry.options))
            }
        } catch {
            opened.forEach(Descriptors.close)
            throw error
        }
        for index in entries.indices where entries[index].sharing == .own {
            entries[index].descriptors.append(opened.removeFirst())
        }
    }

    /// Has new TCP connections go to these workers only; when that is all of them, the kernel spreads them.
    mutating func steer(to workers: [Int]) throws(SystemError) {
        for entry in entries where entry.sharing == .own && entry.descriptors.count > 1 {
            if workers.count < entry.descriptors.count {
                try Listener.steer(entry.descriptors[0], to: workers.map { UInt32($0) })
            } else if isSteered {
                try Listener.stopSteering(entry.descriptors[0])
            }
        }
        isSteered = entries.contains { $0.sharing == .own && workers.count < $0.descriptors.count }
    }

    /// Opens everything the settings name.
    ///
    /// An address that cannot be listened on is a warning, as in PgBouncer; that none can is the caller's
    /// to judge.
    /// - Parameter workerCount: sockets per TCP address.
    /// - Throws: when the Unix socket cannot be made or somebody uses it.
    static func open(_ settings: Settings, workerCount: Int) throws(StartupFailure) -> ListenerSet {
        var set = ListenerSet()
        for name in settings.listenAddresses {
            for address in set.addresses(of: name, port: UInt16(settings.listenPort)) {
                set.openTCP(address, isWildcard: name == "*", settings, workerCount: workerCount)
            }
        }
        if let path = unixSocketPath(settings) { try set.openUnix(path, settings) }
        return set
    }

    /// The sockets that a service manager opened; each is shared by all workers.
    static func activated(_ descriptors: [Int32]) throws(StartupFailure) -> ListenerSet {
        var set = ListenerSet()
        for descriptor in descriptors {
            guard Socket.isListening(descriptor), let address = Socket.localAddress(of: descriptor) else {
                throw StartupFailure("descriptor \(descriptor) of LISTEN_FDS is not a listening socket")
            }
            try? Descriptors.setNonBlocking(descriptor, true)
            let isUnix = address.family == .unix
            set.entries.append(
                Entry(
                    family: isUnix ? .unix : .tcp, description: address.text,
                    port: isUnix ? unixPort(of: address.hostText) : address.port, descriptors: [descriptor],
                    sharing: .shared, address: address, options: Listener.Options(), path: nil))
        }
        return set
    }

    /// The path of our Unix socket, or with `@` in front its abstract name; `nil` when the settings want
    /// none.
    static func unixSocketPath(_ settings: Settings) -> String? {
        let folder = settings.unixSocketDirectory
        return folder.isEmpty ? nil : "\(folder)/.s.PGSQL.\(settings.listenPort)"
    }

    /// Whether somebody accepts connections on this Unix socket.
    static func isInUse(unixPath path: String) -> Bool {
        guard let address = SocketAddress(unixPath: path),
            let descriptor = try? Socket.open(.unix, nonBlocking: true)
        else { return false }
        defer { Descriptors.close(descriptor) }
        do { try Socket.connect(descriptor, to: address) } catch {
            return ![Errno.noSuchFile, Errno.connectionRefused].contains(error.errno)
        }
        return true
    }

    /// Closes the TCP sockets here, which with the workers' copies closed makes new connections fail at
    /// once.
    mutating func closeTCP() {
        for entry in entries where entry.family == .tcp {
            for descriptor in entry.descriptors { Descriptors.close(descriptor) }
        }
        entries.removeAll { $0.family == .tcp }
    }

    /// Removes the files of our Unix sockets, before the process ends.
    func removeFiles() {
        for entry in entries {
            if let path = entry.path { try? FileSystem.remove(path) }
        }
    }

    /// Has the kernel hold back connections that have sent nothing, or not any more.
    func setDeferAccept(_ on: Bool) {
        for entry in entries where entry.family == .tcp {
            for descriptor in entry.descriptors {
                try? Listener.setDeferAccept(descriptor, seconds: on ? 1 : 0)
            }
        }
    }

    private mutating func addresses(of name: String, port: UInt16) -> [SocketAddress] {
        if name == "*" { return [.anyIPv4(port: port), .anyIPv6(port: port)] }
        if let address = SocketAddress(host: name, port: port) { return [address] }
        do { return try NameLookup.addresses(of: name).map { SocketAddress($0, port: port) } } catch {
            warnings.append("cannot find listen_addr \(name): \(error)")
            return []
        }
    }

    private mutating func openTCP(
        _ address: SocketAddress, isWildcard: Bool, _ settings: Settings, workerCount: Int
    ) {
        guard !entries.contains(where: { $0.description == address.text }) else { return }
        var options = Listener.Options()
        // Even a single worker's: a reload may add others.
        options.sharesPort = true
        // 128 is the default and too little for a burst; whoever sets another number means it.
        options.backlog = settings.listenBacklog == 128 ? 0 : Int32(clamping: settings.listenBacklog)
        options.deferAcceptSeconds = settings.tcpDeferAccept > 0 ? 1 : 0
        var descriptors: [Int32] = []
        do throws(SystemError) {
            if !settings.reusePort { try Listener.probe(address) }
            for _ in 0..<workerCount { descriptors.append(try Listener.open(address, options)) }
        } catch {
            for descriptor in descriptors { Descriptors.close(descriptor) }
            // A machine without IPv6 is no mistake of whoever wrote "*".
            if !(isWildcard && address.family == .ipv6 && error.errno != .addressInUse) {
                warnings.append("cannot listen on \(address.text): \(error.errno)")
            }
            return
        }
        entries.append(
            Entry(
                family: .tcp, description: address.text, port: address.port, descriptors: descriptors,
                sharing: .own, address: address, options: options, path: nil))
    }

    private mutating func openUnix(_ path: String, _ settings: Settings) throws(StartupFailure) {
        guard let address = SocketAddress(unixPath: path) else {
            throw StartupFailure("unix_socket_dir is too long: \(path) is no name for a socket")
        }
        let isAbstract = path.hasPrefix("@")
        guard !ListenerSet.isInUse(unixPath: path) else {
            throw StartupFailure("unix socket \(path) is in use, cannot continue")
        }
        var options = Listener.Options()
        options.unixMode = UInt32(clamping: settings.unixSocketMode)
        do throws(SystemError) {
            if !isAbstract { try FileSystem.remove(path) }
            let descriptor = try Listener.open(address, options)
            entries.append(
                Entry(
                    family: .unix, description: address.text, port: UInt16(settings.listenPort),
                    descriptors: [descriptor], sharing: .shared, address: address, options: options,
                    path: isAbstract ? nil : path))
            if !isAbstract, !settings.unixSocketGroup.isEmpty {
                guard let group = Accounts.group(named: settings.unixSocketGroup) else {
                    throw SystemError("find unix_socket_group \(settings.unixSocketGroup)", .noSuchFile)
                }
                try FileSystem.setAccess(path, mode: UInt32(clamping: settings.unixSocketMode), group: group)
            }
        } catch {
            removeFiles()
            throw StartupFailure("unix_socket_dir: \(error)")
        }
    }

    private static func unixPort(of path: String) -> UInt16 {
        guard let dot = path.lastIndex(of: ".") else { return 0 }
        return UInt16(path[path.index(after: dot)...]) ?? 0
    }
}

extension ListenerSet {
    /// Every socket.
    var descriptors: [Int32] { entries.flatMap(\.descriptors) }

    private enum Tag {
        static let isSteered: UInt16 = 1
        static let entry: UInt16 = 2
    }

    private enum EntryTag {
        static let isUnix: UInt16 = 1
        static let description: UInt16 = 2
        static let port: UInt16 = 3
        static let descriptor: UInt16 = 4
        static let isShared: UInt16 = 5
        static let backlog: UInt16 = 6
        static let deferAccept: UInt16 = 7
        static let path: UInt16 = 8
    }

    /// For a program that takes over.
    var record: TaggedRecord {
        var record = TaggedRecord()
        record.add(Tag.isSteered, isSteered)
        for entry in entries {
            var field = TaggedRecord()
            field.add(EntryTag.isUnix, entry.family == .unix)
            field.add(EntryTag.description, entry.description)
            field.add(EntryTag.port, UInt64(entry.port))
            for descriptor in entry.descriptors { field.add(EntryTag.descriptor, descriptor) }
            field.add(EntryTag.isShared, entry.sharing == .shared)
            field.add(EntryTag.backlog, entry.options.backlog)
            field.add(EntryTag.deferAccept, entry.options.deferAcceptSeconds)
            if let path = entry.path { field.add(EntryTag.path, path) }
            record.add(Tag.entry, field)
        }
        return record
    }

    /// What `record` gave.
    init(_ record: TaggedRecord) throws(ControlError) {
        isSteered = try record.flag(Tag.isSteered)
        for field in try record.records(Tag.entry) {
            let isUnix = try field.flag(EntryTag.isUnix)
            var descriptors: [Int32] = []
            for bytes in field.all(EntryTag.descriptor) {
                var number = TaggedRecord()
                number.add(EntryTag.descriptor, bytes)
                descriptors.append(try number.number(EntryTag.descriptor, as: Int32.self))
            }
            guard let first = descriptors.first, let address = Socket.localAddress(of: first) else {
                throw .badField(tag: EntryTag.descriptor)
            }
            let isShared = try field.flag(EntryTag.isShared)
            var options = Listener.Options()
            options.sharesPort = !isShared
            options.backlog = try field.number(EntryTag.backlog, as: Int32.self)
            options.deferAcceptSeconds = try field.number(EntryTag.deferAccept, as: Int32.self)
            entries.append(
                Entry(
                    family: isUnix ? .unix : .tcp, description: field.text(EntryTag.description),
                    port: try field.number(EntryTag.port, as: UInt16.self), descriptors: descriptors,
                    sharing: isShared ? .shared : .own, address: address, options: options,
                    path: field.bytes(EntryTag.path).isEmpty ? nil : field.text(EntryTag.path)))
        }
    }

    /// Listens also where other settings want it: what is there stays, and what is not wanted any more is
    /// closed by `closeUnwanted`. Sockets of a service manager are all there are.
    mutating func follow(_ settings: Settings, workerCount: Int) {
        guard entries.contains(where: { $0.sharing == .own || $0.path != nil }) else { return }
        for name in settings.listenAddresses {
            for address in addresses(of: name, port: UInt16(settings.listenPort)) {
                openTCP(address, isWildcard: name == "*", settings, workerCount: workerCount)
            }
        }
    }

    /// Closes the TCP sockets of addresses that the settings do not name.
    mutating func closeUnwanted(_ settings: Settings) {
        var wanted: Set<String> = []
        for name in settings.listenAddresses {
            for address in addresses(of: name, port: UInt16(settings.listenPort)) {
                wanted.insert(address.text)
            }
        }
        for entry in entries where entry.sharing == .own && !wanted.contains(entry.description) {
            entry.descriptors.forEach(Descriptors.close)
        }
        entries.removeAll { $0.sharing == .own && !wanted.contains($0.description) }
    }
}
