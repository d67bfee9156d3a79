import BenchmarkSupport
import Config
import TLS

/// What the encrypted connections of one process have in common.
final class Encryption {
    /// The packet that asks for TLS.
    static let request: [UInt8] = [0, 0, 0, 8, 4, 210, 22, 47]

    private let context: TLSContext
    /// Through which all of them read and write.
    let channel = TLSChannel()

    /// For clients that do not look at who the pooler is, as `sslmode=require` of libpq.
    init() {
        var settings = TLSSettings()
        settings.mode = .require
        do {
            context = try TLSContext(.client, settings)
        } catch {
            stop("\(error)")
        }
    }

    /// A session at its beginning.
    func session() -> TLSSession {
        guard let session = TLSSession(context, channel) else { stop("no memory for a TLS session") }
        return session
    }
}
