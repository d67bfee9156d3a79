import Glibc
import System

/// The terminal, as long as a screen of ours is on it.
@safe
final class Terminal {
    private let before: termios
    private var isOurs = false

    /// Takes the terminal over, or says that there is none.
    init() throws(Failure) {
        var settings = termios()
        guard isatty(0) == 1, isatty(1) == 1, unsafe tcgetattr(0, &settings) == 0 else {
            throw Failure(
                .usage, "top needs a terminal; pools, workers and stats print the same once, also with --json"
            )
        }
        before = settings
        // Keys at once and unseen; Ctrl-C is a key too.
        settings.c_lflag &= ~tcflag_t(ICANON | ECHO | ISIG | IEXTEN)
        settings.c_iflag &= ~tcflag_t(IXON | ICRNL)
        unsafe tcsetattr(0, TCSAFLUSH, &settings)
        isOurs = true
        // Another screen, no cursor, no line breaks at the edge.
        put("\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l")
    }

    deinit { restore() }

    /// Puts everything back.
    func restore() {
        guard isOurs else { return }
        isOurs = false
        put("\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l")
        var settings = before
        unsafe tcsetattr(0, TCSAFLUSH, &settings)
    }

    /// Columns and lines.
    var size: (width: Int, height: Int) {
        var size = winsize()
        guard unsafe ioctl(1, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else {
            return (80, 24)
        }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    /// Draws a screen full of lines over the last one.
    func draw(_ lines: [TopLayout.Line]) {
        // Cleared first: at the right edge the cursor stands on the last character.
        let texts = lines.map { line in
            "\u{1b}[K" + (line.isHeading ? "\u{1b}[1m\(line.text)\u{1b}[0m" : line.text)
        }
        put("\u{1b}[H" + texts.joined(separator: "\r\n"))
    }

    /// The keys that were pressed; `nil` when the terminal is gone.
    func keys() -> [UInt8]? {
        guard let bytes = try? Descriptors.read(0, limit: 256), !bytes.isEmpty else { return nil }
        return bytes
    }

    private func put(_ text: String) { try? Descriptors.writeAll(1, Array(text.utf8)) }
}
