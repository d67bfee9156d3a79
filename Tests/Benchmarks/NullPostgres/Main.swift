import BenchmarkSupport
import CLinux
import Glibc

/// `NullPostgres`: a PostgreSQL that keeps nothing and answers at once, so that what stands in front of
/// it is what is measured. Prints `listening PORT` and serves until its parent ends.
@main
struct Main {
    static func main() {
        let arguments = Arguments(
            Array(CommandLine.arguments.dropFirst()),
            known: [
                ("host", "HOST: address to listen on, or a folder for a Unix socket (127.0.0.1)"),
                ("port", "PORT: 0 takes a free one (0)"),
                ("auth", "METHOD: trust or md5 (trust)"),
                ("certificate", "FILE: for clients that want TLS (none)"),
                ("key", "FILE: of the certificate"),
            ])
        let authentication: NullSession.Authentication
        switch arguments.text("auth", default: "trust") {
        case "trust": authentication = .trust
        case "md5": authentication = .md5
        case let other: stop("--auth must be trust or md5, not '\(other)'")
        }
        _ = clinux_set_parent_death_signal(SIGTERM)
        clinux_ignore_signal(SIGPIPE)
        var soft: UInt64 = 0
        var hard: UInt64 = 0
        if clinux_get_descriptor_limit(&soft, &hard) == 0 { clinux_set_descriptor_limit(hard, hard) }

        let host = arguments.text("host", default: "127.0.0.1")
        let port = arguments.number("port", default: 0, in: 0...65_535)
        let listener = Socket.listen(on: Socket.Address(host: host, port: port))
        announce("listening \(host.hasPrefix("/") ? port : Int(Socket.port(of: listener)))")
        let certificate = arguments.text("certificate", default: "")
        let key = arguments.text("key", default: "")
        let encryption =
            certificate.isEmpty ? nil : Encryption(certificateFile: certificate, keyFile: key)
        var server = Server(listener: listener, authentication: authentication, encryption: encryption)
        server.run()
    }
}
