import Glibc

/// Ends the program, saying which call failed and why.
public func fail(_ call: String) -> Never {
    let reason = String(cString: strerror(errno))
    stop("\(call): \(reason)")
}

/// Ends the program with a message.
public func stop(_ message: String) -> Never {
    complain(message)
    exit(2)
}

/// Writes one line to standard error.
public func complain(_ message: String) {
    write(message + "\n", to: STDERR_FILENO)
}

/// Writes one line to standard output at once, past any buffer: whoever drives the program waits for it.
public func announce(_ message: String) {
    write(message + "\n", to: STDOUT_FILENO)
}

private func write(_ text: String, to descriptor: Int32) {
    var text = text
    text.withUTF8 { bytes in
        var offset = 0
        while offset < bytes.count {
            let count = Glibc.write(descriptor, bytes.baseAddress! + offset, bytes.count - offset)
            if count <= 0 { return }
            offset += count
        }
    }
}
