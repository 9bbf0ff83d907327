/// A strict reader of both text formats: the tests' own, so that a page is judged by the grammar and not by the code that
/// wrote it. It enforces what promtool and OpenMetrics's test suite do for counters and gauges.
struct ExpositionParser {
  struct Failure: Error, CustomStringConvertible {
    var line: Int
    var message: String
    var description: String { "line \(self.line): \(self.message)" }
  }

  struct Sample: Hashable {
    var name: String
    var labels: [String: String]
    var value: Double
  }

  var openMetrics: Bool
  private(set) var types: [String: String] = [:]
  private(set) var helps: [String: String] = [:]
  private(set) var samples: [Sample] = []

  init(_ text: String, openMetrics: Bool) throws {
    self.openMetrics = openMetrics
    try self.parse(text)
  }

  func value(_ name: String, _ labels: [String: String] = [:]) -> Double? {
    let found = self.samples.filter { sample in
      sample.name == name && labels.allSatisfy { sample.labels[$0.key] == $0.value }
    }
    return found.count == 1 ? found[0].value : nil
  }

  private mutating func parse(_ text: String) throws {
    guard text.hasSuffix("\n") || text.isEmpty else { throw Failure(line: 0, message: "no final line feed") }
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    lines.removeLast()
    if self.openMetrics {
      guard lines.last == "# EOF" else { throw Failure(line: lines.count, message: "no # EOF") }
      lines.removeLast()
    }
    var current: String?
    var closed: Set<String> = []
    var seen: Set<Sample> = []
    for (index, line) in lines.enumerated() {
      func fail(_ message: String) -> Failure { Failure(line: index + 1, message: "\(message): \(line)") }
      if line.hasPrefix("# ") {
        let words = line.split(separator: " ", maxSplits: 3, omittingEmptySubsequences: false).map(String.init)
        guard words.count == 4 else { throw fail("metadata") }
        let name = words[2]
        if current != name {
          if let current { closed.insert(current) }
          current = name
        }
        guard !closed.contains(name) else { throw fail("family in two places") }
        switch words[1] {
        case "HELP":
          guard self.helps.updateValue(words[3], forKey: name) == nil else { throw fail("second HELP") }
        case "TYPE":
          guard ["counter", "gauge", "histogram"].contains(words[3]) else { throw fail("type") }
          guard self.types.updateValue(words[3], forKey: name) == nil else { throw fail("second TYPE") }
          if words[3] == "counter" {
            guard name.hasSuffix("_total") != self.openMetrics else { throw fail("counter name") }
          }
        default: throw fail("unknown metadata")
        }
      } else {
        let sample = try self.sample(line, fail)
        var key = sample
        key.value = 0
        guard seen.insert(key).inserted else { throw fail("series twice") }
        let family = self.family(of: sample.name)
        guard family == current, let type = self.types[family] else { throw fail("sample outside of its family") }
        if type == "counter" { guard sample.value >= 0 else { throw fail("counter below zero") } }
        if type == "gauge" { guard !sample.name.hasSuffix("_total") else { throw fail("gauge named _total") } }
        self.samples.append(sample)
      }
    }
  }

  /// Without the ending that a sample of its family has.
  private func family(of name: String) -> String {
    guard self.types[name] == nil else { return name }
    for (ending, type) in [
      ("_total", "counter"), ("_bucket", "histogram"), ("_sum", "histogram"), ("_count", "histogram"),
    ]
    where name.hasSuffix(ending) && (self.openMetrics || type == "histogram") {
      let family = String(name.dropLast(ending.count))
      if self.types[family] == type { return family }
    }
    return name
  }

  private func sample(_ line: String, _ fail: (String) -> Failure) throws -> Sample {
    var rest = Substring(line)
    let name = String(rest.prefix { Self.nameBytes.contains($0) })
    guard let first = name.first, !first.isNumber else { throw fail("name") }
    rest = rest.dropFirst(name.count)
    var labels: [String: String] = [:]
    if rest.first == "{" {
      rest = rest.dropFirst()
      while true {
        let label = String(rest.prefix { Self.nameBytes.contains($0) && $0 != ":" })
        guard let first = label.first, !first.isNumber else { throw fail("label name") }
        rest = rest.dropFirst(label.count)
        // By scalars: a combining mark would make one character with the quote before it.
        guard rest.unicodeScalars.starts(with: "=\"".unicodeScalars) else { throw fail("label") }
        rest.unicodeScalars.removeFirst(2)
        var value = ""
        while true {
          guard let character = rest.unicodeScalars.first else { throw fail("label without end") }
          rest.unicodeScalars.removeFirst()
          if character == "\"" { break }
          if character == "\\" {
            guard let escaped = rest.unicodeScalars.first else { throw fail("escape") }
            rest.unicodeScalars.removeFirst()
            switch escaped {
            case "\\": value += "\\"
            case "\"": value += "\""
            case "n": value += "\n"
            default: throw fail("escape")
            }
          } else {
            value.unicodeScalars.append(character)
          }
        }
        guard labels.updateValue(value, forKey: label) == nil else { throw fail("label twice") }
        if rest.first == "," {
          rest = rest.dropFirst()
          continue
        }
        guard rest.first == "}" else { throw fail("label list") }
        rest = rest.dropFirst()
        break
      }
    }
    guard rest.first == " " else { throw fail("no space before the value") }
    let text = String(rest.dropFirst())
    guard !text.contains(" "), let value = Double(text == "+Inf" ? "inf" : text == "-Inf" ? "-inf" : text) else {
      throw fail("value")
    }
    return Sample(name: name, labels: labels, value: value)
  }

  private static let nameBytes = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:")
}
