import Testing

@testable import Metrics

/// The two text formats, byte by byte.
@Suite struct TextFormatTests {
    private static var families: [MetricFamily] {
        var queries = MetricFamily("x_queries", .counter, "Queries,\na \"lot\" of \\ them.")
        queries.add(3, [.init("database", "a\"b\\c\nd")])
        queries.add(0.25, [.init("database", "é")])
        queries.add(nil, [.init("database", "unknown")])
        var up = MetricFamily("x_up", .gauge, "Up.")
        up.add(1)
        var time = MetricFamily("x_seconds", .histogram, "Times.")
        time.add(2, [.init("le", "0.000128")], suffix: "_bucket")
        time.add(3, [.init("le", "+Inf")], suffix: "_bucket")
        time.add(1e-6, suffix: "_sum")
        time.add(3, suffix: "_count")
        return [queries, up, MetricFamily("x_empty", .gauge, "Nobody has one."), time]
    }

    @Test func classic() {
        #expect(
            TextFormat.classic.text(Self.families) == #"""
                # HELP x_queries_total Queries,\na "lot" of \\ them.
                # TYPE x_queries_total counter
                x_queries_total{database="a\"b\\c\nd"} 3
                x_queries_total{database="é"} 0.25
                # HELP x_up Up.
                # TYPE x_up gauge
                x_up 1
                # HELP x_seconds Times.
                # TYPE x_seconds histogram
                x_seconds_bucket{le="0.000128"} 2
                x_seconds_bucket{le="+Inf"} 3
                x_seconds_sum 1e-06
                x_seconds_count 3

                """#)
    }

    @Test func openMetrics() {
        #expect(
            TextFormat.openMetrics.text(Self.families) == #"""
                # HELP x_queries Queries,\na \"lot\" of \\ them.
                # TYPE x_queries counter
                x_queries_total{database="a\"b\\c\nd"} 3
                x_queries_total{database="é"} 0.25
                # HELP x_up Up.
                # TYPE x_up gauge
                x_up 1
                # HELP x_seconds Times.
                # TYPE x_seconds histogram
                x_seconds_bucket{le="0.000128"} 2
                x_seconds_bucket{le="+Inf"} 3
                x_seconds_sum 1e-06
                x_seconds_count 3
                # EOF

                """#)
    }

    @Test func numbers() {
        #expect(TextFormat.number(9_007_199_254_740_991) == "9007199254740991")
        #expect(TextFormat.number(-2) == "-2")
        #expect(TextFormat.number(.infinity) == "+Inf")
        #expect(TextFormat.number(-.infinity) == "-Inf")
        #expect(TextFormat.number(.nan) == "NaN")
        #expect(Double(TextFormat.number(1e300)) == 1e300)
    }

    /// Prometheus refuses an answer that has the same labels twice.
    @Test func labelsAreThereOnce() {
        var family = MetricFamily("x", .gauge, "X.")
        family.add(1, [.init("a", "1"), .init("b", "2")])
        family.add(2, [.init("a", "1"), .init("b", "2")])
        family.add(3, [.init("a", "1"), .init("b", "3")])
        #expect(family.samples.map(\.value) == [1, 3])
    }

    @Test(arguments: [
        ("", false), ("*/*", false), ("text/plain", false),
        ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", false),
        ("application/openmetrics-text", true),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", true),
        ("application/openmetrics-text;version=2.0.0", false),
        ("application/openmetrics-text;q=0", false),
        ("application/openmetrics-text;q=0.2,text/plain;q=0.5", false),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
                + "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,"
                + "text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            true
        ),
    ])
    func theClientChooses(accept: String, isOpen: Bool) {
        let format = TextFormat(accept: accept)
        #expect((format == .openMetrics) == isOpen)
        #expect(format.contentType.hasPrefix(isOpen ? "application/openmetrics-text" : "text/plain"))
    }
}
