import MeshBase
import MeshSnapshot
import MeshTestSupport
import Testing

@testable import MeshCompiler

/// A compiler that is made anew from what was kept must not be told from one that ran on.
@Suite("What is kept over a restart")
struct RestartTests {
  enum Content: Equatable {
    case bytes([UInt8])
    case failed
  }

  /// As a restart with these files makes it, through the encoded form.
  static func restarted(_ compiler: Compiler, _ files: [String: Content]) throws -> Compiler {
    var fresh = Compiler(vips: compiler.vips)
    for file in compiler.fileNames.sorted() {
      guard let record = compiler.record(of: file) else { continue }
      let bytes = try record.encoded()
      let read = try LastGoodRecord(bytes)
      #expect(try read.encoded() == bytes)
      fresh.restore(read)
    }
    let index = LastGoodIndex(files: [], owners: compiler.contested)
    fresh.restored(owners: try LastGoodIndex(try index.encoded()).owners)
    for (file, content) in files { Self.apply(content, to: file, &fresh) }
    return fresh
  }

  static func apply(_ content: Content, to file: String, _ compiler: inout Compiler) {
    switch content {
    case .bytes(let bytes): compiler.update(file: file, bytes: bytes)
    case .failed: compiler.fail(file: file, message: "cannot be read")
    }
  }

  static func expectEqual(_ a: CompileResult, _ b: CompileResult, _ comment: Comment) {
    #expect(a.snapshot.versions == b.snapshot.versions, comment)
    #expect(a.problems == b.problems, comment)
    #expect(a.resources == b.resources, comment)
    #expect(a.summary.kept == b.summary.kept, comment)
    #expect(a.summary.standIns == b.summary.standIns, comment)
    #expect(a.summary.refused == b.summary.refused, comment)
    #expect(a.vips == b.vips, comment)
  }

  static let pieces = [
    Samples.config, Samples.namespace, Samples.workload, Samples.service, Samples.manual, Samples.policy,
    Samples.policy.replacing("action: DENY", with: "action: ALLOW"),
    Samples.policy.replacing("action: DENY", with: "action: AUDIT"),
    Samples.policy.replacing("app: web", with: "app: 1"), Samples.policy + "\n  oops: [",
    Samples.root, Samples.root.replacing("rules:", with: "rulez:"),
    Samples.service.replacing("port: 80\n", with: "port: 0\n"),
    Samples.service.replacing("port: 80\n", with: "port: 81\n"), "a: [", "kind: Service", "\u{0}", "- 1",
    "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: {name: l}}\n- {kind: 1}",
    "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: {name: l}}",
  ]

  @Test(
    "Whatever files went through, a restart keeps, refuses and reports the same", arguments: 0..<20 as Range<UInt64>)
  func law(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    var running = Compiler()
    var files: [String: Content] = [:]
    for step in 0..<25 {
      let file = ["a.yaml", "b.yaml", "s/c.yaml"][Int.random(in: 0..<3, using: &random)]
      switch Int.random(in: 0..<24, using: &random) {
      case 0..<3:
        files[file] = nil
        running.remove(file: file)
      case 3..<6:
        files[file] = .failed
        Self.apply(.failed, to: file, &running)
      case 6:
        let large = Content.bytes([UInt8](repeating: UInt8(ascii: "#"), count: 1 << 20 | 1))
        files[file] = large
        Self.apply(large, to: file, &running)
      default:
        let count = Int.random(in: 0...4, using: &random)
        let content = Content.bytes(
          Samples.stream((0..<count).map { _ in Self.pieces[Int.random(in: 0..<Self.pieces.count, using: &random)] }))
        files[file] = content
        Self.apply(content, to: file, &running)
      }
      let result = running.compile(now: Int64(step))
      var again = try Self.restarted(running, files)
      Self.expectEqual(again.compile(now: Int64(step)), result, "seed \(seed) step \(step)")
    }
  }

