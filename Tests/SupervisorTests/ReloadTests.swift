import Glibc
import System
import Testing

@Suite struct ReloadTests {
    @Test func aGoodConfigurationReachesEveryWorker() throws {
        let instance = try Instance("default_pool_size = 7")
        #expect(try instance.ask("setting default_pool_size", worker: 0) == "7")
        try instance.write("default_pool_size = 8")
        instance.send(SIGHUP)
        try instance.waitForLog("reload done")
        for index in 0..<2 { #expect(try instance.ask("setting default_pool_size", worker: index) == "8") }
        #expect(instance.log.contains("default_pool_size changes from \"7\" to \"8\""))
    }

    @Test func aBrokenConfigurationChangesNothing() throws {
        let instance = try Instance("default_pool_size = 7")
        try instance.write("default_pool_size = 8\nno_such_setting = 1")
        instance.send(SIGHUP)
        try instance.waitForLog("reload failed, the old configuration stays in force")
        #expect(instance.log.contains("\(instance.file):13"))
        #expect(try instance.ask("setting default_pool_size", worker: 0) == "7")
        _ = try? instance.ask("exit 1", worker: 0)
        try eventually("a new worker has the old configuration") {
            (try? instance.ask("setting default_pool_size", worker: 0)) == "7"
        }
    }

    @Test func aCheckThatCrashesChangesNothing() throws {
        let instance = try Instance()
        try FileSystem.create(instance.file + ".crash", [], mode: 0o644)
        instance.send(SIGHUP)
        try instance.waitForLog("the check of the configuration killed by signal 6 (ABRT)")
        #expect(try instance.ask("index", worker: 0) == "0")
        try FileSystem.remove(instance.file + ".crash")
        instance.send(SIGHUP)
        try instance.waitForLog("reload done")
    }

    @Test func whatNeedsARestartIsSaid() throws {
        let instance = try Instance("disable_pqexec = 0")
        try instance.write("disable_pqexec = 1")
        instance.send(SIGHUP)
        try instance.waitForLog("reload done")
        #expect(instance.log.contains("disable_pqexec stays \"0\": a restart is needed"))
    }

    @Test func theLogFileIsOpenedAnew() throws {
        let instance = try Instance(start: false)
        let logFile = "\(instance.folder)/other.log"
        defer { for name in [logFile, logFile + ".1"] { try? FileSystem.remove(name) } }
        try instance.write("logfile = \(logFile)")
        try instance.start()
        rename(logFile, logFile + ".1")
        instance.send(SIGHUP)
        try instance.waitForLog("reload done")
        try eventually("the new file is written") {
            String(decoding: try FileSystem.read(logFile), as: UTF8.self).contains("reload done")
        }
    }
}
