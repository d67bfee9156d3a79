import FuzzSupport
import Glibc

/// A client that plays a recording, changed or not, and leaves in one of several ways.
final class Guest: Peer {
    /// Which conversation of the run this is.
    let index: Int
    let name: String
    private var player: Player
    private var mutator: Mutator
    private var lastProgress: Double
    private let began: Double
    private var patience = 0.25
    private var leavesAt: Double?
    private let left: (Guest) -> Void
    private let isChanged: Bool

    init(
        _ descriptor: Int32, _ loop: Loop, index: Int, name: String, player: Player, mutator: Mutator,
        isChanged: Bool, left: @escaping (Guest) -> Void
    ) {
        self.index = index
        self.name = name
        self.player = player
        self.mutator = mutator
        self.isChanged = isChanged
        self.left = left
        began = now()
        lastProgress = began
        super.init(descriptor, loop)
        if isChanged, self.mutator.once(in: 25) { isReading = false }
        play()
    }

    /// The key for a cancel request, if it got one.
    var key: [UInt8]? { player.key.count >= 8 ? player.key : nil }

    override func received(_ bytes: [UInt8]) {
        lastProgress = now()
        player.receive(bytes)
        if isSent { play() }
    }

    override func sent() {
        lastProgress = now()
        play()
    }

    override func ended() { leave() }

    override func tick(_ time: Double) {
        if let leavesAt {
            if time > leavesAt { leave() }
            return
        }
        if time - began > 4 { return leave() }
        guard time - lastProgress > patience else { return }
        // Whoever waited in vain once does not expect much of the rest.
        patience = 0.03
        lastProgress = time
        guard isSent else { return leave() }
        player.stopWaiting()
        play()
    }

    private func play() {
        guard isOpen, leavesAt == nil else { return }
        switch player.move() {
        case .send(let bytes): send(mutator.pieces(bytes))
        case .wait: return
        case .hangUp: sayGoodbye()
        }
    }

    private func sayGoodbye() {
        switch mutator.below(6) {
        case 0:
            close(withReset: true)
            left(self)
        case 1, 2:
            // Until the other end has closed too, which it has to.
            shutdown(descriptor, Int32(SHUT_WR))
            isReading = true
            leavesAt = now() + 1
        default: leave()
        }
    }

    private func leave() {
        guard isOpen else { return }
        close()
        left(self)
    }
}