  @Test("A policy that breaks while nobody watches keeps its last good version; without it, it is a stand-in")
  func brokenMeanwhile() throws {
    var running = Compiler()
    running.update(file: "a", bytes: Samples.stream([Samples.policy, Samples.service]))
    let good = running.compile(now: 0)
    let broken = Samples.stream([Samples.policy.replacing("action: DENY", with: "action: AUDIT"), Samples.service])
    let result = try {
      var again = try Self.restarted(running, ["a": .bytes(broken)])
      return again.compile(now: 0)
    }()
    #expect(result.snapshot.versions == good.snapshot.versions)
    #expect(result.summary.kept.map(\.description) == ["AuthorizationPolicy shop/web"])
    #expect(result.summary.standIns == [])
    #expect(result.errors.map(\.position.path) == ["spec.action"])
  }

  @Test("A record that is cut off, changed, another file's or of a newer layout is refused with a next step")
  func damaged() throws {
    var compiler = Compiler()
    compiler.update(file: "a", bytes: Samples.stream([Samples.namespace]))
    let bytes = try #require(try compiler.record(of: "a")?.encoded())
    for count in bytes.indices { #expect(throws: MeshError.self) { try LastGoodRecord(Array(bytes[..<count])) } }
    for index in bytes.indices {
      var changed = bytes
      changed[index] ^= 0x10
      #expect(throws: MeshError.self) { try LastGoodRecord(changed) }
    }
    #expect(throws: MeshError.self) { try LastGoodRecord(bytes + [0]) }
    var newer = bytes
    newer[11] = 2
    #expect { try LastGoodRecord(newer) } throws: { error in
      (error as? MeshError)?.code == .unsupported && "\(error)".contains("layout 2")
    }
    let index = try LastGoodIndex(files: ["a"], owners: [:]).encoded()
    #expect(throws: MeshError.self) { try LastGoodRecord(index) }
    #expect(throws: MeshError.self) { try LastGoodIndex(bytes) }
  }

  @Test(
    "What may hide a policy of which nothing is known is told; what is known to be another thing is not",
    arguments: [
      ("a: [", true), ("kind: Service\nmetadata: {name: a", false), ("kind: AuthorizationPolicy\n  a: [", true),
      ("kind: AuthorizationPolicy\nmetadata: {name: a, namespace: b}\nspec: [", false),
      ("kind: Service\nmetadata: {name: a}\nkind: AuthorizationPolicy\nmetadata: {namespace: b}", true),
      ("apiVersion: v1\nkind: ConfigMap", false), ("apiVersion: v1\n", true), ("- 1", true), ("text", true),
      ("apiVersion: security.istio.io/v1\nkind: AuthorisationPolicy", true),
      ("apiVersion: security.istio.io/v1\nkind: PeerAuthentication", true), ("kind: Deployment", true),
      ("apiVersion: v1\nkind: List", true), ("apiVersion: v1\nkind: List\nitems: {}", true),
      ("apiVersion: v1\nkind: Service", false),
      ("apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: -b}", true),
      ("kind: AuthorizationPolicy\nmetadata: {name: a, namespace: b}", false), ("", false), ("# nothing", false),
      ("k\0i\0n\0d\0:\0 \0A\0", true), (Samples.policy, false), (Samples.service, false),
    ])
  func unaccounted(text: String, isUnaccounted: Bool) throws {
    let result = Samples.compile(text)
    #expect(!result.summary.unaccounted.isEmpty == isUnaccounted, "\(result.problems.map(\.description))")
    // What says nothing of itself is an error as well.
    if isUnaccounted { #expect(!result.errors.isEmpty) }
    // Of a file whose earlier content is known, nothing is unaccounted: that is kept.
    var running = Compiler()
    running.update(file: "a", bytes: [])
    var again = try Self.restarted(running, ["a": .bytes(Array(text.utf8))])
    #expect(again.compile(now: 0).summary.unaccounted == [])
  }

  @Test("A policy without apiVersion, or with a wrong one, is stood in for, not left out")
  func noVersion() {
    for text in [
      Samples.policy.replacing("apiVersion: security.istio.io/v1\n", with: ""),
      Samples.policy.replacing("security.istio.io/v1", with: "security.istio.io/v2"),
      Samples.policy.replacing("apiVersion: security.istio.io/v1\n", with: "apiVersion: 1\n"),
    ] {
      let result = Samples.compile(Samples.workload, text)
      #expect(result.summary.standIns.map(\.description) == ["AuthorizationPolicy shop/web"])
      #expect(result.snapshot.workloads.values.first?.value.policies == [Samples.name("shop/web")])
    }
  }
}
