import COpenSSL
import Glibc
import TLS

/// The other end of a session of ours: OpenSSL alone, which may do what ours never does, and tells its
/// secrets.
struct TLSPeer {
    /// What it speaks.
    enum Version: Int32 {
        case tls12 = 0x303
        case tls13 = 0x304
    }

    private let session: OpaquePointer
    private let channel: UnsafeMutablePointer<copenssl_channel>

    /// The traffic secrets of the handshake that is under way, by their names.
    private nonisolated(unsafe) static var secrets: [String: [UInt8]] = [:]
    private nonisolated(unsafe) static var contexts: [Version: OpaquePointer] = [:]

    /// One that accepts, or one that connects and shows its certificate where it is asked to.
    init(_ version: Version, accepts: Bool) {
        channel = .allocate(capacity: 1)
        channel.initialize(to: copenssl_channel())
        session = copenssl_session(TLSPeer.context(version), channel, accepts ? 1 : 0)
        TLSPeer.secrets = [:]
    }

    func free() {
        SSL_free(session)
        Glibc.free(channel.pointee.output)
        channel.deallocate()
    }

    private static func context(_ version: Version) -> OpaquePointer {
        if let known = contexts[version] { return known }
        // Not as ours are made: this one may renegotiate.
        let context: OpaquePointer = SSL_CTX_new(TLS_method())
        SSL_CTX_ctrl(context, SSL_CTRL_SET_MIN_PROTO_VERSION, Int(version.rawValue), nil)
        SSL_CTX_ctrl(context, SSL_CTRL_SET_MAX_PROTO_VERSION, Int(version.rawValue), nil)
        let suite = SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256")
        let (certificate, key) = (Array(TLSMaterial.certificate.utf8), Array(TLSMaterial.key.utf8))
        let isUsed =
            copenssl_use_certificates(context, certificate, Int32(certificate.count)) == 1
            && copenssl_use_key(context, key, Int32(key.count)) == 1
        precondition(suite == 1 && isUsed, "the peer has a certificate")
        // Tickets would count among the records.
        SSL_CTX_set_num_tickets(context, 0)
        SSL_CTX_set_keylog_callback(context) { _, line in
            guard let line else { return }
            let words = String(cString: line).split(separator: " ")
            guard words.count == 3 else { return }
            let digits = Array(words[2].utf8)
            TLSPeer.secrets[String(words[0])] = stride(from: 0, to: digits.count - 1, by: 2).map {
                UInt8(String(decoding: digits[$0...$0 + 1], as: UTF8.self), radix: 16) ?? 0
            }
        }
        contexts[version] = context
        return context
    }

    /// The secret that what this end sends is sealed with, in TLS 1.3.
    static func secret(ofClient isClient: Bool) -> [UInt8] {
        secrets[isClient ? "CLIENT_TRAFFIC_SECRET_0" : "SERVER_TRAFFIC_SECRET_0"] ?? []
    }

    /// Shakes hands with a session of ours; false when that fails.
    func meet(_ other: TLSSession, _ others: borrowing TLSChannel) -> Bool {
        var fromOther: [UInt8] = []
        var isDone = (false, false)
        for _ in 0..<10 where isDone != (true, true) {
            if fed(fromOther, { SSL_do_handshake(session) }) == 1 { isDone.0 = true }
            let output = takeOutput()
            output.withUnsafeBytes {
                others.input = $0
                switch other.shakeHands() {
                case .done: isDone.1 = true
                case .waiting, .failed: break
                }
                others.input = UnsafeRawBufferPointer(start: nil, count: 0)
            }
            fromOther = Array(others.output)
            others.emptyOutput()
        }
        return isDone == (true, true)
    }

    /// Has it read what has come, and forget it.
    func take(_ bytes: [UInt8]) {
        var plain = [UInt8](repeating: 0, count: 1 << 14)
        _ = fed(bytes) { SSL_read(session, &plain, Int32(plain.count)) }
    }

    /// Writes plaintext; false when the session cannot.
    func write(_ bytes: [UInt8]) -> Bool {
        ERR_clear_error()
        return SSL_write(session, bytes, Int32(bytes.count)) == Int32(bytes.count)
    }

    /// Asks for another handshake, as one could up to TLS 1.2.
    func renegotiate() {
        ERR_clear_error()
        if SSL_renegotiate(session) == 1 { SSL_do_handshake(session) }
    }

    func sayGoodbye() { SSL_shutdown(session) }

    /// What is to go to the other end.
    func takeOutput() -> [UInt8] {
        defer { channel.pointee.output_count = 0 }
        return Array(UnsafeBufferPointer(start: channel.pointee.output, count: channel.pointee.output_count))
    }

    private func fed(_ bytes: [UInt8], _ body: () -> Int32) -> Int32 {
        ERR_clear_error()
        return bytes.withUnsafeBufferPointer {
            channel.pointee.input = $0.baseAddress
            channel.pointee.input_count = $0.count
            defer { channel.pointee.input_count = 0 }
            return body()
        }
    }
}
