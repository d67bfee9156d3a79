import ArgumentParser
import Glibc
import System

/// How an answer is to be printed.
struct OutputOptions: ParsableArguments {
    @Flag(name: .long, help: "Print JSON, with every column and no units.")
    var json = false

    /// Prints one or the other.
    func emit(json document: @autoclosure () -> JSONValue, text lines: @autoclosure () -> [String])
        throws(Failure)
    {
        if json {
            print(try document().document())
        } else {
            for line in lines() { print(line) }
        }
    }
}

/// Says something on standard error, after what was printed before.
func complain(_ text: String) {
    fflush(nil)
    try? Descriptors.writeAll(2, Array((text + "\n").utf8))
}
