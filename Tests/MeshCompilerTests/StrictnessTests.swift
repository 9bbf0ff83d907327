import MeshBase
import MeshPolicy
import MeshSnapshot
import Testing

@testable import MeshCompiler

@Suite("Nothing is ignored")
struct StrictnessTests {
  /// Keys of maps whose keys are the user's.
  static let free: Set<String> = ["team", "app", "version", "note", "kubernetes.io/service-name", "phase"]

  /// Every key of a document, at its place.
  static func keys(_ text: String) -> [Range<String.Index>] {
    text.ranges(of: /[A-Za-z][A-Za-z0-9.\/-]*(?=:[ \n])/).filter { range in
      !Self.free.contains(String(text[range]))
    }
  }

  @Test("A field that is misspelt in any way is an error at its place, in every kind", arguments: Samples.all)
  func misspelt(_ sample: String) {
    let keys = Self.keys(sample)
    #expect(keys.count >= 6)
    for range in keys {
      let key = String(sample[range])
      let first = key.prefix(1)
      let flipped = (first == first.uppercased() ? first.lowercased() : first.uppercased()) + key.dropFirst()
      for wrong in [key + "x", flipped, String(key.dropLast()) + "_", key + key, "x-" + key] {
        let text = sample.replacingCharacters(range, with: wrong)
        let result = Samples.compile(text)
        #expect(result.resourceCount == 0, "\(wrong) for \(key): in force")
        if key == "kind" && sample[..<range.lowerBound].last == "\n" || key == "apiVersion" {
          #expect(!result.errors.isEmpty)
          continue
        }
        let found = result.errors.contains { problem in
          problem.message == "unknown field"
            && (problem.position.path == wrong || problem.position.path.hasSuffix("." + wrong))
        }
        #expect(found, "\(wrong) for \(key): \(result.problems.map(\.description))")
      }
    }
  }

