// swift-tools-version: 6.2
import PackageDescription

/// `_GNU_SOURCE` must agree between every C module and every Swift target, or glibc's types clash.
let gnuSource: SwiftSetting = .unsafeFlags(["-Xcc", "-D_GNU_SOURCE=1"])

let rules: [SwiftSetting] = [
    gnuSource,
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableExperimentalFeature("Lifetimes"),
]

/// Tests handle raw bytes and C interfaces all the time; marking each as unsafe would tell nobody anything.
let testRules: [SwiftSetting] = [
    gnuSource,
    .treatAllWarnings(as: .error),
    .enableExperimentalFeature("Lifetimes"),
]

let cRules: [CSetting] = [.define("_GNU_SOURCE", to: "1")]

func c(_ name: String, link: [LinkerSetting] = []) -> Target {
    .target(name: name, path: "CModules/\(name)", cSettings: cRules, linkerSettings: link)
}

func swift(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, path: "Sources/\(name)", swiftSettings: rules)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
    .testTarget(
        name: name, dependencies: dependencies, path: "Tests/\(name)", resources: resources,
        swiftSettings: testRules)
}

/// A program of the benchmark kit: like tests it handles raw bytes all the time, and it is never installed.
func benchmark(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(
        name: name, dependencies: dependencies, path: "Tests/Benchmarks/\(name)", swiftSettings: testRules)
}

