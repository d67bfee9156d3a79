import Config
import Glibc
import System
import Testing

@testable import sluicectl

@Suite struct PlaceTests {
    private func settings(_ change: (inout Settings) -> Void) -> Settings {
        var settings = Settings()
        change(&settings)
        return settings
    }

    @Test func theDefaultsNameAPlace() {
        #expect(ControlPlace(Settings()) == ControlPlace(folder: "/tmp/.pgsluice.6432", port: 6432))
    }

    @Test func theFolderIsTheOneThatSettingsName() {
        let named = settings {
            $0.controlDirectory = "/run/control"
            $0.listenPort = 7000
            $0.user = "pooler"
        }
        #expect(ControlPlace(named) == ControlPlace(folder: "/run/control", port: 7000, owner: "pooler"))
        #expect(ControlPlace(named)?.socket == "/run/control/.s.PGSQL.7000")
        let beside = settings {
            $0.unixSocketDirectory = "@abstract"
            $0.pidFile = "/run/pooler/pid"
        }
        #expect(ControlPlace(beside)?.folder == "/run/pooler/.pgsluice.6432")
        #expect(ControlPlace(settings { $0.unixSocketDirectory = "" }) == nil)
        let here = settings {
            $0.unixSocketDirectory = ""
            $0.pidFile = "pid"
        }
        #expect(here.controlFolder == ".pgsluice.6432")
    }

    @Test func theNameOfTheSocketSaysItsPort() throws {
        let place = try ControlPlace(folder: "/c", names: [".", "..", "lock", ".s.PGSQL.6000", ".s.PGSQL.x"])
        #expect(place == ControlPlace(folder: "/c", port: 6000))
        #expect(throws: Failure.self) { try ControlPlace(folder: "/c", names: [".", ".."]) }
        do {
            _ = try ControlPlace(folder: "/c", names: [".s.PGSQL.1", ".s.PGSQL.2"])
            Issue.record("two are too many")
        } catch { #expect(error.status == .usage) }
    }

    @Test func aFileSaysWhereItsInstanceIs() throws {
        var template = Array("/tmp/sluicectl-test.XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { unlink(path) }
        let text = "[databases]\na = host=/x\n[pgbouncer]\nlisten_port = 7001\nunix_socket_dir = /run/p\n"
        try Descriptors.writeAll(descriptor, Array((text + "auth_type = any\nauth_file = \(path)\n").utf8))
        #expect(try ControlPlace(file: path) == ControlPlace(folder: "/run/p/.pgsluice.7001", port: 7001))
        try Descriptors.writeAll(descriptor, Array("pool_mode = x\n".utf8))
        Descriptors.close(descriptor)
        do {
            _ = try ControlPlace(file: path)
            Issue.record("a file with errors names no place")
        } catch {
            #expect(error.status == .usage && error.message.contains("\(path):8: pool_mode"), "\(error)")
        }
        #expect(throws: Failure.self) { try ControlPlace(file: path + ".none") }
    }

    // MARK: Whom we talk to

    @Test func onlyRootOurselvesAndTheNamedUserAreTrusted() throws {
        let ends = try Socket.pair(.stream, nonBlocking: true)
        defer {
            Descriptors.close(ends.0)
            Descriptors.close(ends.1)
        }
        let peer = try #require(Socket.peerCredentials(of: ends.0))
        #expect(try Trust(users: [geteuid()]).checked(peer, at: "s") == peer)
        for (trust, who) in [(Trust(users: [geteuid() + 1]), peer), (Trust(users: [0]), nil)] {
            do {
                _ = try trust.checked(who, at: "s")
                Issue.record("nobody to be trusted")
            } catch { #expect(error.status == .notTrusted && error.message.contains("nothing was sent")) }
        }
        #expect(try Trust(owner: nil, isDemanded: false).users == [0, geteuid()])
        #expect(try Trust(owner: "no such user", isDemanded: false).users == [0, geteuid()])
        #expect(throws: Failure.self) { try Trust(owner: "no such user", isDemanded: true) }
        let nobody = try #require(Accounts.user(named: "nobody"))
        #expect(try Trust(owner: "nobody", isDemanded: true).users == [0, geteuid(), nobody.id])
    }
}