  @Test("A field that nobody knows is an error in every map of every kind", arguments: Samples.all)
  func unknown(_ sample: String) {
    for range in Self.keys(sample) {
      // Before a key there is room for another one, in both styles.
      let lineStart =
        sample[..<range.lowerBound].lastIndex(of: "\n").map { sample.index(after: $0) } ?? sample.startIndex
      let before = sample[lineStart..<range.lowerBound]
      let isBlock = before.allSatisfy { " -".contains($0) }
      let separator = isBlock ? "\n" + before.map { _ in " " }.joined() : ", "
      let result = Samples.compile(
        sample.replacingCharacters(range.lowerBound..<range.lowerBound, with: "zzz: 1" + separator))
      #expect(result.resourceCount == 0, "before \(sample[range])")
      #expect(
        result.errors.contains { $0.message == "unknown field" && $0.position.path.hasSuffix("zzz") },
        "before \(sample[range]): \(result.problems.map(\.description))")
    }
  }

  private static func policy(_ source: String, _ operation: String = "") -> CompileResult {
    Samples.compile(
      """
      apiVersion: security.istio.io/v1
      kind: AuthorizationPolicy
      metadata: {name: p, namespace: shop}
      spec:
        action: DENY
        rules:
          - \(source.isEmpty ? "to: [{operation: {\(operation)}}]" : "from: [{source: {\(source)}}]")
      """)
  }

  @Test("Every form of a principal that Istio has, and what it means")
  func principals() {
    let forms: [(String, StringMatch)] = [
      ("cluster.local/ns/shop/sa/web", .exact("cluster.local/ns/shop/sa/web")), ("*", .present),
      ("cluster.local/ns/shop/*", .prefix("cluster.local/ns/shop/")), ("*/sa/web", .suffix("/sa/web")),
      ("*/ns/shop/sa/web", .suffix("/ns/shop/sa/web")), ("cluster.local/*", .prefix("cluster.local/")),
      ("other.example/ns/a/sa/b.c", .exact("other.example/ns/a/sa/b.c")),
    ]
    for (text, match) in forms {
      for not in [false, true] {
        let result = Self.policy("\(not ? "notPrincipals" : "principals"): [\"\(text)\"]")
        #expect(result.errors == [], "\(text)")
        let source = result.snapshot.policies.values.first?.value.rules.first?.from.first
        #expect((not ? source?.notPrincipals : source?.principals) == [match], "\(text)")
      }
    }
  }

  @Test("Every list of a source and an operation refuses what can mean nothing, with path and reason")
  func lists() {
    let both: (String) -> [String] = { [$0, "not" + $0.prefix(1).uppercased() + $0.dropFirst()] }
    let rows: [(fields: [String], values: [String])] = [
      (
        both("principals"),
        [
          "", "**", "a*b", "*a*", "spiffe://cluster.local/ns/a/sa/b", "cluster.local", "cluster.local/ns/a",
          "cluster.local/ns/a/sa/", "cluster.local/ns//sa/b", "/ns/a/sa/b", "cluster.local/ns/a/sa/b/c",
          "cluster.local/ns/A/sa/b", "cluster.local/sa/b/ns/a", "cluster.local/ns/a/sa/b ", "ns/a/sa/b", "web", "ü*",
        ]
      ),
      (both("namespaces"), ["", "**", "a*b", "Shop", "a.b", "a/b", "-a", "*.x", "a b"]),
      (both("serviceAccounts"), ["", "*", "a*", "a/b/c", "/b", "a/", "A", "a/*", "*/b", "a b"]),
      (
        both("ipBlocks"),
        ["", "*", "10.0.0.0/33", "10.0.0", "10.0.0.0-10.0.0.9", "::/129", "host", "10.0.0.0/-1", "010.0.0.1"]
      ),
    ]
    for row in rows {
      for field in row.fields {
        for value in row.values {
          let result = Self.policy("\(field): [\"\(value)\"]")
          let path = "spec.rules[0].from[0].source.\(field)[0]"
          #expect(result.errors.contains { $0.position.path == path && $0.next != nil }, "\(field) \(value)")
          #expect(result.summary.standIns.count == 1, "\(field) \(value)")
        }
        for value in ["[]", "{}", "a", "[[]]", "[1]", "[yes]", "[null]", "null"] {
          let result = Self.policy("\(field): \(value)")
          #expect(
            result.errors.contains { $0.position.path.hasPrefix("spec.rules[0].from[0].source.\(field)") },
            "\(field) \(value)")
          #expect(result.resourceCount == 0)
        }
      }
    }
    for field in ["ports", "notPorts"] {
      for value in ["", "0", "65536", "-1", "80-90", "http", "*", "080", "+80", "18446744073709551616", "0x50", "8e1"] {
        let result = Self.policy("", "\(field): [\"\(value)\"]")
        let path = "spec.rules[0].to[0].operation.\(field)[0]"
        #expect(result.errors.contains { $0.position.path == path && $0.next != nil }, "\(field) \(value)")
      }
    }
  }

  static let wrongNumbers = [
    "-1", "-80", "0", "65536", "18446744073709551616", "-9223372036854775809", ".nan", ".NaN", ".inf", "-.inf", "1e3",
    "0x50", "0o17", "0b1", "017", "8_0", "1:20", "80.0", "+80", "\"80\"", "yes", "no", "on", "off", "true", "~", "null",
    "[80]",
    "{}", "NaN", "Infinity",
  ]

  @Test("CF-02 A port is a number from 1 to 65535 and nothing else", arguments: wrongNumbers)
  func numbers(_ value: String) {
    let result = Samples.compile(Samples.service.replacing("port: 80\n", with: "port: \(value)\n"))
    #expect(result.errors.contains { $0.position.path == "spec.ports[0].port" && $0.position.line == 13 })
    #expect(result.resourceCount == 0)
  }

  @Test(
    "CF-02 Words that YAML 1.1 takes for booleans are neither texts nor booleans here",
    arguments: ["on", "off", "yes", "no", "On", "NO", "True", "FALSE", "y", "Y", "n"])
  func words(_ word: String) {
    let flag = Samples.compile(Samples.slice.replacing("ready: true", with: "ready: \(word)"))
    #expect(flag.errors.contains { $0.position.path == "endpoints[1].conditions.ready" })
    // `y` and `n` are texts for every YAML library in use, and for this one.
    guard word.count > 1 else { return }
    let label = Samples.compile(Samples.workload.replacing("app: web", with: "app: \(word)"))
    #expect(label.errors.contains { $0.position.path == "metadata.labels[app]" })
    let quoted = Samples.compile(Samples.workload.replacing("app: web", with: "app: \"\(word)\""))
    #expect(quoted.errors == [])
  }

  @Test("CF-01 A merge key, and a key that stands twice at any depth, are refused with their line")
  func keysTwice() {
    let merge = Samples.compile(Samples.service.replacing("type: ClusterIP", with: "<<: {type: ClusterIP}"))
    #expect(merge.errors.contains { $0.position.path == "spec.<<" && $0.position.line == 5 })
    let twice = Samples.compile(
      Samples.policy.replacing("notNamespaces: [\"*-test\"]", with: "namespaces: [other]"))
    #expect(twice.errors.contains { $0.message.contains("stands twice") && $0.position.line > 8 })
    #expect(twice.summary.standIns.count == 1)
    let flow = Samples.compile(
      Samples.policy.replacing("notValues: [10.7.0.1]}", with: "values: [10.7.0.1]}"))
    #expect(flow.errors.contains { $0.message.contains("stands twice") })
  }

  @Test("Documents count their lines within the file, and one that is broken does not hide another's problems")
  func documents() {
    var compiler = Compiler()
    let bad = Samples.service.replacing("type: ClusterIP", with: "tpye: ClusterIP")
    compiler.update(
      file: "a", bytes: Samples.stream([Samples.namespace, "a: [", bad, bad.replacing("web, n", with: "w, n")]))
    let result = compiler.compile(now: 0)
    let lines = result.errors.filter { $0.message == "unknown field" }.map(\.position.line)
    #expect(lines == [17, 35])
    #expect(result.resources == [.namespace: 1])
  }
}

extension String {
  func replacingCharacters(_ range: Range<String.Index>, with text: some StringProtocol) -> String {
    String(self[..<range.lowerBound]) + text + self[range.upperBound...]
  }
}
