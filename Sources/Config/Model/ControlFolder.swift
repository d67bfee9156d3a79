extension Settings {
    /// The folder of the control socket, as written: what `control_dir` says, else one of its own beside our
    /// other files; `nil` when there are none.
    public var controlFolder: String? {
        if !controlDirectory.isEmpty { return controlDirectory }
        let name = ".pgsluice.\(listenPort)"
        if !unixSocketDirectory.isEmpty, !unixSocketDirectory.hasPrefix("@") {
            return "\(unixSocketDirectory)/\(name)"
        }
        guard !pidFile.isEmpty else { return nil }
        guard let slash = pidFile.lastIndex(of: "/") else { return name }
        return "\(pidFile[..<slash])/\(name)"
    }

    /// The name of the control socket in that folder: the only one libpq can make.
    public var controlSocketName: String { ".s.PGSQL.\(listenPort)" }
}
