import Base

/// Changes inputs at random, the same way for the same seed.
struct ByteMutator {
    private static let words: [[UInt8]] =
        [
            [0], [255], [0, 0, 0, 0], [255, 255, 255, 255], [0x7F, 255, 255, 255], [0, 0, 255, 255],
            [13, 10], [10],
        ]
        + [
            "\0", "''", "\"", "=", ",", "n,,", "r=", "p=", "::", "65535", "-1", " ", "\\", "[pgbouncer]\n",
            "%include ",
        ].map { Array($0.utf8) }
    private let words: [[UInt8]]
    private var random: Random

    /// Besides what is usual, `words` are put into inputs.
    init(seed: UInt64, words: [[UInt8]]) {
        random = Random(seed: seed)
        self.words = ByteMutator.words + words
    }

    private mutating func number(_ limit: Int) -> Int { Int(random.next() % UInt64(max(limit, 1))) }

    mutating func change(_ inputs: [[UInt8]]) -> [UInt8] {
        var bytes = inputs[number(inputs.count)]
        for _ in 0...number(5) {
            let place = number(bytes.count + 1)
            switch number(8) {
            case 0 where place < bytes.count: bytes[place] ^= 1 << UInt8(number(8))
            case 1 where place < bytes.count: bytes[place] = UInt8(number(256))
            case 2: bytes.insert(contentsOf: words[number(words.count)], at: place)
            case 3: bytes.removeSubrange(place..<min(bytes.count, place + 1 + number(8)))
            case 4:
                bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + 1 + number(40))], at: place)
            case 5: bytes.removeSubrange(place...)
            case 6:
                let other = inputs[number(inputs.count)]
                bytes = Array(bytes[..<place]) + other.dropFirst(number(other.count + 1))
            default:
                for _ in 0..<number(12) { bytes.append(UInt8(number(256))) }
            }
        }
        return bytes
    }
}
