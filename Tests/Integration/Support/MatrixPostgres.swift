/// A PostgreSQL whose own rules ask each role in a way of its own, and the secrets of those roles.
///
/// There is a role for each way a client may prove itself to the pooler, form of its secret in the user
/// list, and way PostgreSQL asks the pooler: `scram_md5_cert`, say. What one of them has taught the pooler
/// helps no other.
struct MatrixPostgres: Sendable {
    static let shared: MatrixPostgres = {
        do { return try MatrixPostgres() } catch { preconditionFailure("\(error)") }
    }()

    static let clients = ["trust", "plain", "md5", "scram", "cert"]
    static let stored = ["none", "plain", "md5", "scram"]
    /// `md5scram` is a line that says md5 for a role with a SCRAM secret, which PostgreSQL then asks by
    /// SCRAM.
    static let servers = ["trust", "password", "md5", "md5scram", "scram", "cert", "reject"]
    /// Everybody's.
    static let password = "a quiet word"

    let postgres: Postgres
    /// What the user list has of each role.
    let secrets: [String: String]
    /// A certificate that PostgreSQL takes for the roles that need one.
    let certificate: Certificates.Pair

    /// Who comes with TLS or without is asked by these lines; the names in front are groups.
    private static let accessRules = """
        local all all trust
        host all postgres,app 127.0.0.0/8 trust
        host all +via_trust 127.0.0.0/8 trust
        host all +via_password 127.0.0.0/8 password
        host all +via_md5 127.0.0.0/8 md5
        host all +via_scram 127.0.0.0/8 scram-sha-256
        hostssl all +via_cert 127.0.0.0/8 cert map=pooler
        host all +via_reject 127.0.0.0/8 reject
        hostssl all hostssl 127.0.0.0/8 trust
        hostnossl all hostnossl 127.0.0.0/8 trust
        host all host 127.0.0.0/8 trust

        """

    private init() throws {
        let files = Certificates.shared
        certificate = try files.make("towards-postgres", common: "pooler", names: "DNS:pooler.test")
        postgres = try Postgres(
            settings: [
                "ssl": "on", "ssl_cert_file": files.server.certificate, "ssl_key_file": files.server.key,
                "ssl_ca_file": files.authority, "listen_addresses": "127.0.0.1,127.0.0.2",
                "max_connections": "800",
            ], accessRules: Self.accessRules)
        let connection = try postgres.connect(user: "postgres")
        for statement in Self.statements { try connection.query(statement) }
        let maps = try connection.query("select rolname from pg_authid where rolname like '%\\_cert'").values
        try writeFile(
            "\(postgres.folder)/data/pg_ident.conf",
            maps.compactMap { $0.map { "pooler pooler \($0)\n" } }.joined())
        try connection.query("select pg_reload_conf()")
        // While all of them have one.
        let verifiers = try connection.query(
            "select rolname, rolpassword, md5('\(Self.password)' || rolname) "
                + "from pg_authid where rolpassword is not null"
        ).rows
        try connection.query(Self.weaken)
        secrets = Dictionary(
            uniqueKeysWithValues: verifiers.map { row in
                let (name, verifier, digest) = (row[0] ?? "", row[1] ?? "", row[2] ?? "")
                let stored = name.split(separator: "_").dropFirst().first ?? ""
                switch stored {
                case "plain": return (name, Self.password)
                case "md5": return (name, "md5" + digest)
                case "scram": return (name, verifier)
                default: return (name, "")
                }
            })
    }

    private static func array(_ words: [String]) -> String { "'{\(words.joined(separator: ","))}'::text[]" }

    private static let statements = [
        "create role host login", "create role hostssl login", "create role hostnossl login",
        "do $$ declare way text; begin foreach way in array \(array(servers)) loop "
            + "execute format('create role %I', 'via_' || way); end loop; end $$",
        "create role pattern password '\(password)'",
        // A secret takes time to be made, so one is all those have in common whose form does not matter.
        """
        do $$ declare client text; stored text; server text; pattern text; begin
        select rolpassword from pg_authid where rolname = 'pattern' into pattern;
        foreach client in array \(array(clients)) loop foreach stored in array \(array(stored)) loop
        foreach server in array \(array(servers)) loop
        execute format(
            'create role %I login password %L in role %I', client || '_' || stored || '_' || server,
            case when stored = 'scram' or server in ('scram', 'md5scram') then '\(password)' else pattern end,
            'via_' || case server when 'md5scram' then 'md5' else server end);
        end loop; end loop; end loop; end $$
        """,
    ]

    /// Gives those who are asked by md5 a secret for that.
    private static let weaken = """
        do $$ declare name text; begin
        set local password_encryption = 'md5';
        for name in
            select rolname from pg_authid where rolname like '%\\_md5' and rolpassword is not null
        loop
        execute format('alter role %I password %L', name, '\(password)'); end loop; end $$
        """
}
