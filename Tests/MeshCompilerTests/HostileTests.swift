import MeshBase
import MeshSnapshot
import MeshTestSupport
import Testing

@testable import MeshCompiler

@Suite("Hostile text is refused with its place")
struct HostileTests {
  static let prefix = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n"

  struct Row: Sendable, CustomTestStringConvertible {
    var id: String
    var text: String
    var message: String
    var line: Int
    var testDescription: String { self.id + " " + self.message }
  }

  static let rows: [Row] = [
    Row(id: "CF-01", text: prefix + "  labels: &x {a: b}\n", message: "anchor", line: 5),
    Row(id: "CF-01", text: prefix + "  labels: *x\n", message: "alias", line: 5),
    Row(id: "CF-01", text: prefix + "  labels: {a: !!binary aGk=}\n", message: "tag", line: 5),
    Row(id: "CF-01", text: prefix + "  labels: !local {a: b}\n", message: "tag", line: 5),
    Row(id: "CF-01", text: "%YAML 1.2\n" + prefix, message: "directive", line: 1),
    Row(id: "CF-01", text: prefix + "\tlabels: {}\n", message: "a tab", line: 5),
    Row(id: "CF-01", text: prefix + "  labels:\t{}\n", message: "a tab", line: 5),
    Row(id: "CF-01", text: prefix + "  labels: {a: \"b\0\"}\n", message: "NUL", line: 5),
    Row(id: "CF-01", text: prefix + "  labels: {a: \"b\u{7}\"}\n", message: "control", line: 5),
    Row(id: "CF-01", text: prefix + "  labels: {a: \"b\u{85}c\"}\n", message: "Unicode line break", line: 5),
    Row(id: "CF-01", text: prefix + "  labels: {a: b}\r  c: d\n", message: "carriage return", line: 5),
    Row(id: "CF-01", text: "\u{feff}" + prefix, message: "byte order", line: 1),
    Row(id: "CF-01", text: prefix + "  name: b\n", message: "stands twice", line: 4),
    Row(id: "CF-01", text: prefix + "  labels: {a: b, a: c}\n", message: "stands twice", line: 5),
    Row(id: "CF-01", text: prefix + "  ? [a]\n  : b\n", message: "complex key", line: 5),
    Row(id: "CF-01", text: prefix + "  labels: {a: [b}\n", message: "no YAML", line: 5),
    Row(id: "CF-01", text: prefix + "  labels: {a: 'b\n", message: "no YAML", line: 6),
    Row(
      id: "CF-01", text: prefix + "status: " + String(repeating: "[", count: 10_000), message: "deeper", line: 5),
    Row(
      id: "CF-01", text: prefix + "status:\n" + String(repeating: "- ", count: 10_000), message: "deeper", line: 6),
    Row(
      id: "CF-01",
      text: prefix + "status:\n"
        + (1..<200).map { String(repeating: " ", count: $0) + "a:\n" }.joined(), message: "deeper", line: 37),
    Row(
      id: "CF-01",
      text: "a: &a [x, x]\n"
        + (0..<30).map { "k\($0): &k\($0) [*a, *a]\n" }.joined(), message: "anchor", line: 1),
    Row(id: "CF-01", text: prefix + "  labels: {a: b}\n...\nkind: Service\n", message: "no YAML", line: 7),
    Row(id: "CF-02", text: prefix + "  lables: {a: b}\n", message: "unknown field", line: 5),
    Row(id: "CF-02", text: prefix + "  labels: [a]\n", message: "a list stands", line: 5),
    Row(id: "CF-02", text: prefix + "  labels: {a: yes}\n", message: "the boolean yes", line: 5),
    Row(id: "CF-02", text: prefix + "  labels: {a: 1.10}\n", message: "the number 1.10", line: 5),
    Row(id: "CF-02", text: prefix + "  labels: {a: .nan}\n", message: "the number .nan", line: 5),
    Row(id: "CF-02", text: prefix + "  labels: {a: 1:30}\n", message: "the number 1:30", line: 5),
    Row(id: "CF-02", text: prefix + "  labels: {a: }\n", message: "nothing", line: 5),
    Row(id: "CF-02", text: prefix + "  labels: {on: a}\n", message: "the boolean on", line: 5),
    Row(id: "CF-02", text: prefix + "spec:\n", message: "no value", line: 5),
    Row(id: "CF-02", text: "kind: Namespace\n", message: "apiVersion is missing", line: 1),
    Row(id: "CF-02", text: "- a\n", message: "a list stands", line: 1),
    Row(id: "CF-02", text: "a\n", message: "the text \"a\" stands", line: 1),
    Row(id: "CF-02", text: "apiVersion: v1\nkind: Pod\n", message: "unknown kind \"Pod\"", line: 2),
    Row(id: "CF-02", text: prefix.replacing("v1", with: "v2"), message: "no apiVersion", line: 2),
  ]

