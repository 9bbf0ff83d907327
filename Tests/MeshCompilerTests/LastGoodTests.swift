import MeshBase
import MeshSnapshot
import Testing

@testable import MeshCompiler

@Suite("What holds while something is broken")
struct LastGoodTests {
  static let denyAll = [PolicyRule()]

  static func service(_ name: String, port: Int = 80) -> String {
    "apiVersion: v1\nkind: Service\nmetadata: {name: \(name)}\nspec: {ports: [{port: \(port)}]}"
  }

  func names(_ result: CompileResult) -> [String] { result.snapshot.services.keys.map(\.name).sorted() }

  @Test("A broken object keeps its last good version; its neighbours in the file move on")
  func brokenObject() {
    var compiler = Compiler()
    compiler.update(file: "a", bytes: Samples.stream([Self.service("x"), Self.service("y")]))
    _ = compiler.compile(now: 0)
    compiler.update(file: "a", bytes: Samples.stream([Self.service("x", port: 0), Self.service("y", port: 81)]))
    var result = compiler.compile(now: 0)
    #expect(names(result) == ["x", "y"])
    #expect(result.snapshot.services[Samples.name("default/x")]?.value.ports.first?.port == 80)
    #expect(result.snapshot.services[Samples.name("default/y")]?.value.ports.first?.port == 81)
    #expect(result.summary.kept == [ResourceKey(.service, namespace: "default", name: "x")])
    #expect(result.errors.count == 1)
    compiler.update(file: "a", bytes: Samples.stream([Self.service("y", port: 82)]))
    result = compiler.compile(now: 0)
    #expect(names(result) == ["y"])
    #expect(result.problems == [])
  }

  @Test("While a document cannot be read, no object of its file goes")
  func unreadableDocument() {
    var compiler = Compiler()
    compiler.update(file: "a", bytes: Samples.stream([Self.service("x"), Self.service("y")]))
    compiler.update(file: "b", bytes: Samples.stream([Self.service("z")]))
    _ = compiler.compile(now: 0)
    for broken in ["a: [", "\tx", "kind: Service", "- 1"] {
      compiler.update(file: "a", bytes: Samples.stream([broken]))
      #expect(names(compiler.compile(now: 0)) == ["x", "y", "z"])
    }
    compiler.fail(file: "b", message: "gone mad")
    let result = compiler.compile(now: 0)
    #expect(names(result) == ["x", "y", "z"])
    #expect(result.errors.contains { $0.file == "b" && $0.message == "gone mad" })
    compiler.remove(file: "b")
    compiler.update(file: "a", bytes: [])
    #expect(compiler.compile(now: 0).snapshot.count == 1)
  }

  @Test("A policy that was never good refuses everything that it selects, or its namespace")
  func standIn() {
    let other = Samples.workload.replacing("name: web-1", with: "name: b-1").replacing("app: web", with: "app: b")
      .replacing("addresses: [10.1.0.2, \"fd00::2\"]", with: "addresses: [10.1.0.3]")
    func selected(_ policy: String) -> (web: [ResourceName], b: [ResourceName], result: CompileResult) {
      let result = Samples.compile(Samples.config, Samples.workload, other, policy)
      return (
        result.snapshot.workloads[Samples.name("shop/web-1")]?.value.policies ?? [],
        result.snapshot.workloads[Samples.name("shop/b-1")]?.value.policies ?? [], result
      )
    }
    let name = Samples.name("shop/web")
    let withSelector = selected(Samples.policy.replacing("action: DENY", with: "action: AUDIT"))
    #expect(withSelector.web == [name])
    #expect(withSelector.b == [])
    #expect(withSelector.result.snapshot.policies[name]?.value.action == .deny)
    #expect(withSelector.result.snapshot.policies[name]?.value.rules == Self.denyAll)
    #expect(withSelector.result.summary.standIns.map(\.description) == ["AuthorizationPolicy shop/web"])
    #expect(withSelector.result.errors.contains { $0.message.contains("workloads with app=web are refused") })

    let noSelector = selected(Samples.policy.replacing("{app: web}", with: "{app: 1}"))
    #expect(noSelector.web == [name])
    #expect(noSelector.b == [name])

    let allowed = selected(Samples.policy.replacing("action: DENY", with: "action: ALLOW\n  actoin: DENY"))
    #expect(allowed.result.snapshot.policies[name]?.value.action == .deny)

    for text in ["\n  oops: [", "\n\tx: y", "\n  a: &b c"] {
      let unreadable = selected(Samples.policy + text)
      #expect(unreadable.web == [name], "\(text)")
      #expect(unreadable.b == [name])
      #expect(unreadable.result.snapshot.policies[name]?.value.rules == Self.denyAll)
    }
    let json = selected(
      #"{"apiVersion":"security.istio.io/v1","kind":"AuthorizationPolicy","metadata":{"name":"j","namespace":"shop"},"spec":"#
    )
    #expect(json.web == [Samples.name("shop/j")])

    let root = selected(Samples.root.replacing("rules:", with: "rulez:"))
    #expect(root.web == [Samples.name("mesh-root/all")])
    let nameless = selected(Samples.policy.replacing("name: web", with: "name: 1"))
    #expect(nameless.web == [Samples.name("shop/unreadable-policy")])
  }

