import Testing

@testable import sluicectl

@Suite struct UnitsTests {
    @Test(
        arguments: [
            (0, "0us"), (999, "999us"), (1_000, "1ms"), (1_250, "1.3ms"), (99_940, "99.9ms"),
            (99_960, "100ms"),
            (1_000_000, "1s"), (4_520_000, "4.5s"), (119_999_999, "120s"), (120_000_000, "2m"),
            (7_199_000_000, "119m"), (7_200_000_000, "2h"), (172_800_000_000, "2d"),
        ] as [(UInt64, String)])
    func durationsAreShort(microseconds: UInt64, text: String) {
        #expect(Units.duration(microseconds: microseconds) == text)
        #expect(
            Units.duration(milliseconds: microseconds / 1000) == text || microseconds % 1000 != 0
                || microseconds == 0)
        #expect(Units.duration(milliseconds: 0) == "0ms")
    }

    @Test(arguments: [
        (0, "0"), (0.44, "0.4"), (5, "5"), (9.96, "10"), (250.4, "250"), (9_999, "9999"), (12_345, "12.3k"),
        (2_500_000, "2.5M"), (3e9, "3G"),
    ])
    func countsAreShort(number: Double, text: String) {
        #expect(Units.count(number) == text)
    }

    @Test(arguments: [
        (0, "0B"), (999, "999B"), (1_500, "1.5kB"), (2_000_000, "2MB"), (3_200_000_000, "3.2GB"),
    ])
    func bytesAreShort(number: UInt64, text: String) {
        #expect(Units.bytes(number) == text)
    }
}
