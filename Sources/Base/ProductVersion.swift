/// What this program calls itself. Tools written for PgBouncer parse the first part.
public enum ProductVersion {
    /// The PgBouncer whose behaviour is offered.
    public static let pgBouncer = "1.26.0"
    /// Our own version.
    public static let pgSluice = "0.1.0"
    /// The row of `SHOW VERSION` and the first line of `--version`.
    public static let banner = "PgBouncer \(pgBouncer) (pgsluice \(pgSluice))"
    /// The parameter `server_version` of the console.
    public static let consoleServerVersion = "\(pgBouncer)/bouncer"
}