  @Test("A policy that was good once keeps its last good version instead")
  func lastGoodPolicy() {
    let name = Samples.name("shop/web")
    for bad in [
      Samples.policy.replacing("action: DENY", with: "action: AUDIT"), Samples.policy + "\n  oops: [", "kind: [",
    ] {
      var compiler = Compiler()
      compiler.update(file: "a", bytes: Samples.stream([Samples.policy]))
      let good = compiler.compile(now: 0)
      compiler.update(file: "a", bytes: Samples.stream([bad]))
      let result = compiler.compile(now: 0)
      #expect(result.snapshot.policies[name]?.version == good.snapshot.policies[name]?.version)
      #expect(result.summary.standIns == [])
      #expect(!result.errors.isEmpty)
    }
  }

  @Test("CF-03 Of an object written twice the one that was in force stays, else the first by file; both are told")
  func duplicates() {
    var compiler = Compiler()
    compiler.update(file: "b", bytes: Samples.stream([Self.service("x", port: 2)]))
    _ = compiler.compile(now: 0)
    compiler.update(file: "a", bytes: Samples.stream([Self.service("x", port: 1)]))
    let incumbent = compiler.compile(now: 0)
    #expect(incumbent.snapshot.services.values.first?.value.ports.first?.port == 2)
    #expect(incumbent.errors.map(\.file) == ["a", "b"])
    #expect(incumbent.errors.first?.message == "written twice, also at b:1; this one is not in force")

    var fresh = Compiler()
    fresh.update(file: "b", bytes: Samples.stream([Self.service("x", port: 2)]))
    fresh.update(file: "a", bytes: Samples.stream([Self.service("x", port: 1), Self.service("x", port: 3)]))
    #expect(fresh.compile(now: 0).snapshot.services.values.first?.value.ports.first?.port == 1)
    #expect(fresh.compile(now: 0).errors.count == 3)
  }

  @Test("CF-03 Two policies of one name and no earlier one: nobody may call")
  func duplicatePolicies() {
    let second = Samples.policy.replacing("action: DENY", with: "action: ALLOW")
    let result = Samples.compile(Samples.workload, Samples.policy, second)
    let name = Samples.name("shop/web")
    #expect(result.snapshot.policies[name]?.value == PolicyEntry(name: name, action: .deny, rules: Self.denyAll))
    #expect(result.snapshot.workloads.values.first?.value.policies == [name])
  }

  @Test("Only documents that changed are read again")
  func cache() {
    var file = ResourceFile(path: "a")
    file.update(Samples.stream([Self.service("x"), Self.service("y")]))
    let first = file.documents.map(\.hash)
    file.update(Samples.stream(["# comment\n" + Self.service("w"), Self.service("x"), Self.service("y", port: 9)]))
    let second = file.documents.map(\.hash)
    #expect(second.contains(first[0]) == false, "the marker belongs to the document")
    #expect(Set(first).count == 2 && Set(second).count == 3)
    file.update(Samples.stream([Self.service("x"), Self.service("y")]))
    #expect(file.documents.map(\.hash) == first)
  }
}
