/// How the hosts of a list are used (`load_balance_hosts`).
public enum LoadBalanceHosts: String, NamedChoice, BitwiseCopyable {
    /// Each new server connection goes to the next host.
    case roundRobin = "round-robin"
    /// Stay on one host and move on only when connecting to it failed.
    case disable
}
