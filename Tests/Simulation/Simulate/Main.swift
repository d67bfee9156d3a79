import Simulator

/// The command line: runs worlds, and tells of those that fail.
@main
struct Main {
    static func main() {
        var options = Options(CommandLine.arguments.dropFirst())
        options.run()
    }
}
