import Base
import Glibc

/// `FuzzParsers [--inputs N] [--seed N] [--corpus FOLDER] [--parser NAME] [--current FILE]`: feeds every
/// parser that reads what others have written. First what the corpus has, then changes of that at random. The
/// input that is being tried stands in a file, so it is there after a trap.
@main
struct Main {
    private var inputs = 100_000
    private var seed: UInt64 = 1
    private var corpus = "Tests/Fuzz/Corpus"
    private var current = ".build/fuzz-input"
    private var only: String?

    static func main() {
        var program = Main()
        var words = CommandLine.arguments.dropFirst()
        while let word = words.popFirst() {
            let value = words.popFirst() ?? ""
            switch word {
            case "--inputs": program.inputs = Int(value) ?? 0
            case "--seed": program.seed = UInt64(value) ?? 1
            case "--corpus": program.corpus = value
            case "--current": program.current = value
            case "--parser": program.only = value
            default:
                print("fuzz: unknown argument '\(word)'")
                exit(2)
            }
        }
        exit(program.run() ? 0 : 1)
    }

    private func run() -> Bool {
        var failed = 0
        var passed = 0
        for parser in Parser.all where only == nil || only == parser.name {
            if let fault = feed(parser) {
                print("parser \(parser.name): \(fault)")
                failed += 1
            } else {
                print("parser \(parser.name): \(inputs) inputs")
                passed += 1
            }
        }
        print("\(passed) passed, \(failed) failed")
        return failed == 0 && passed > 0
    }

    private func feed(_ parser: Parser) -> String? {
        let recorded = files(of: parser.name)
        let begin = parser.seeds + recorded
        let current = Current(path: current)
        defer { current.remove() }
        var mutator = ByteMutator(seed: seed)
        for number in 0..<(begin.count + inputs) {
            let input = number < begin.count ? begin[number] : mutator.change(begin)
            current.set(input)
            if let fault = parser.check(input) { return "\(fault); input number \(number): \(input)" }
        }
        return nil
    }

    /// The inputs that have been kept because they once did harm, or reach far.
    private func files(of name: String) -> [[UInt8]] {
        let folder = "\(corpus)/\(name)"
        guard let listing = opendir(folder) else { return [] }
        defer { closedir(listing) }
        var names: [String] = []
        while let entry = readdir(listing) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted().map { contents("\(folder)/\($0)") }
    }

    private func contents(_ path: String) -> [UInt8] {
        guard let file = fopen(path, "r") else { return [] }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        return Array(bytes.prefix(fread(&bytes, 1, bytes.count, file)))
    }
}

/// The input that is being tried, in a file that outlives a trap.
struct Current {
    private static let size = 1 << 16
    private let path: String
    private let memory: UnsafeMutableRawPointer

    init(path: String) {
        self.path = path
        let descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o644)
        precondition(
            descriptor >= 0 && ftruncate(descriptor, off_t(Current.size)) == 0, "cannot make \(path)")
        memory = mmap(nil, Current.size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        close(descriptor)
    }

    /// Four bytes with the length, then the input.
    func set(_ input: [UInt8]) {
        memory.storeBytes(of: UInt32(input.count), as: UInt32.self)
        let count = min(input.count, Current.size - 4)
        input.withUnsafeBytes {
            (memory + 4).copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(memory), byteCount: count)
        }
    }

    func remove() {
        munmap(memory, Current.size)
        unlink(path)
    }
}

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
    private var random: Random

    init(seed: UInt64) { random = Random(seed: seed) }

    private mutating func number(_ limit: Int) -> Int { Int(random.next() % UInt64(max(limit, 1))) }

    mutating func change(_ inputs: [[UInt8]]) -> [UInt8] {
        var bytes = inputs[number(inputs.count)]
        for _ in 0...number(5) {
            let place = number(bytes.count + 1)
            switch number(8) {
            case 0 where place < bytes.count: bytes[place] ^= 1 << UInt8(number(8))
            case 1 where place < bytes.count: bytes[place] = UInt8(number(256))
            case 2: bytes.insert(contentsOf: ByteMutator.words[number(ByteMutator.words.count)], at: place)
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
