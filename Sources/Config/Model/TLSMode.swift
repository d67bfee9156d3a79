/// How much TLS is asked of a peer, in rising order.
public enum TLSMode: String, NamedChoice, BitwiseCopyable {
    case disable, allow, prefer, require
    case verifyCA = "verify-ca"
    case verifyFull = "verify-full"
}
