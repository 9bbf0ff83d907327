import Glibc
import MeshBase
import MeshCompiler
import MeshSnapshot
import Testing

@testable import MeshStore

func policy(_ name: String, action: String = "DENY", namespace: String = "default") -> String {
  "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: \(name), namespace: \(namespace)}\n"
    + "spec: {action: \(action), rules: [{from: [{source: {namespaces: [x]}}]}]}\n"
}

extension CompileResult {
  var policyNames: [String] { self.snapshot.policies.keys.map(\.name).sorted() }
}

/// A resource directory and a state directory.
final class Site: Sendable {
  let scratch: Scratch
  var files: String { self.scratch.path + "/r" }
  var lastGood: LastGoodDirectory { LastGoodDirectory(path: self.scratch.path + "/last-good") }

  init() throws {
    self.scratch = try Scratch()
    mkdir(self.scratch.path + "/r", 0o755)
  }

  func write(_ name: String, _ text: String, mode: mode_t = 0o644) { self.scratch.write("r/" + name, text, mode: mode) }
  func remove(_ name: String) { unlink(self.files + "/" + name) }

  func watching(_ body: (Results) async throws -> Void) async throws {
    try await MeshStoreTests.watching(self.files, lastGood: self.lastGood, body)
  }

  /// Runs until this is known and on disk.
  func settle(_ what: String, _ condition: @Sendable (CompileResult) -> Bool) async throws {
    try await self.watching { results in
      try await results.reach(what, condition)
      try await self.kept()
    }
  }

  /// Waits until each file that can be trusted has its record.
  func kept() async throws {
    let files = DirectoryListing.read(self.files).files.compactMap { path, found in
      if case .file = found { path } else { nil }
    }
    for _ in 0..<1_000 {
      if let loaded = try? self.lastGood.load(), loaded.isWhole,
        Set(files).isSubset(of: loaded.records.map(\.file))
      {
        return
      }
      try await Task.sleep(for: .milliseconds(10))
    }
    Issue.record("not kept")
  }

  func record(_ file: String) -> String { self.lastGood.file(file).path }
}

@Suite("A restart forgets nothing")
struct StoreRestartTests {
  @Test("A file that is broken at the restart keeps its last good version, and is reported as by a running one")
  func broken() async throws {
    let site = try Site()
    site.write("p.yaml", policy("deny") + service("a"))
    site.write("s.yaml", service("b"))
    let broken = policy("deny", action: "DNEY") + service("a", port: 81) + "---\nkind: [\n"
    var running: [Problem] = []
    try await site.watching { results in
      try await results.reach("good") { $0.policyNames == ["deny"] && $0.names == ["a", "b"] }
      try await site.kept()
      site.write("p.yaml", broken)
      try await results.reach("broken") { !$0.problems.isEmpty && $0.summary.standIns.isEmpty }
      running = await results.newest?.problems ?? []
    }
    // The good state is replaced by the good version as it was before it broke.
    for _ in 0..<2 {
      try await site.watching { results in
        try await results.reach("kept") { result in
          result.policyNames == ["deny"] && result.names == ["a", "b"] && result.problems == running
            && result.snapshot.policies.values.first?.value.action == .deny && result.summary.standIns.isEmpty
        }
        try await site.kept()
      }
    }
    site.write("p.yaml", policy("deny", action: "ALLOW"))
    try await site.watching { results in
      try await results.reach("mended") { $0.problems.allSatisfy { $0.severity == .warning } && $0.names == ["b"] }
    }
  }

