/// A set of versions of TLS; bit 0 is 1.0, bit 3 is 1.3.
struct TLSVersions: Equatable {
    var bits: UInt32

    /// Reads `client_tls_protocols`: words between commas or colons, each adding versions or, after `!`,
    /// taking them away.
    init(_ text: String) throws(TLSError) {
        bits = 0
        for part in text.split(whereSeparator: { $0 == "," || $0 == ":" }) {
            var word = part.drop { $0 == " " }.lowercased()
            while word.last == " " { word.removeLast() }
            let isNegated = word.first == "!"
            if isNegated {
                word.removeFirst()
                // A list that begins by taking away takes from everything.
                if bits == 0 { bits = 0b1111 }
            }
            guard let versions = TLSVersions.bits(of: word) else {
                throw TLSError("unknown TLS version \"\(word)\": use tlsv1.0 to tlsv1.3, secure or all")
            }
            bits = isNegated ? bits & ~versions : bits | versions
        }
        guard bits != 0 else { throw TLSError("no version of TLS is left in \"\(text)\"") }
    }

    private static func bits(of word: String) -> UInt32? {
        switch word {
        case "all", "legacy", "tlsv1": 0b1111
        case "default", "secure": 0b1100
        case "tlsv1.0": 0b0001
        case "tlsv1.1": 0b0010
        case "tlsv1.2": 0b0100
        case "tlsv1.3": 0b1000
        default: nil
        }
    }
}
