/// How clients prove who they are (`auth_type`).
public enum AuthType: String, NamedChoice, BitwiseCopyable {
    case any, trust, plain, md5, cert, hba, ldap, pam
    case scramSHA256 = "scram-sha-256"
}
