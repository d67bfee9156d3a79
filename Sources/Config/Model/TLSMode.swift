/// How much TLS is asked of a peer, in rising order.
public enum TLSMode: String, NamedChoice, BitwiseCopyable {
    case disable, allow, prefer, require
    case verifyCA = "verify-ca"
    case verifyFull = "verify-full"
}

extension TLSMode: Comparable {
    /// Whether less is asked than by the other.
    public static func < (less: TLSMode, more: TLSMode) -> Bool {
        let order = allCases
        return order.firstIndex(of: less)! < order.firstIndex(of: more)!
    }
}