  @Test("Each bad document is one error at its line, and nothing of it is in force", arguments: rows)
  func row(_ row: Row) throws {
    var compiler = Compiler()
    compiler.update(file: "bad.yaml", bytes: Array(row.text.utf8))
    let result = compiler.compile(now: 0)
    let problem = try #require(result.problems.first { $0.message.contains(row.message) }, "\(result.problems)")
    #expect(problem.severity == .error)
    #expect(problem.position.line == row.line)
    #expect(problem.file == "bad.yaml")
    #expect(problem.next?.isEmpty == false)
    #expect(result.resourceCount == 0)
    #expect(result.snapshot.count == 1, "only the default configuration")
  }

  static let harmless = [
    "# &a *b !c\t\n" + prefix,
    prefix + "  annotations:\n    text: |\n      &a *b\n\t  no\n",
    prefix + "  annotations:\n    text: >-\n      {[&a\n\n      *b !!c\n  labels: {a: b}\n",
    prefix + "  annotations: {a: \"*\", b: '&x it''s', c: \"\\\"*x\", d: a*b, e: a&b, f: a!}\n",
    prefix + "  annotations:\n    a: several words\n      *of one &text\n    b: c\n",
    prefix + "  annotations:\n    a: \"over\n      *lines \\\n      &here\"\n",
    prefix + "  annotations:\n    - |2\n       *x\n    - b\n",
    prefix.replacing("\n", with: "\r\n"),
    "---\n" + prefix + "---\n# nothing\n---\n",
    "--- # first\n" + prefix + "...\n",
  ]

  @Test("What looks like an anchor inside of texts and comments is text", arguments: harmless)
  func noFalseAlarm(_ text: String) {
    let noTab = text.replacing("\n\t  no\n", with: "\n        no\n")
    let result = Samples.compile(noTab)
    #expect(result.problems.map(\.description) == [])
    #expect(result.resources == [.namespace: 1])
  }

  @Test("CF-01 A file over 1 MiB and one with too many documents are refused whole, and what it said stays")
  func large() {
    var compiler = Compiler()
    compiler.update(file: "a.yaml", bytes: Array(Self.prefix.utf8))
    #expect(compiler.compile(now: 0).resourceCount == 1)
    compiler.update(file: "a.yaml", bytes: [UInt8](repeating: UInt8(ascii: "#"), count: 1 << 20 | 1))
    var result = compiler.compile(now: 0)
    #expect(result.problems.map(\.message) == ["larger than 1048576 bytes"])
    #expect(result.resourceCount == 1)
    compiler.update(file: "a.yaml", bytes: Array(String(repeating: "---\na\n", count: 20_000).utf8))
    result = compiler.compile(now: 0)
    #expect(result.problems.map(\.message) == ["20000 documents"])
    #expect(result.resourceCount == 1)
  }

  @Test("CF-01 Bytes that are no UTF-8 are refused")
  func notText() {
    var compiler = Compiler()
    compiler.update(
      file: "a.yaml",
      bytes: Array(Self.prefix.utf8) + Array("  labels: {a: \"".utf8) + [0xff, 0xfe] + Array("\"}".utf8))
    let result = compiler.compile(now: 0)
    #expect(result.problems.map(\.message) == ["not UTF-8 text"])
  }

  @Test("20,000 mutated inputs are read to an end without a trap")
  func mutations() {
    var random = SplitMix64(seed: 0x4d61_7274)
    let alphabet = Array("-:?[]{},#&*!|>'\"%@` \t\n\r\0~=\\.0159aeyn/".utf8)
    let seeds = Samples.all.map { Array($0.utf8) }
    var accepted = 0
    for round in 0..<20_000 {
      var bytes = seeds[round % seeds.count]
      for _ in 0..<Int.random(in: 1...6, using: &random) {
        let at = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<5, using: &random) {
        case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
        case 1: bytes[at] = alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
        case 2: bytes.insert(alphabet[Int.random(in: 0..<alphabet.count, using: &random)], at: at)
        case 3: bytes.remove(at: at)
        default: bytes.removeSubrange(at..<min(bytes.count, at + Int.random(in: 1...40, using: &random)))
        }
        if bytes.isEmpty { bytes = [UInt8(ascii: "a")] }
      }
      var file = ResourceFile(path: "m.yaml")
      file.update(bytes)
      let errors = file.problems.filter { $0.severity == .error }
      if errors.isEmpty { accepted += 1 }
      // The first check sees as much as libyaml does.
      #expect(!errors.contains { $0.message.contains("slip") })
      // Everything that is not in force has a reason.
      #expect(errors.isEmpty == file.documents.allSatisfy { $0.decoded.broken.isEmpty })
      if round % 50 == 0 {
        var compiler = Compiler()
        compiler.update(file: "m.yaml", bytes: bytes)
        _ = compiler.compile(now: 0)
      }
    }
    #expect(accepted > 200 && accepted < 15_000)
  }
}