  @Test(
    "F-07 Over a restart an unreadable file, an empty, unreadable or missing directory keeps the world; a deleted file goes"
  )
  func unreadable() async throws {
    let site = try Site()
    site.write("a.yaml", service("a"))
    site.write("p.yaml", policy("deny"))
    mkdir(site.files + "/s", 0o755)
    site.write("s/c.yaml", service("c"))
    let everything: @Sendable (CompileResult) -> Bool = { $0.names == ["a", "c"] && $0.policyNames == ["deny"] }
    try await site.settle("good", everything)

    chmod(site.files + "/p.yaml", 0o666)
    try await site.settle("writable by all") { everything($0) && $0.errors.map(\.file) == ["p.yaml"] }
    unlink(site.files + "/p.yaml")
    mkfifo(site.files + "/p.yaml", 0o600)
    try await site.settle("a FIFO in its place") { everything($0) && $0.errors.map(\.file) == ["p.yaml"] }
    unlink(site.files + "/p.yaml")
    symlink("/dev/zero", site.files + "/p.yaml")
    try await site.settle("a device in its place") { everything($0) && $0.errors.map(\.file) == ["p.yaml"] }
    unlink(site.files + "/p.yaml")
    mkdir(site.files + "/p.yaml", 0o755)
    try await site.settle("a directory in its place") { everything($0) && $0.errors.map(\.file) == ["p.yaml"] }
    rmdir(site.files + "/p.yaml")
    site.write("p.yaml", policy("deny"))
    truncate(site.files + "/p.yaml", 100 << 20)
    try await site.settle("100 MB") { everything($0) && $0.errors.map(\.message) == ["larger than 1048576 bytes"] }
    site.write("p.yaml", policy("deny"))

    rename(site.files, site.scratch.path + "/away")
    try await site.settle("no directory") { everything($0) && $0.errors.map(\.file) == ["."] }
    mkdir(site.files, 0o755)
    try await site.settle("an empty directory") { result in
      everything(result) && result.errors.contains { $0.message.contains("is empty now") }
    }
    rmdir(site.files)
    rename(site.scratch.path + "/away", site.files)
    chmod(site.files, 0o777)
    try await site.settle("a directory that all may write") { everything($0) && $0.errors.map(\.file) == ["."] }
    chmod(site.files, 0o755)

    site.remove("a.yaml")
    try await site.settle("a file that went meanwhile") { $0.names == ["c"] && $0.problems.isEmpty }
    site.remove("p.yaml")
    site.remove("s/c.yaml")
    site.write("empty.yaml", "")
    try await site.settle("everything removed on purpose") { $0.resourceCount == 0 && $0.problems.isEmpty }
    #expect(try site.lastGood.load().records.map(\.file) == ["empty.yaml"])
  }

  @Test("Of an object that two files claim, the one that had it has it after a restart")
  func contested() async throws {
    let site = try Site()
    site.write("b.yaml", policy("p", action: "ALLOW"))
    try await site.watching { results in
      try await results.reach("one") { $0.policyNames == ["p"] }
      site.write("a.yaml", policy("p", action: "DENY"))
      try await results.reach("two") { $0.errors.count == 2 }
      try await site.kept()
    }
    try await site.settle("the same") { result in
      result.errors.count == 2 && result.snapshot.policies.values.first?.value.action == .allow
    }
  }

  static let unknown: [String] = [
    "mode", "fifo", "directory", "link", "large", "utf16", "truncated", "kind", "subdirectory", "dangling",
  ]

