import Config
import System

/// Where the control socket of an instance is.
struct ControlPlace: Equatable {
    /// Its folder.
    let folder: String
    /// The number in its name.
    let port: Int
    /// The user whom the instance runs as, when the configuration names one.
    var owner: String?

    /// Its path.
    var socket: String { "\(folder)/.s.PGSQL.\(port)" }

    init(folder: String, port: Int, owner: String? = nil) {
        self.folder = folder
        self.port = port
        self.owner = owner
    }

    /// The place that settings put it at, or `nil` when they allow none.
    init?(_ settings: Settings) {
        guard let folder = settings.controlFolder else { return nil }
        self.init(
            folder: FileSystem.absolute(folder), port: settings.listenPort, owner: settings.user)
    }

    /// The place in a folder, where the socket's name says its port.
    ///
    /// - Parameter names: what is in the folder.
    init(folder: String, names: [String]) throws(Failure) {
        let prefix = ".s.PGSQL."
        let ports = names.compactMap { $0.hasPrefix(prefix) ? Int($0.dropFirst(prefix.count)) : nil }
        guard let port = ports.first else {
            throw Failure(
                .noInstance,
                "no instance is running: there is no control socket in \(folder); "
                    + "its log says at the start where it is")
        }
        guard ports.count == 1 else {
            throw Failure(
                .usage,
                "there are several sockets in \(folder): name the instance's configuration with -c FILE")
        }
        self.init(folder: FileSystem.absolute(folder), port: port)
    }

    /// The place that a configuration file names. A file with errors names none.
    init(file: String) throws(Failure) {
        do throws(SystemError) { _ = try FileSystem.read(file) } catch {
            throw Failure(.usage, "cannot \(error)")
        }
        let parsed = Configuration.parse(
            ConfigurationImage(path: file) { path in try? FileSystem.read(path) })
        guard let configuration = parsed.configuration else {
            let reasons = parsed.errors.map { "\n    \($0)" }.joined()
            throw Failure(
                .usage,
                "\(file) does not say where the instance is; use --control DIR. It has errors:\(reasons)")
        }
        guard let place = ControlPlace(configuration.settings) else {
            throw Failure(
                .usage,
                "\(file) has no place for a control socket: set control_dir, and restart pgsluice")
        }
        self = place
    }
}
