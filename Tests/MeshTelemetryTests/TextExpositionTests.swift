import Testing

@testable import MeshTelemetry

@Suite struct TextExpositionTests {
  private let families = [
    MetricFamily(
      .counter, "mesh_things", "Things with \"quotes\", a \\ and\na line feed.", labels: ["kind"],
      series: [MetricSeries(["b\"\\\n"], .integer(.max)), MetricSeries(["a"], .integer(1))]),
    MetricFamily.single(.gauge, "mesh_age_seconds", "Age.", .real(0.5)),
    MetricFamily(.gauge, "mesh_empty", "None.", labels: ["x"]),
  ]

  @Test("format 0.0.4, byte for byte")
  func prometheus() {
    #expect(
      TextExposition.prometheus.text(self.families) == #"""
        # HELP mesh_things_total Things with "quotes", a \\ and\na line feed.
        # TYPE mesh_things_total counter
        mesh_things_total{kind="a"} 1
        mesh_things_total{kind="b\"\\\n"} 18446744073709551615
        # HELP mesh_age_seconds Age.
        # TYPE mesh_age_seconds gauge
        mesh_age_seconds 0.5
        # HELP mesh_empty None.
        # TYPE mesh_empty gauge

        """#)
  }

  @Test("OpenMetrics, byte for byte")
  func openMetrics() {
    #expect(
      TextExposition.openMetrics.text(self.families) == #"""
        # HELP mesh_things Things with \"quotes\", a \\ and\na line feed.
        # TYPE mesh_things counter
        mesh_things_total{kind="a"} 1
        mesh_things_total{kind="b\"\\\n"} 18446744073709551615
        # HELP mesh_age_seconds Age.
        # TYPE mesh_age_seconds gauge
        mesh_age_seconds 0.5
        # HELP mesh_empty None.
        # TYPE mesh_empty gauge
        # EOF

        """#)
  }

  @Test("any label value comes back from both formats", arguments: TextExposition.allCases)
  func escaping(format: TextExposition) throws {
    let alphabet: [Unicode.Scalar] = [
      "\\", "\"", "\n", "n", "a", ",", "}", "{", "=", " ", "é", "\u{1f426}", "\u{301}", "\r",
    ]
    var generator = SystemRandomNumberGenerator()
    var values: Set<String> = []
    for _ in 0..<300 {
      var value = String.UnicodeScalarView()
      for _ in 0..<Int.random(in: 0...8, using: &generator) {
        value.append(alphabet[Int.random(in: 0..<alphabet.count, using: &generator)])
      }
      values.insert(String(value))
    }
    // Canonically equal strings are one Set member, so what goes in comes out under string equality as well.
    let family = MetricFamily(
      .gauge, "g", "h", labels: ["l"], series: values.map { MetricSeries([$0], .integer(1)) })
    let page = try ExpositionParser(format.text([family]), openMetrics: format == .openMetrics)
    #expect(Set(page.samples.compactMap { $0.labels["l"] }) == values)
  }

  @Test("families and series that no reader would take are left out instead of spoiling the page")
  func illegal() throws {
    let families = [
      MetricFamily.single(.gauge, "1bad", "x", .integer(1)), MetricFamily.single(.gauge, "b-d", "x", .integer(1)),
      MetricFamily(.gauge, "ok", "x", labels: ["__name__"]), MetricFamily(.gauge, "ok2", "x", labels: ["a:b"]),
      MetricFamily(.gauge, "good", "x", labels: ["a"], series: [MetricSeries([], .integer(1))]),
    ]
    #expect(TextExposition.prometheus.text(families) == "# HELP good x\n# TYPE good gauge\n")
  }

  @Test("numbers are written as readers expect")
  func numbers() {
    #expect(MetricValue.real(.nan).text == "NaN")
    #expect(MetricValue.real(.infinity).text == "+Inf")
    #expect(MetricValue.real(-.infinity).text == "-Inf")
    #expect(MetricValue.real(1e-9).text == "1e-09")
  }

  @Test(
    "the format follows the Accept header",
    arguments: [
      (nil, .prometheus), ("*/*", .prometheus), ("text/html", .prometheus),
      ("application/openmetrics-text", .openMetrics),
      ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1", .openMetrics),
      ("Application/OpenMetrics-Text ; version=1.0.0 ; charset=utf-8", .openMetrics),
      ("application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5", .prometheus),
      ("application/openmetrics-text;q=0.2,text/plain;q=0.9", .prometheus),
      ("application/openmetrics-text;q=0", .prometheus), ("application/openmetrics-text;q=7", .prometheus),
      (";;,,;q=,", .prometheus),
    ] as [(String?, TextExposition)])
  func negotiation(accept: String?, format: TextExposition) {
    #expect(TextExposition.negotiated(accept: accept) == format)
  }

  @Test("an endless Accept header is not read")
  func longAccept() {
    let accept = String(repeating: "application/openmetrics-text,", count: 100)
    #expect(TextExposition.negotiated(accept: accept) == .prometheus)
  }
}