  @Test("At a first start nothing is published while a file cannot be read that may hold a policy", arguments: unknown)
  func firstStart(_ what: String) async throws {
    let site = try Site()
    site.write("a.yaml", service("a"))
    let path = site.files + "/p.yaml"
    switch what {
    case "mode": site.write("p.yaml", policy("deny"), mode: 0o666)
    case "fifo": mkfifo(path, 0o600)
    case "directory": mkdir(path, 0o755)
    case "link": symlink("/etc/hostname", path)
    case "dangling": symlink("nowhere", path)
    case "large":
      site.write("p.yaml", policy("deny"))
      truncate(path, 100 << 20)
    case "utf16": site.write("p.yaml", policy("deny").map { "\($0)\0" }.joined())
    case "truncated": site.write("p.yaml", "---\napiVersion: security.istio.io/v1\n")
    case "kind": site.write("p.yaml", policy("deny").replacing("AuthorizationPolicy", with: "AuthorisationPolicy"))
    default: mkdir(site.files + "/p.yaml.d", 0o777)
    }
    if what == "subdirectory" { chmod(site.files + "/p.yaml.d", 0o777) }
    try await site.watching { results in
      try await results.logged("Nothing is published yet", "p.yaml")
      #expect(await results.newest == nil)
      // What is known of it is not written either: a second start has to wait as well.
      #expect(try site.lastGood.load().isWhole == false)
      unlink(path)
      rmdir(path)
      rmdir(path + ".d")
      try await results.reach("the file is gone") { $0.names == ["a"] && $0.problems.isEmpty }
      try await site.kept()
      // Once there was a good state, a new file that cannot be read takes nothing with it.
      site.write("q.yaml", policy("deny"), mode: 0o666)
      try await results.reach("reported") { $0.names == ["a"] && $0.errors.map(\.file) == ["q.yaml"] }
    }
    try await site.settle("after a restart, too") { $0.names == ["a"] && $0.errors.map(\.file) == ["q.yaml"] }
  }

  @Test(
    "A state that is damaged, foreign or lost is reported; a file that is good needs none, one that is broken waits")
  func damaged() async throws {
    let site = try Site()
    site.write("a.yaml", service("a"))
    site.write("p.yaml", policy("deny"))
    try await site.settle("good") { $0.policyNames == ["deny"] }
    let record = try #require(try StateFile(path: site.record("p.yaml")).read(limit: 1 << 20))
    var newer = record
    newer[11] = 9
    let damages: [(String, () -> Void)] = [
      ("truncated", { truncate(site.record("p.yaml"), 40) }),
      ("layout 9", { try? site.lastGood.file("p.yaml").write(newer) }),
      ("could have been written by others", { chmod(site.record("p.yaml"), 0o666) }),
      ("is lost", { unlink(site.record("p.yaml")) }),
      (
        "cannot be opened",
        {
          unlink(site.record("p.yaml"))
          symlink("/etc/hostname", site.record("p.yaml"))
        }
      ),
      (
        "no regular file",
        {
          unlink(site.record("p.yaml"))
          mkfifo(site.record("p.yaml"), 0o600)
        }
      ),
      ("its record has another", { rename(site.record("a.yaml"), site.record("p.yaml")) }),
      ("last-good/index", { truncate(site.lastGood.path + "/index", 10) }),
    ]
    for (message, damage) in damages {
      damage()
      // Broken: nobody knows what it said.
      if message != "last-good/index" {
        site.write("p.yaml", policy("deny"), mode: 0o666)
        try await site.watching { results in
          try await results.logged("A last good state is ignored", message)
          try await results.logged("Nothing is published yet", "p.yaml")
          #expect(await results.newest == nil)
        }
      }
      site.write("p.yaml", policy("deny"))
      try await site.watching { results in
        try await results.logged("A last good state is ignored", message)
        try await results.reach("good again after: \(message)") { $0.policyNames == ["deny"] && $0.problems.isEmpty }
        try await site.kept()
      }
    }
  }

  @Test("Records are their owner's alone, nothing is left beside them, and an unchanged file is not written again")
  func records() async throws {
    let site = try Site()
    for number in 0..<20 { site.write("f\(number).yaml", service("s\(number)")) }
    try await site.settle("good") { $0.names.count == 20 }
    let names = try DirectoryListing.names(site.lastGood.path).get().filter { !$0.hasPrefix(".") }
    #expect(names.count == 21)
    #expect(!names.contains { $0.hasSuffix(".new") })
    var before: [String: FileStamp] = [:]
    for name in names {
      var status = stat()
      #expect(stat("\(site.lastGood.path)/\(name)", &status) == 0)
      #expect(status.st_mode & 0o777 == 0o600)
      before[name] = FileStamp(status)
    }
    site.write("f0.yaml", service("s0"))
    try await site.settle("the same") { $0.names.count == 20 }
    for name in names {
      var status = stat()
      #expect(stat("\(site.lastGood.path)/\(name)", &status) == 0)
      #expect(before[name] == FileStamp(status))
    }
  }

