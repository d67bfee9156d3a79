import Glibc

/// What the environment asks of this run of the tests.
enum Options {
    /// The program under test: `PGSLUICE_BINARY`, or the release build of this package.
    static let binary = environment("PGSLUICE_BINARY") ?? ".build/release/pgsluice"

    /// Whether the program under test is ours. Another pooler may be run to check the tests themselves; it
    /// knows neither `workers` nor `io_backend`.
    static let isOurs: Bool = {
        let version = try? Child.output(of: [binary, "--version"])
        return version?.contains("pgsluice") ?? true
    }()

    /// `io_uring`, `epoll` or both, from `PGSLUICE_TEST_BACKENDS` (separated by commas).
    static let backends = list("PGSLUICE_TEST_BACKENDS", default: ["io_uring", "epoll"])

    /// Numbers of workers to test with, from `PGSLUICE_TEST_WORKERS`.
    static let workers = list("PGSLUICE_TEST_WORKERS", default: ["1", "4"]).compactMap { Int($0) }

    /// `PGSLUICE_TEST_LARGE=1` adds the tests that move gigabytes.
    static let isLarge = environment("PGSLUICE_TEST_LARGE") == "1"

    /// `PGSLUICE_TEST_DIRECT=1` connects the clients to PostgreSQL itself, to see what a test asks of it.
    /// Only tests that need nothing of the pooler can pass.
    static let isDirect = environment("PGSLUICE_TEST_DIRECT") == "1"

    /// How many tests run at a time. They mostly wait.
    static let parallelism = Int(environment("PGSLUICE_TEST_PARALLEL") ?? "") ?? 4

    /// How long a test waits for something that should have happened at once, in seconds.
    static let patience = Double(environment("PGSLUICE_TEST_PATIENCE") ?? "") ?? 20

    /// How long a login may take beside a worker that is not there, in seconds; `Scripts/storm` is strict.
    static let longestLogin = environment("PGSLUICE_TEST_STORM_SECONDS") != nil ? 1.5 : patience / 2

    /// How long the storm lasts, in seconds.
    static let stormSeconds = Double(environment("PGSLUICE_TEST_STORM_SECONDS") ?? "") ?? 8

    private static func environment(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }

    private static func list(_ name: String, default: [String]) -> [String] {
        environment(name)?.split(separator: ",").map(String.init) ?? `default`
    }
}
