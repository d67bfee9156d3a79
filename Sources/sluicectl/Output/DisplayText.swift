/// Text as a terminal shows it.
extension String {
    /// How many places it takes on a line.
    var displayWidth: Int { unicodeScalars.reduce(0) { $0 + $1.displayWidth } }

    /// The same without what a terminal would take for an order: names come from clients.
    var harmless: String {
        guard unicodeScalars.contains(where: \.isOrder) else { return self }
        var text = ""
        for scalar in unicodeScalars { text.unicodeScalars.append(scalar.isOrder ? "\u{fffd}" : scalar) }
        return text
    }

    /// At most `width` places of it, the last of them a mark where something is cut off.
    func cut(to width: Int) -> String {
        guard displayWidth > width else { return self }
        guard width > 0 else { return "" }
        var (text, used) = ("", 0)
        for scalar in unicodeScalars {
            guard used + scalar.displayWidth <= width - 1 else { break }
            used += scalar.displayWidth
            text.unicodeScalars.append(scalar)
        }
        return text + "~"
    }

    /// Filled up with blanks.
    func padded(to width: Int, right: Bool = false) -> String {
        let blanks = String(repeating: " ", count: max(0, width - displayWidth))
        return right ? blanks + self : self + blanks
    }
}

extension Unicode.Scalar {
    /// Control characters, and marks that change the direction of what follows.
    fileprivate var isOrder: Bool {
        switch value {
        case 0..<0x20, 0x7f..<0xa0, 0x2028...0x202e, 0x2066...0x2069: true
        case _: false
        }
    }

    /// Two places for East Asian characters and pictures, none for marks upon others.
    fileprivate var displayWidth: Int {
        switch value {
        case 0x1100...0x115f, 0x2e80...0xa4cf, 0xac00...0xd7a3, 0xf900...0xfaff, 0xfe30...0xfe6f,
            0xff00...0xff60, 0xffe0...0xffe6, 0x1f300...0x1faff, 0x20000...0x3fffd:
            2
        case _:
            switch properties.generalCategory {
            case .nonspacingMark, .enclosingMark, .format: 0
            case _: 1
            }
        }
    }
}
