import CLinux
import Glibc

/// Clocks, in nanoseconds.
public enum Clock {
    /// Time since some fixed moment; never set back. About 20 ns to read.
    public static var monotonicNanoseconds: UInt64 { read(CLOCK_MONOTONIC) }

    /// Time since 1970 in UTC; an operator may set it.
    public static var realNanoseconds: UInt64 { read(CLOCK_REALTIME) }

    private static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(clock, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }
}

/// A moment as people of this machine's time zone write it.
public struct LocalTime: Equatable, Sendable {
    /// The full year.
    public let year: Int32
    /// 1…12.
    public let month: Int32
    public let day: Int32
    public let hour: Int32
    public let minute: Int32
    public let second: Int32
    public let millisecond: Int32
    /// The abbreviation of the zone: "UTC", "CEST".
    public let zone: String
    /// How many seconds the zone is ahead of UTC.
    public let offsetSeconds: Int

    /// The moment that many nanoseconds after 1970 began in UTC.
    public init(realNanoseconds: UInt64) {
        var seconds = time_t(realNanoseconds / 1_000_000_000)
        var parts = unsafe tm()
        unsafe localtime_r(&seconds, &parts)
        year = unsafe parts.tm_year + 1900
        month = unsafe parts.tm_mon + 1
        day = unsafe parts.tm_mday
        hour = unsafe parts.tm_hour
        minute = unsafe parts.tm_min
        second = unsafe parts.tm_sec
        offsetSeconds = unsafe parts.tm_gmtoff
        millisecond = Int32(realNanoseconds / 1_000_000 % 1000)
        if let name = unsafe parts.tm_zone { zone = unsafe String(cString: name) } else { zone = "" }
    }

    /// "2026-07-10 12:34:56".
    public var dateAndTime: String {
        "\(year)-\(two(month))-\(two(day)) \(two(hour)):\(two(minute)):\(two(second))"
    }

    /// "2026-07-10T12:34:56".
    public var isoDateAndTime: String {
        "\(year)-\(two(month))-\(two(day))T\(two(hour)):\(two(minute)):\(two(second))"
    }

    /// The zone as ISO 8601 writes it: "+02:00".
    public var isoOffset: String {
        let minutes = Int32(abs(offsetSeconds) / 60)
        return "\(offsetSeconds < 0 ? "-" : "+")\(two(minutes / 60)):\(two(minutes % 60))"
    }

    /// "2026-07-10 12:34:56.789 UTC", as log lines begin.
    public var logStamp: String {
        let digits = String(1000 + millisecond).dropFirst()
        return "\(dateAndTime).\(digits) \(zone)"
    }

    private func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
}
