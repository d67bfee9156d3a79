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
    }

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
