import Base
import Testing

@testable import Config

@Suite struct ImageTests {
    private let image = ConfigurationImage(path: "a.ini", listenersArePassed: true) { path in
        [
            "a.ini": "[pgbouncer]\n%include b.ini\n%include b.ini\nlisten_port = 7001",
            "b.ini": "auth_file = users",
            "users": "\"u\" \"p\"", "other": "",
        ][path].map { Array($0.utf8) }
    }

    @Test func holdsEachFileOnceAndTheUserList() {
        #expect(image.files.map(\.path) == ["a.ini", "b.ini", "users"])
        #expect(image.bytes(of: "users") == Array("\"u\" \"p\"".utf8))
        #expect(image.bytes(of: "other") == nil)
    }

    @Test func comesBackFromItsBytes() throws {
        let decoded = try ConfigurationImage(decoding: image.encode())
        #expect(decoded == image)
        #expect(Configuration.parse(decoded).configuration == Configuration.parse(image).configuration)
        #expect(Configuration.parse(decoded).configuration?.settings.listenPort == 7001)
    }

    @Test func aSettingIsOverriddenWhateverTheFilesSay() throws {
        var changed = image
        changed.override("listen_port", with: "7002")
        changed.override("listen_port", with: "7003")
        changed.override("pool_mode", with: "statement")
        let decoded = try ConfigurationImage(decoding: changed.encode())
        #expect(decoded == changed && decoded.overrides.count == 2)
        let settings = Configuration.parse(decoded).configuration?.settings
        #expect(settings?.listenPort == 7003 && settings?.poolMode == .statement)
        changed.override("nothing", with: "1")
        let errors = Configuration.parse(changed).errors
        #expect(errors.count == 1 && errors[0].description.hasPrefix("SET: unknown setting"))
    }

    /// Every prefix that does not end where a file ends is damaged, and none traps.
    @Test func cutBytesAreRefused() {
        let bytes = image.encode()
        var accepted = 0
        for count in 0..<bytes.count {
            if let short = try? ConfigurationImage(decoding: Array(bytes.prefix(count))) {
                accepted += 1
                #expect(short.files == Array(image.files.prefix(short.files.count)))
            }
        }
        #expect(accepted == image.files.count)
    }

    @Test(arguments: 0..<200 as Range<UInt64>)
    func changedBytesNeverTrap(seed: UInt64) {
        var random = Random(seed: seed)
        var bytes = image.encode()
        for _ in 0..<3 { bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next()) }
        if let decoded = try? ConfigurationImage(decoding: bytes) { _ = Configuration.parse(decoded) }
    }
}
