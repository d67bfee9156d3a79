/// Numbers as people read them.
enum Units {
    /// "850us", "12.3ms", "4.5s", "12m", "3h", "2d": three places or less.
    static func duration(microseconds: UInt64) -> String {
        let value = Double(microseconds)
        return switch microseconds {
        case 0..<1_000: "\(microseconds)us"
        case 1_000..<1_000_000: "\(short(value / 1e3))ms"
        case 1_000_000..<120_000_000: "\(short(value / 1e6))s"
        case 120_000_000..<7_200_000_000: "\(microseconds / 60_000_000)m"
        case 7_200_000_000..<172_800_000_000: "\(microseconds / 3_600_000_000)h"
        case _: "\(microseconds / 86_400_000_000)d"
        }
    }

    /// The same of a clock that knows no microseconds: "0ms".
    static func duration(milliseconds: UInt64) -> String {
        milliseconds == 0
            ? "0ms" : duration(microseconds: milliseconds.multipliedReportingOverflow(by: 1_000).partialValue)
    }

    /// "950", "12.3k", "4.5M".
    static func count(_ number: Double) -> String {
        switch number {
        case ..<10: number == number.rounded() ? "\(Int(number))" : tenths(number)
        case ..<10_000: "\(Int(number.rounded()))"
        case ..<1e6: "\(short(number / 1e3))k"
        case ..<1e9: "\(short(number / 1e6))M"
        case _: "\(short(number / 1e9))G"
        }
    }

    /// "512B", "1.5kB", "3.2GB"; thousands, as rates of networks are given.
    static func bytes(_ number: UInt64) -> String {
        let value = Double(number)
        return switch number {
        case 0..<1_000: "\(number)B"
        case 1_000..<1_000_000: "\(short(value / 1e3))kB"
        case 1_000_000..<1_000_000_000: "\(short(value / 1e6))MB"
        case 1_000_000_000..<1_000_000_000_000: "\(short(value / 1e9))GB"
        case _: "\(short(value / 1e12))TB"
        }
    }

    /// One decimal below 100, none from there on.
    private static func short(_ value: Double) -> String {
        value < 99.95 ? tenths(value) : "\(Int(value.rounded()))"
    }

    private static func tenths(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(tenths % 10)"
    }
}
