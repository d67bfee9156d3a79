import Config
import Console
import SharedState
import System
import Wire

/// Console sessions that come to the supervisor itself: whoever they are, the kernel vouches for it.
extension Supervisor {
    /// Sessions of the control socket that are served at once; they are not counted with the others, so that
    /// no crowd of clients can keep the administrator out.
    private static let controlSessionLimit = 100
    /// How long nothing is accepted when descriptors are short: the queue would wake us for ever.
    private static let acceptPauseNanoseconds: UInt64 = 1_000_000_000

    /// What to wait for at the control socket.
    var controlInterest: Poll.Interest {
        let isOpen = (console.nextAcceptNanoseconds ?? 0) <= Clock.monotonicNanoseconds
        return Poll.Interest(isOpen ? control?.descriptor ?? -1 : -1, .read)
    }

    /// Begins a session for everybody who has connected.
    func acceptControlSessions() {
        guard let control else { return }
        console.nextAcceptNanoseconds = nil
        for _ in 0..<ControlSocket.acceptsPerTurn {
            let connection: Int32
            do throws(SystemError) {
                guard let next = try Socket.accept(control.descriptor) else { return }
                connection = next
            } catch {
                log.write(.warning, "control socket: \(error)")
                console.nextAcceptNanoseconds =
                    Clock.monotonicNanoseconds + Supervisor.acceptPauseNanoseconds
                return
            }
            beginControlSession(connection)
        }
    }

    private func beginControlSession(_ descriptor: Int32) {
        guard let peer = Socket.peerCredentials(of: descriptor),
            (try? Descriptors.setNonBlocking(descriptor, true)) != nil
        else { return Descriptors.close(descriptor) }
        guard ControlSocket.admits(peer.userID) else {
            log.write(.warning, "control socket: refused process \(peer.processID) of user \(peer.userID)")
            return refuse(
                descriptor, .invalidAuthorization, "the control socket is for root and for our own user only")
        }
        guard console.connections.count(where: { $0.control != nil }) < Supervisor.controlSessionLimit else {
            return refuse(descriptor, .tooManyConnections, "too many sessions on the control socket")
        }
        let session = ConsoleSession(
            controlSocketWith: newCancelKey(), notifyMessage: configuration.settings.loginNotifyMessage,
            formatTime: Supervisor.format)
        console.connections.append(
            ConsoleConnection(
                id: console.nextNumber(), descriptor: descriptor,
                user: "user \(peer.userID) (process \(peer.processID))", session: session,
                control: ConsoleConnection.Control(
                    id: segment.segment.nextConnectionId(), peerPid: peer.processID,
                    connectedMicroseconds: Clock.realNanoseconds / 1000)))
    }

    private func refuse(_ descriptor: Int32, _ state: SQLState, _ text: String) {
        _ = try? Descriptors.write(descriptor, ControlSocket.refusal(state, text)[...])
        // With something unread the end would look like a broken connection.
        _ = try? Descriptors.read(descriptor, limit: 16384)
        Descriptors.close(descriptor)
    }
}
