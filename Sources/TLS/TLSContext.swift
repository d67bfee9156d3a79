internal import COpenSSL
public import Config

/// What sessions of one kind have in common: certificates, versions, ciphers. Sessions keep what they were
/// made from, so a context can be replaced while they go on.
@safe
public final class TLSContext {
    /// Which side of a connection we are.
    public enum Role: Sendable {
        /// We accept, and show our certificate.
        case server
        /// We connect.
        case client
    }

    let pointer: OpaquePointer
    /// Which side we are.
    public let role: Role

    /// A context for these settings.
    ///
    /// - Throws: what is the matter with a certificate, a key or the text of a setting.
    public init(_ role: Role, _ settings: TLSSettings) throws(TLSError) {
        guard let context = unsafe copenssl_context() else { throw TLSError("no memory for a TLS context") }
        do throws(TLSError) {
            unsafe try TLSContext.setUp(context, role, settings)
        } catch {
            unsafe SSL_CTX_free(context)
            throw error
        }
        unsafe pointer = context
        self.role = role
    }

    deinit { unsafe SSL_CTX_free(pointer) }

    @unsafe
    private static func setUp(_ context: OpaquePointer, _ role: Role, _ settings: TLSSettings)
        throws(TLSError)
    {
        try checkFiles(settings)
        let versions = try TLSVersions(settings.protocols)
        guard unsafe copenssl_set_versions(context, versions.bits) == 1 else {
            throw TLSError("OpenSSL refuses the versions \"\(settings.protocols)\"", reasonOf: ())
        }
        guard unsafe SSL_CTX_set_cipher_list(context, cipherList(settings.ciphers)) == 1 else {
            throw TLSError("no cipher of \"\(settings.ciphers)\" is known", reasonOf: ())
        }
        if !settings.suites.isEmpty, unsafe SSL_CTX_set_ciphersuites(context, settings.suites) != 1 {
            throw TLSError("no TLS 1.3 cipher suite of \"\(settings.suites)\" is known", reasonOf: ())
        }
        let isNamed = !["", "auto", "none"].contains(settings.curve)
        if isNamed, unsafe copenssl_set_groups(context, settings.curve) != 1 {
            throw TLSError("the curve \"\(settings.curve)\" is not known", reasonOf: ())
        }
        guard ["", "none", "auto", "legacy"].contains(settings.dhParameters) else {
            throw TLSError("dheparams can be auto, legacy or none, not \"\(settings.dhParameters)\"")
        }
        unsafe copenssl_set_dh_auto(context, settings.dhParameters == "none" ? 0 : 1)
        unsafe try addCertificates(context, role, settings)
        if role == .server { unsafe copenssl_accept_alpn(context) }
    }

    /// What is in the files must be there: a session without it would fail at every handshake.
    private static func checkFiles(_ settings: TLSSettings) throws(TLSError) {
        let files = [
            (settings.keyFile, settings.key), (settings.certificateFile, settings.certificate),
            (settings.authorityFile, settings.authorities),
        ]
        for (path, bytes) in files where !path.isEmpty && bytes.isEmpty {
            throw TLSError("\(path) is empty, or has not been read yet: RELOAD reads it")
        }
        if settings.mode >= .verifyCA, settings.authorities.isEmpty {
            throw TLSError("there are no authorities to verify certificates by: set the ca_file")
        }
    }

    /// The cipher list of OpenSSL's that the setting stands for.
    private static func cipherList(_ text: String) -> String {
        switch text.lowercased() {
        case "", "default", "secure", "normal", "fast": "HIGH+ECDHE:HIGH+DHE:!aNULL:!eNULL:!DSS"
        case "compat": "HIGH:!aNULL"
        case "legacy": "HIGH:MEDIUM:!aNULL"
        case "all", "insecure": "ALL:!aNULL:!eNULL"
        default: text
        }
    }

    @unsafe
    private static func addCertificates(
        _ context: OpaquePointer, _ role: Role, _ settings: TLSSettings
    ) throws(TLSError) {
        if !settings.certificate.isEmpty {
            let isUsed = unsafe settings.certificate.withUnsafeBytes {
                unsafe copenssl_use_certificates(context, $0.baseAddress, Int32(clamping: $0.count))
            }
            guard isUsed == 1 else {
                throw TLSError("\(settings.certificateFile): the certificate cannot be used", reasonOf: ())
            }
            let isKeyUsed = unsafe settings.key.withUnsafeBytes {
                unsafe copenssl_use_key(context, $0.baseAddress, Int32(clamping: $0.count))
            }
            guard isKeyUsed == 1 else {
                throw TLSError("\(settings.keyFile): the key cannot be used", reasonOf: ())
            }
        }
        if !settings.authorities.isEmpty {
            let count = unsafe settings.authorities.withUnsafeBytes {
                unsafe copenssl_add_authorities(
                    context, $0.baseAddress, Int32(clamping: $0.count), role == .server ? 1 : 0)
            }
            guard count > 0 else {
                throw TLSError("\(settings.authorityFile): there is no certificate in it")
            }
        }
        let mode: Int32 =
            if settings.mode >= .verifyCA {
                SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
            } else if role == .server, !settings.authorities.isEmpty {
                // A client may show a certificate; if it does, it has to be good.
                SSL_VERIFY_PEER
            } else {
                SSL_VERIFY_NONE
            }
        unsafe SSL_CTX_set_verify(context, mode, nil)
    }

    @unsafe
    static func endPoint(of certificate: OpaquePointer?) -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: 64) { hash, count in
            count = Int(unsafe copenssl_end_point(certificate, hash.baseAddress))
        }
    }
}
