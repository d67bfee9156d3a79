import Config
import System
public import TLS

/// What the encrypted connections of one process have in common.
public final class Encryption {
    /// The packet that asks for TLS.
    public static let request: [UInt8] = [0, 0, 0, 8, 4, 210, 22, 47]

    private let context: TLSContext
    /// Through which all of them read and write.
    public let channel = TLSChannel()

    /// For clients that do not look at who the other side is, as `sslmode=require` of libpq.
    public convenience init() {
        self.init(.client, Encryption.required)
    }

    /// For a server that shows a certificate.
    public convenience init(certificateFile: String, keyFile: String) {
        var settings = Encryption.required
        settings.certificateFile = certificateFile
        settings.keyFile = keyFile
        settings.load(usesBundle: false) { path in
            guard let bytes = try? FileSystem.read(path) else { stop("\(path) cannot be read") }
            return bytes
        }
        self.init(.server, settings)
    }

    private init(_ role: TLSContext.Role, _ settings: TLSSettings) {
        do {
            context = try TLSContext(role, settings)
        } catch {
            stop("\(error)")
        }
    }

    private static var required: TLSSettings {
        var settings = TLSSettings()
        settings.mode = .require
        return settings
    }

    /// A session at its beginning.
    public func session() -> TLSSession {
        guard let session = TLSSession(context, channel) else { stop("no memory for a TLS session") }
        return session
    }
}
