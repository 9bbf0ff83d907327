/// The text that a scraper reads. Both formats come from the same families; order is that of the families, and inside
/// one that of the label values, so that two scrapes of equal counters are equal byte for byte.
package enum TextExposition: Sendable, Hashable, CaseIterable {
  /// Prometheus text format 0.0.4.
  case prometheus
  /// OpenMetrics 1.0.0: a counter's metadata bears the name without `_total`, and the text ends with `# EOF`.
  case openMetrics

  package var contentType: String {
    switch self {
    case .prometheus: "text/plain; version=0.0.4; charset=utf-8"
    case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
    }
  }

  package func text(_ families: [MetricFamily]) -> String {
    var out = ""
    for family in families {
      // A family whose name or labels are not legal would spoil the whole page for a strict reader.
      guard Self.isName(family.name), family.labels.allSatisfy(Self.isLabel) else { continue }
      let head = self == .prometheus ? family.sampleName : family.name
      out += "# HELP \(head) \(self.escapedHelp(family.help))\n# TYPE \(head) \(family.kind.rawValue)\n"
      for series in family.series.sorted(by: { $0.labels.lexicographicallyPrecedes($1.labels) }) {
        guard series.labels.count == family.labels.count else { continue }
        guard case .histogram(let histogram) = series.value else {
          out += "\(family.sampleName)\(Self.braced(Self.labels(family, series))) \(series.value.text)\n"
          continue
        }
        let labels = Self.labels(family, series)
        for bucket in histogram.buckets {
          let all = "\(labels)\(labels.isEmpty ? "" : ",")le=\"\(self.bound(bucket.bound))\""
          out += "\(family.name)_bucket{\(all)} \(bucket.count)\n"
        }
        out += "\(family.name)_sum\(Self.braced(labels)) \(MetricValue.real(histogram.sum).text)\n"
        out += "\(family.name)_count\(Self.braced(labels)) \(histogram.count)\n"
      }
    }
    if self == .openMetrics { out += "# EOF\n" }
    return out
  }

  /// OpenMetrics wants floating point numbers there.
  private func bound(_ text: String) -> String {
    self == .openMetrics && text.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 } ? "\(text).0" : text
  }

  private static func labels(_ family: MetricFamily, _ series: MetricSeries) -> String {
    zip(family.labels, series.labels).map { "\($0)=\"\(self.escaped($1))\"" }.joined(separator: ",")
  }

  private static func braced(_ labels: String) -> String { labels.isEmpty ? "" : "{\(labels)}" }

  /// Backslash, quote and line feed; other control characters cannot harm a line.
  package static func escaped(_ value: String) -> String {
    guard value.utf8.contains(where: { $0 == 0x5c || $0 == 0x22 || $0 == 0x0a }) else { return value }
    var out = ""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\\": out += "\\\\"
      case "\"": out += "\\\""
      case "\n": out += "\\n"
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out
  }

  /// Format 0.0.4 escapes no quotes in HELP, OpenMetrics does.
  private func escapedHelp(_ help: String) -> String {
    var out = ""
    for scalar in help.unicodeScalars {
      switch scalar {
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\"" where self == .openMetrics: out += "\\\""
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out
  }

  package static func isName(_ text: String) -> Bool { self.isWord(text, allowColon: true) }
  package static func isLabel(_ text: String) -> Bool {
    self.isWord(text, allowColon: false) && !text.hasPrefix("__")
  }

  private static func isWord(_ text: String, allowColon: Bool) -> Bool {
    guard let first = text.utf8.first, !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) else { return false }
    return text.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
        true
      case UInt8(ascii: ":"): allowColon
      default: false
      }
    }
  }
}

extension TextExposition {
  /// What an `Accept` header asks for (RFC 9110, section 12.5.1): OpenMetrics only where it is named and weighs at least
  /// as much as plain text; everything else, nonsense included, gets the older format, as Prometheus's own clients do.
  package static func negotiated(accept: String?) -> TextExposition {
    guard let accept, accept.utf8.count <= 1024 else { return .prometheus }
    var openMetrics = 0
    var plain = 0
    for range in accept.split(separator: ",") {
      let parts = range.split(separator: ";").map { Self.trimmed($0).lowercased() }
      guard let type = parts.first else { continue }
      var weight = 1000
      var version: String?
      for parameter in parts.dropFirst() {
        if parameter.hasPrefix("q=") { weight = Self.weight(parameter.dropFirst(2)) }
        if parameter.hasPrefix("version=") { version = String(parameter.dropFirst(8)) }
      }
      switch type {
      case "application/openmetrics-text" where version == nil || version == "1.0.0":
        openMetrics = max(openMetrics, weight)
      case "text/plain" where version == nil || version == "0.0.4": plain = max(plain, weight)
      default: break
      }
    }
    return openMetrics > 0 && openMetrics >= plain ? .openMetrics : .prometheus
  }

  private static func trimmed(_ text: Substring) -> String {
    let inner = text.drop { $0 == " " || $0 == "\t" }
    return String(inner.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
  }

  /// `0`, `0.5`, `1.000` in thousandths; what is no weight is 0.
  private static func weight(_ text: some StringProtocol) -> Int {
    let bytes = Array(text.utf8)
    guard (1...5).contains(bytes.count), bytes[0] == UInt8(ascii: "0") || bytes[0] == UInt8(ascii: "1") else {
      return 0
    }
    var value = bytes[0] == UInt8(ascii: "1") ? 1000 : 0
    guard bytes.count > 1 else { return value }
    guard bytes[1] == UInt8(ascii: ".") else { return 0 }
    var scale = 100
    for byte in bytes[2...] {
      guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return 0 }
      value += Int(byte - UInt8(ascii: "0")) * scale
      scale /= 10
    }
    return min(value, 1000)
  }
}