  @Test("F-10 A state directory that cannot be written is reported, and resources are published all the same")
  func unwritable() async throws {
    let site = try Site()
    site.write("a.yaml", service("a"))
    // A file in the directory's place: not even root can write below it.
    site.scratch.write("last-good", "")
    try await watching(site.files, lastGood: LastGoodDirectory(path: site.lastGood.path + "/x")) { results in
      try await results.reach("published") { $0.names == ["a"] }
      try await results.logged("The last good state could not be saved")
      site.write("a.yaml", service("b"))
      try await results.reach("published again") { $0.names == ["b"] }
      unlink(site.lastGood.path)
      mkdir(site.lastGood.path, 0o700)
      for _ in 0..<1_000 where try LastGoodDirectory(path: site.lastGood.path + "/x").load().isWhole == false {
        try await Task.sleep(for: .milliseconds(10))
      }
      #expect(try LastGoodDirectory(path: site.lastGood.path + "/x").load().isWhole)
    }
  }
}

@Suite("Files that change under the reader")
struct HostileFileTests {
  @Test("CF-05 What was put in a listed file's place is not read, and nothing that blocks is opened")
  func swapped() throws {
    let scratch = try Scratch()
    mkdir(scratch.path + "/r", 0o755)
    scratch.write("r/a.yaml", service("a"))
    scratch.write("secret.yaml", service("secret"))
    let root = DirectoryListing.read(scratch.path + "/r").root
    let path = scratch.path + "/r/a.yaml"
    func isChanging(_ listed: FileStamp?) -> Bool {
      if case .changing = ResourceFileReader.read(path, inside: root, listed: listed) { true } else { false }
    }
    let listed = DirectoryListing.read(root).stamp("a.yaml")
    #expect(listed != nil && !isChanging(listed))
    // A link out of the directory, also to a file that was listed under another name.
    unlink(path)
    symlink("../secret.yaml", path)
    #expect(isChanging(listed))
    #expect(isChanging(nil))
    #expect(DirectoryListing.read(root).stamp("a.yaml") == nil)
    unlink(path)
    link(scratch.path + "/secret.yaml", path)
    #expect(isChanging(listed))
    for special in ["/dev/zero", "/dev/tty", "/proc/self/mem", "/dev"] {
      guard case .content = ResourceFileReader.read(special) else { continue }
      Issue.record("\(special) was read")
    }
    unlink(path)
    mkfifo(path, 0o600)
    guard case .failure = ResourceFileReader.read(path) else {
      Issue.record("a FIFO was read")
      return
    }
  }

  @Test("CF-01 A file of 100 MB costs 1 MiB of reading")
  func large() throws {
    let scratch = try Scratch()
    scratch.write("a.yaml", "")
    truncate(scratch.path + "/a.yaml", 100 << 20)
    guard case .content(let bytes, _) = ResourceFileReader.read(scratch.path + "/a.yaml") else {
      Issue.record("not read")
      return
    }
    #expect(bytes.count == ResourceFileReader.limit)
  }

  @Test("CF-05 A thousand renames in a storm end in the last content, and no state between is a broken one")
  func storm() async throws {
    let scratch = try Scratch()
    scratch.write("a.yaml", service("s0") + policy("deny"))
    try await watching(scratch.path) { results in
      try await results.reach("first") { $0.names == ["s0"] }
      for round in 1...1_000 { scratch.replace("a.yaml", service("s\(round)") + policy("deny")) }
      try await results.reach("last") { $0.names == ["s1000"] && $0.problems.isEmpty }
      #expect(!results.log.lines.contains { $0.hasPrefix("Resource problem") })
    }
  }
}
