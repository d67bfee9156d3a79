internal import COpenSSL

/// Why a context could not be made or a handshake failed, in words for the log.
public struct TLSError: Error, Equatable, CustomStringConvertible {
    /// What went wrong.
    public let description: String

    init(_ description: String) { self.description = description }

    /// What went wrong, with OpenSSL's reason, which is taken out of its queue of errors.
    init(_ what: String, reasonOf _: Void) {
        let reason = TLSError.takeReason()
        self.init(reason.isEmpty ? what : "\(what): \(reason)")
    }

    /// OpenSSL's reason for the last failure; empty when there is none.
    static func takeReason() -> String {
        unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { text in
            unsafe copenssl_take_error(text.baseAddress, text.count)
            return unsafe String(cString: text.baseAddress!)
        }
    }
}
