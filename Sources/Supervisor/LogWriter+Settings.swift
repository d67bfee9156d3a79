import Config
import SharedState

extension LogWriter {
    /// What is written, by the settings and the command line, whichever wants more.
    static func threshold(_ settings: Settings, _ arguments: Arguments) -> LogLevel {
        switch max(settings.verbose, arguments.verbosity) {
        case ...0: .log
        case 1: .debug
        default: .noise
        }
    }

    /// Where the settings want lines to go.
    static func destinations(_ settings: Settings) -> Destinations {
        var destinations = Destinations(file: settings.logFile)
        if settings.syslog {
            destinations.system = SystemLog(
                identity: settings.syslogIdentity,
                facility: facilityNumber(settings.syslogFacility) ?? 3)
        }
        return destinations
    }
}
