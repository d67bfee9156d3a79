import Auth
import Base
import Config

/// What is to be looked up about a login.
struct LookupPlan {
    var purpose: LookupPurpose
    /// The entry of `[databases]` where it is asked.
    var database: [UInt8]
    /// As whom.
    var user: [UInt8]
    /// The text of the query.
    var query: [UInt8]
}

/// The groups that rules and maps name: PostgreSQL knows who is in them.
extension PoolCore {
    /// The names of all roles that a role is a member of, directly or not, and its own: what
    /// `is_member_of_role_nosuper` goes by. A superuser is in no group because of that.
    ///
    /// Whoever has used the connection before may have left a search path and an encoding: so everything is
    /// called by its full name, and names come and go as the bytes that they are.
    private static var groupQuery: String {
        """
        WITH RECURSIVE known AS (\
        SELECT oid FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) \
        CAST(pg_catalog.convert_from($1, pg_catalog.getdatabaseencoding()) AS pg_catalog.name) \
        UNION SELECT m.roleid FROM pg_catalog.pg_auth_members m \
        JOIN known k ON m.member OPERATOR(pg_catalog.=) k.oid) \
        SELECT pg_catalog.convert_to(CAST(r.rolname AS pg_catalog.text), pg_catalog.getdatabaseencoding()) \
        FROM pg_catalog.pg_roles r JOIN known k ON r.oid OPERATOR(pg_catalog.=) k.oid
        """
    }

    /// Asks for the groups of a login's user, if rules need them and there is a user to do it.
    ///
    /// - Returns: whether the login goes on, or ends, without the caller.
    mutating func lookUpGroups(_ client: Handle<Client>) -> Bool {
        guard let login = clientLogins[client], login.method == .hba, login.groups == nil,
            accessRules.needGroups(for: accessRequest(client, login)),
            let plan = lookupPlan(login, .groups, PoolCore.groupQuery)
        else { return false }
        lookUp(client, plan)
        return true
    }

    /// Whether a rule is for this login cannot be known, for there is nobody to ask for its groups. No rule
    /// behind it may let in whom it was to reject.
    mutating func refuseWithoutGroups(_ client: Handle<Client>, _ login: ClientLogin, _ rule: AccessRule) {
        let settings = login.isForConsole ? "auth_user and auth_dbname" : "auth_user"
        logLookupFault(
            client, "\(rule.file):\(rule.line): who is in a group cannot be asked for: set \(settings)")
        lookupFailed(client)
    }
}