let package = Package(
    name: "pgsluice",
    products: [
        .executable(name: "pgsluice", targets: ["pgsluice"]),
        .executable(name: "pgsluice-web", targets: ["pgsluice-web"]),
        .executable(name: "sluicectl", targets: ["sluicectl"]),
    ],
    dependencies: [
        // For sluicectl alone.
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        // For pgsluice-web alone, which is a process of its own.
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
    ],
    targets: [
        // C shims: vetted calls and constants, no logic.
        c("CURing", link: [.linkedLibrary(":liburing.a")]),
        c("CLinux"),
        c("CAuth"),
        c("COpenSSL", link: [.linkedLibrary("ssl"), .linkedLibrary("crypto")]),
        c("CShared"),
        c("CLibPQ", link: [.linkedLibrary("pq")]),

        // Pure: no system calls, no clock, no globals.
        swift("Base", []),
        swift("Wire", ["Base"]),
        swift("Crypto", ["Base", "COpenSSL"]),
        swift("Auth", ["Base", "Wire", "Crypto"]),
        swift("Config", ["Base"]),
        swift("SharedState", ["Base", "CShared"]),
        swift("PoolCore", ["Base", "Wire", "Auth", "Config", "SharedState"]),
        swift("Console", ["Base", "Wire", "Config", "SharedState"]),

        // Bytes in, bytes out.
        swift("TLS", ["Base", "Config", "COpenSSL"]),

        // Touching the machine.
        swift("System", ["Base", "CAuth", "CLinux"]),
        swift("EventLoop", ["Base", "System", "CURing"]),
        swift(
            "Worker",
            [
                "Base", "Wire", "Crypto", "Auth", "Config", "SharedState", "PoolCore", "System", "EventLoop",
                "TLS",
            ]),
        swift("Supervisor", ["Base", "System", "Config", "SharedState", "Console", "Wire"]),
        swift("Validator", ["Base", "Config", "Auth", "System", "TLS"]),
        .executableTarget(
            name: "pgsluice",
            dependencies: ["Base", "System", "Config", "Supervisor", "Validator", "Worker"],
            path: "Sources/pgsluice", swiftSettings: rules),
        .executableTarget(
            name: "sluicectl",
            dependencies: [
                "Base", "CLibPQ", "Config", "System",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Sources/sluicectl", swiftSettings: rules),

        // Metrics: a client of the control socket, outside the data path.
        swift("Metrics", []),
        .executableTarget(
            name: "pgsluice-web",
            dependencies: [
                "CLibPQ", "Metrics",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
            ],
            path: "Sources/Web", swiftSettings: rules),

        tests("BaseTests", ["Base"]),
        tests("WireTests", ["Base", "Wire"]),
        tests("CryptoTests", ["Base", "Crypto"]),
        tests("TLSTests", ["Base", "TLS"]),
        tests("AuthTests", ["Base", "Wire", "Crypto", "Auth"]),
        tests("ConfigTests", ["Base", "Config"]),
        .target(name: "Coroutine", path: "Tests/Explorer/Coroutine", cSettings: cRules),
        .target(
            name: "Explorer", dependencies: ["Base", "SharedState", "CShared", "Coroutine"],
            path: "Tests/Explorer/Explorer",
            // An access that is under way when a coroutine stops would be taken for another one's; and
            // millions of steps are to be made in unit tests too.
            swiftSettings: testRules + [.unsafeFlags(["-enforce-exclusivity=unchecked", "-O"])]),
        tests("SharedStateTests", ["Base", "CShared", "Explorer", "SharedState", "System"]),
        .target(
            name: "FuzzSupport", dependencies: ["Base", "Crypto", "Auth"], path: "Tests/Fuzz/Support",
            swiftSettings: testRules),
        .executableTarget(
            name: "Fuzz", dependencies: ["BenchmarkSupport", "CLinux", "FuzzSupport"],
            path: "Tests/Fuzz/Program", swiftSettings: testRules),
        .executableTarget(
            name: "FuzzParsers",
            dependencies: ["Auth", "Base", "COpenSSL", "Config", "Console", "System", "TLS", "Wire"],
            path: "Tests/Fuzz/Parsers", swiftSettings: testRules),
        .target(
            name: "RigSupport",
            dependencies: ["Auth", "Base", "Config", "FuzzSupport", "PoolCore", "SharedState", "Wire"],
            path: "Tests/Fuzz/Rig",
            // Millions of events are to be played.
            swiftSettings: testRules + [.unsafeFlags(["-enforce-exclusivity=unchecked"])]),
        .executableTarget(
            name: "FuzzCore", dependencies: ["RigSupport"], path: "Tests/Fuzz/Core",
            swiftSettings: testRules),
        tests(
            "PoolCoreTests",
            [
                "Base", "Wire", "Auth", "Config", "SharedState", "PoolCore", "FuzzSupport", "RigSupport",
            ]),
        tests("ConsoleTests", ["Base", "Wire", "Config", "SharedState", "Console"]),
        tests("MetricsTests", ["Metrics"]),
        tests("SystemTests", ["Base", "System"]),
        tests("EventLoopTests", ["Base", "System", "EventLoop"]),
        .executableTarget(
            name: "SupervisorHost",
            dependencies: ["Base", "System", "Config", "SharedState", "Supervisor", "Validator"],
            path: "Tests/SupervisorHost", swiftSettings: testRules),
        tests(
            "SupervisorTests",
            ["Base", "System", "Config", "SharedState", "Console", "Supervisor", "SupervisorHost"]),
        tests("SluicectlTests", ["Base", "Config", "Supervisor", "System", "sluicectl"]),
        tests("Integration", ["CLibPQ", "CShared", "Base", "SharedState", "sluicectl"]),

        .target(
            name: "BenchmarkSupport",
            dependencies: ["Base", "CLinux", "Config", "COpenSSL", "System", "TLS"],
            path: "Tests/Benchmarks/Support",
            swiftSettings: testRules),
        benchmark(
            "NullPostgres", ["Base", "BenchmarkSupport", "CLinux", "COpenSSL", "Config", "System", "TLS"]),
        benchmark("Forwarder", ["BenchmarkSupport", "CLinux"]),
        benchmark(
            "LoadGenerator",
            ["Auth", "Base", "BenchmarkSupport", "CLinux", "Config", "COpenSSL", "System", "TLS", "Wire"]),
        .testTarget(
            name: "BenchmarkTests", dependencies: ["Base", "BenchmarkSupport"],
            path: "Tests/Benchmarks/Tests",
            swiftSettings: testRules),

        .target(
            name: "Simulator", dependencies: ["Base", "Wire", "Config", "SharedState", "PoolCore"],
            path: "Tests/Simulation/Simulator", swiftSettings: testRules),
        .executableTarget(
            name: "Simulate", dependencies: ["Base", "Explorer", "Simulator"],
            path: "Tests/Simulation/Simulate",
            swiftSettings: testRules),
        .testTarget(
            name: "SimulationTests", dependencies: ["Simulator"], path: "Tests/Simulation/Tests",
            swiftSettings: testRules),
    ]
)
