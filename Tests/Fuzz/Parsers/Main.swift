import Base
import Glibc

/// `FuzzParsers [--inputs N] [--seconds N] [--seed N] [--corpus FOLDER] [--parser NAME] [--current FILE]`:
/// feeds every parser that reads what others have written. First what the corpus has, then changes of that at
/// random, so many or for so long for each parser. The input that is being tried stands in a file, so it is
/// there after a trap.
@main
struct Main {
    private var inputs = 100_000
    private var seconds = Double.infinity
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
            case "--seconds": program.seconds = Double(value) ?? 0
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
            switch feed(parser) {
            case .fault(let fault):
                print("parser \(parser.name): \(fault)")
                failed += 1
            case .clean(let count, let rate):
                print("parser \(parser.name): \(count) inputs, \(rate) a second")
                passed += 1
            }
            fflush(nil)
        }
        print("\(passed) passed, \(failed) failed")
        return failed == 0 && passed > 0
    }

    private enum Outcome {
        case clean(count: Int, rate: Int)
        case fault(String)
    }

    /// Bytes by which a process may grow once it has done a tenth of its work.
    private static let growthLimit = 64 << 20

    private func feed(_ parser: Parser) -> Outcome {
        let begin = parser.seeds + files(of: parser.name)
        let current = Current(path: current)
        defer { current.remove() }
        var mutator = ByteMutator(seed: seed, words: parser.words)
        let start = Main.now()
        var number = 0
        var memory: Int?
        while number < begin.count + inputs {
            let input = number < begin.count ? begin[number] : mutator.change(begin)
            current.set(input)
            if let fault = parser.check(input) {
                return .fault("\(fault); input number \(number): \(input)")
            }
            number += 1
            guard number % 64 == 0 else { continue }
            let elapsed = Main.now() - start
            if memory == nil, number > inputs / 10 || elapsed > seconds / 10 { memory = Main.residentBytes() }
            if elapsed > seconds, number >= begin.count { break }
        }
        if let memory, Main.residentBytes() > memory + Main.growthLimit {
            return .fault("memory has grown from \(memory) to \(Main.residentBytes()) bytes")
        }
        return .clean(count: number, rate: Int(Double(number) / max(Main.now() - start, 0.001)))
    }

    /// Seconds that never go back.
    private static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    private static func residentBytes() -> Int {
        guard let file = fopen("/proc/self/statm", "r") else { return 0 }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = fread(&bytes, 1, bytes.count, file)
        let words = String(decoding: bytes.prefix(count), as: UTF8.self).split(separator: " ")
        return words.count > 1 ? (Int(words[1]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
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
