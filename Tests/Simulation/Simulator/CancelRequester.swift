#if DEBUG || INVARIANTS
    @testable import PoolCore
#else
    import PoolCore
#endif

/// The connection over which a client asks for its query to be cancelled.
final class CancelRequester: FarEnd {
    unowned let world: World
    private var socket: Socket!
    private(set) var isGone = false

    init(_ world: World, _ key: [UInt8]) {
        self.world = world
        guard let accepted = world.accept(self) else {
            isGone = true
            return
        }
        socket = accepted
        world.write(socket, Frontend.cancel(key))
        guard world.setup.hasLatecomers, world.requesters.count.isMultiple(of: 2) else { return }
        hangUp()
    }

    /// Does not wait for the end, once the worker knows what it wants. As soon as the worker has forgotten
    /// it, somebody else comes.
    private func hangUp() {
        #if DEBUG || INVARIANTS
            guard !isGone else { return }
            let worker = socket.worker
            guard case .client(let client)? = socket.peer, worker.core.clients.contains(client),
                worker.core.clients[client].state == .cancelling
            else { return world.schedule(after: 50_000) { self.hangUp() } }
            isGone = true
            world.trace.note(world.now, "who asked for a cancel hangs up")
            world.end(socket, .closed)
            succeed(worker) { worker.core.clients.contains(client) }
        #endif
    }

    #if DEBUG || INVARIANTS
        private func succeed(_ worker: Worker, _ isKnown: @escaping () -> Bool) {
            guard !worker.isDead else { return }
            guard !isKnown() else {
                return world.schedule(after: 50_000) { self.succeed(worker, isKnown) }
            }
            world.startLatecomer(at: worker)
        }
    #endif

    /// Its worker has died.
    func lose(_ worker: Worker) { if !isGone, socket.worker === worker { isGone = true } }

    var isStalled: Bool { false }
    func roomCame() {}

    func received(_ bytes: [UInt8]) { world.fail("a cancel request is answered with \(bytes.count) bytes") }

    func ended(_ ending: Ending) {
        isGone = true
        world.end(socket, .closed)
    }
}
