internal import COpenSSL

/// One end of an encrypted connection. Plain memory goes in and comes out through a `TLSChannel`; whoever
/// holds the session ends it with `free`.
@safe
public struct TLSSession: BitwiseCopyable {
    private let pointer: OpaquePointer

    /// How a handshake goes on.
    public enum Progress {
        /// More has to come from the peer.
        case waiting
        /// Keys are agreed on, and the peer is who it has to be.
        case done
        /// It has failed; an alert for the peer may be in the output.
        case failed(TLSError)
    }

    /// What came of reading.
    public enum Reading {
        /// So many bytes are in the channel's `plain`; there may be more.
        case bytes(Int)
        /// Everything that has come is read.
        case empty
        /// The peer says that nothing follows.
        case end
        /// What has come is no TLS, or was changed on its way.
        case broken(TLSError)
    }

    /// A session of this context over this channel, which has to outlive it; `nil` when memory has run out.
    ///
    /// - Parameter serverName: the name told to a server, so that it can choose its certificate; not for
    ///   addresses.
    public init?(_ context: TLSContext, _ channel: borrowing TLSChannel, serverName: String? = nil) {
        let accepts: Int32 = context.role == .server ? 1 : 0
        guard let session = unsafe copenssl_session(context.pointer, channel.pointer, accepts) else {
            return nil
        }
        unsafe pointer = session
        guard context.role == .client else { return }
        _ = unsafe copenssl_offer_alpn(session)
        if let serverName { _ = unsafe copenssl_set_server_name(session, serverName) }
    }

    /// Ends the session.
    public func free() { unsafe SSL_free(pointer) }

    /// Goes on with the handshake, as far as the channel's input allows.
    public func shakeHands() -> Progress {
        ERR_clear_error()
        let result = unsafe SSL_do_handshake(pointer)
        if result == 1 { return .done }
        switch unsafe copenssl_result(pointer, result) {
        case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return .waiting
        default: break
        }
        let verification = unsafe String(cString: copenssl_verification_error(pointer))
        let reason = TLSError.takeReason()
        if !verification.isEmpty { return .failed(TLSError("\(reason): \(verification)")) }
        return .failed(TLSError(reason.isEmpty ? "the peer ended the handshake" : reason))
    }

    /// Decrypts into the channel's `plain`.
    public func read(_ channel: borrowing TLSChannel) -> Reading {
        ERR_clear_error()
        let room = unsafe channel.plain
        var count = 0
        while count < room.count {
            var part = 0
            let result = unsafe SSL_read_ex(pointer, room.baseAddress! + count, room.count - count, &part)
            if result == 1 {
                count += part
                // Most often that was all: to ask once more costs as much as half of a record.
                if unsafe channel.input.isEmpty && SSL_has_pending(pointer) == 0 { break }
                continue
            }
            let end = unsafe copenssl_result(pointer, result)
            let isWaiting = end == SSL_ERROR_WANT_READ || end == SSL_ERROR_WANT_WRITE
            if count > 0 {
                // What was read before counts first. The next call comes to the same end, but OpenSSL has
                // forgotten why by then, and takes the peer's fatal alert for a goodbye.
                if !isWaiting, end != SSL_ERROR_ZERO_RETURN { unsafe copenssl_keep_error(pointer) }
                break
            }
            if isWaiting { return .empty }
            let isKept = unsafe copenssl_recall_error(pointer) == 1
            if end == SSL_ERROR_ZERO_RETURN, !isKept { return .end }
            return .broken(TLSError("TLS failed", reasonOf: ()))
        }
        return .bytes(count)
    }

    /// Encrypts bytes into the channel's output; false when the session is broken.
    @unsafe
    public func write(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var rest = unsafe bytes
        while rest.count > 0 {
            var part = 0
            guard unsafe SSL_write_ex(pointer, rest.baseAddress, rest.count, &part) == 1 else {
                ERR_clear_error()
                return false
            }
            unsafe rest = UnsafeRawBufferPointer(rebasing: rest[part...])
        }
        return true
    }

    /// Tells the peer, in the channel's output, that nothing follows.
    public func sayGoodbye() {
        _ = unsafe SSL_shutdown(pointer)
        ERR_clear_error()
    }

    /// Version of the protocol, as `TLSv1.3`.
    public var version: String { unsafe String(cString: SSL_get_version(pointer)) }

    /// Cipher suite, by OpenSSL's name.
    public var cipher: String {
        unsafe SSL_CIPHER_get_name(SSL_get_current_cipher(pointer)).map { unsafe String(cString: $0) } ?? ""
    }

    /// Channel binding data of our own certificate, which the peer has been shown, though the context may
    /// have been replaced meanwhile; empty without one.
    public var endPoint: [UInt8] { unsafe TLSContext.endPoint(of: SSL_get_certificate(pointer)) }

    /// Channel binding data of the peer's certificate; empty without one.
    public var peerEndPoint: [UInt8] {
        unsafe TLSContext.endPoint(of: copenssl_peer_certificate(pointer))
    }

    /// Whether the peer's certificate is for this host name or address.
    public func matches(host: String) -> Bool { unsafe copenssl_matches_host(pointer, host) == 1 }

    /// The names in the peer's certificate, common name first; empty unless it was verified.
    public var verifiedNames: [[UInt8]] {
        guard unsafe copenssl_is_verified(pointer) == 1 else { return [] }
        var names: [[UInt8]] = []
        unsafe withUnsafeMutablePointer(to: &names) { list in
            unsafe copenssl_each_name(pointer, list) { context, name, count in
                guard let context = unsafe context, let name = unsafe name else { return }
                let text = unsafe UnsafeBufferPointer(start: name, count: Int(count))
                let bytes = unsafe Array(text)
                unsafe context.assumingMemoryBound(to: [[UInt8]].self).pointee.append(bytes)
            }
        }
        return names
    }
}
