import Glibc
import Logging
import MeshBase
import MeshCompiler
import MeshSnapshot
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import MeshStore

/// A directory of its own, removed at the end.
struct Scratch: ~Copyable {
  let path: String

  init() throws {
    var template = Array("/tmp/martlet-store-XXXXXX".utf8CString)
    let made = template.withUnsafeMutableBufferPointer { buffer in
      buffer.baseAddress.flatMap { mkdtemp($0) }.map { String(cString: $0) }
    }
    self.path = try #require(made)
  }

  deinit { Self.remove(self.path) }

  private static func remove(_ path: String) {
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    if status.st_mode & S_IFMT == S_IFDIR {
      if let directory = opendir(path) {
        while let entry = readdir(directory) {
          let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
            pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
          }
          if name != ".", name != ".." { Self.remove(path + "/" + name) }
        }
        closedir(directory)
      }
      rmdir(path)
    } else {
      unlink(path)
    }
  }

  func write(_ name: String, _ text: String, mode: mode_t = 0o644) {
    let path = self.path + "/" + name
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    let bytes = Array(text.utf8)
    _ = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
    fchmod(descriptor, mode)
    close(descriptor)
  }

  func replace(_ name: String, _ text: String) {
    self.write(".tmp-\(name)", text)
    rename(self.path + "/.tmp-\(name)", self.path + "/" + name)
  }
}

func service(_ name: String, port: Int = 80) -> String {
  "---\napiVersion: v1\nkind: Service\nmetadata: {name: \(name)}\nspec: {ports: [{port: \(port)}]}\n"
}

/// Watches a directory while `body` runs; `body` waits for states of the newest result.
func watching(
  _ path: String, vips: VIPStateFile? = nil, lastGood: LastGoodDirectory? = nil,
  _ body: (Results) async throws -> Void
) async throws {
  var configuration = ResourceDirectory.Configuration(path: path, vipState: vips, lastGood: lastGood)
  configuration.pollInterval = .milliseconds(200)
  let log = Log()
  let directory = ResourceDirectory(
    configuration, group: MultiThreadedEventLoopGroup.singleton,
    logger: Logger(label: "test") { _ in LogCapture(log: log) })
  let results = Results(log: log)
  let run = Task { try? await directory.run() }
  let collect = Task { for await result in directory.results { await results.set(result) } }
  defer {
    run.cancel()
    collect.cancel()
  }
  try await body(results)
  run.cancel()
  await run.value
  await collect.value
}

/// Lines that were logged, with their metadata.
final class Log: Sendable {
  private let state = Mutex<[String]>([])
  var lines: [String] { self.state.withLock { $0 } }
  func add(_ line: String) { self.state.withLock { $0.append(line) } }
}

struct LogCapture: LogHandler {
  let log: Log
  var metadata: Logger.Metadata = [:]
  var logLevel = Logger.Level.trace

  init(log: Log) { self.log = log }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { self.metadata[key] }
    set { self.metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    self.log.add("\(event.message) \((event.metadata ?? [:]).map { "\($0.key)=\($0.value)" }.sorted())")
  }
}

actor Results {
  private(set) var newest: CompileResult?
  private(set) var count = 0
  let log: Log

  init(log: Log) { self.log = log }

  /// Waits until such a line is logged, at most 10 s.
  func logged(_ parts: String..., line: Int = #line) async throws {
    for _ in 0..<1_000 {
      if self.log.lines.contains(where: { text in parts.allSatisfy { text.contains($0) } }) { return }
      try await Task.sleep(for: .milliseconds(10))
    }
    Issue.record("not logged: \(parts) (line \(line)): \(self.log.lines)")
  }

  func set(_ result: CompileResult) {
    self.newest = result
    self.count += 1
  }

  /// Waits until the condition holds, at most 30 s.
  func reach(_ what: String, _ condition: (CompileResult) -> Bool, line: Int = #line) async throws {
    for _ in 0..<3_000 {
      if let newest, condition(newest) { return }
      try await Task.sleep(for: .milliseconds(10))
    }
    Issue.record("\(what) (line \(line)): \(self.newest.map { "\($0.problems)" } ?? "no result")")
  }

  func names() -> [String] { self.newest?.snapshot.services.keys.map(\.name).sorted() ?? [] }
}

extension CompileResult {
  var names: [String] { self.snapshot.services.keys.map(\.name).sorted() }
}

@Suite("A watched directory")
struct ResourceDirectoryTests {
  @Test("Files appear, change by writing and by rename, and vanish")
  func life() async throws {
    let scratch = try Scratch()
    scratch.write("a.yaml", service("a"))
    mkdir(scratch.path + "/sub", 0o755)
    scratch.write("sub/b.yml", service("b"))
    scratch.write(
      "c.json", #"{"apiVersion":"v1","kind":"Service","metadata":{"name":"c"},"spec":{"ports":[{"port":1}]}}"#)
    scratch.write(".hidden.yaml", service("hidden"))
    scratch.write("note.txt", "no resource")
    try await watching(scratch.path) { results in
      try await results.reach("three") { $0.names == ["a", "b", "c"] }
      scratch.write("sub/d.yaml", service("d"))
      try await results.reach("a new file in a subdirectory") { $0.names == ["a", "b", "c", "d"] }
      scratch.replace("a.yaml", service("e"))
      try await results.reach("a rename over a file") { $0.names == ["b", "c", "d", "e"] }
      unlink(scratch.path + "/c.json")
      try await results.reach("a removed file") { $0.names == ["b", "d", "e"] }
    }
  }

  @Test("CF-05 A half-written file changes nothing until it is whole")
  func halfWritten() async throws {
    let scratch = try Scratch()
    scratch.write("a.yaml", service("a") + service("b"))
    try await watching(scratch.path) { results in
      try await results.reach("both") { $0.names == ["a", "b"] }
      scratch.write("a.yaml", service("a") + "---\napiVersion: v1\nkind: Serv")
      try await results.reach("a problem, and the last good state") { !$0.problems.isEmpty && $0.names == ["a", "b"] }
      scratch.write("a.yaml", service("a") + service("c"))
      try await results.reach("whole again") { $0.problems.isEmpty && $0.names == ["a", "c"] }
    }
  }

  @Test("CF-05 A ConfigMap's link swap is noticed; a link out of the directory is refused")
  func links() async throws {
    let scratch = try Scratch()
    for version in ["1", "2"] {
      mkdir(scratch.path + "/..v\(version)", 0o755)
      scratch.write("..v\(version)/a.yaml", service("v\(version)"))
    }
    symlink("..v1", scratch.path + "/..data")
    symlink("..data/a.yaml", scratch.path + "/a.yaml")
    try await watching(scratch.path) { results in
      try await results.reach("the first version") { $0.names == ["v1"] }
      symlink("..v2", scratch.path + "/..next")
      rename(scratch.path + "/..next", scratch.path + "/..data")
      try await results.reach("the second version") { $0.names == ["v2"] }
      symlink("/etc/hostname", scratch.path + "/out.yaml")
      symlink("loop.yaml", scratch.path + "/loop.yaml")
      mkfifo(scratch.path + "/pipe.yaml", 0o600)
      try await results.reach("three refusals") { result in
        result.names == ["v2"] && Set(result.errors.map(\.file)) == ["out.yaml", "loop.yaml", "pipe.yaml"]
      }
    }
  }

  @Test("CF-05 A file that everybody may write is refused, and its last good content stays")
  func modes() async throws {
    let scratch = try Scratch()
    scratch.write("a.yaml", service("a"))
    try await watching(scratch.path) { results in
      try await results.reach("one") { $0.names == ["a"] && $0.errors.isEmpty }
      scratch.write("b.yaml", service("b"), mode: 0o666)
      try await results.reach("one of two") { $0.names == ["a"] && $0.errors.map(\.file) == ["b.yaml"] }
      scratch.write("a.yaml", service("evil"), mode: 0o666)
      try await results.reach("both refused") { $0.names == ["a"] && $0.errors.count == 2 }
      chmod(scratch.path + "/a.yaml", 0o644)
      try await results.reach("trusted again") { $0.names == ["evil"] && $0.errors.count == 1 }
      chmod(scratch.path, 0o777)
      try await results.reach("the directory itself") { $0.names == ["evil"] && $0.errors.contains { $0.file == "." } }
    }
  }

  @Test("An emptied or removed directory keeps the world")
  func emptied() async throws {
    let scratch = try Scratch()
    mkdir(scratch.path + "/r", 0o755)
    scratch.write("r/a.yaml", service("a"))
    try await watching(scratch.path + "/r") { results in
      try await results.reach("one") { $0.names == ["a"] }
      unlink(scratch.path + "/r/a.yaml")
      try await results.reach("kept when empty") { $0.names == ["a"] && $0.errors.map(\.file) == ["."] }
      rmdir(scratch.path + "/r")
      try await results.reach("kept when gone") { result in
        result.names == ["a"] && result.errors.contains { $0.message.contains("No such file") }
      }
      mkdir(scratch.path + "/r", 0o755)
      scratch.write("r/b.yaml", service("b"))
      try await results.reach("back with another file") { $0.names == ["b"] && $0.problems.isEmpty }
    }
  }

  @Test("Service addresses survive a restart, and a damaged state is an error, not a new start")
  func vips() async throws {
    let scratch = try Scratch()
    mkdir(scratch.path + "/r", 0o755)
    scratch.write("r/a.yaml", service("a"))
    let file = VIPStateFile(path: scratch.path + "/vips")
    var addresses: [IPAddress] = []
    try await watching(scratch.path + "/r", vips: file) { results in
      try await results.reach("one") { $0.names == ["a"] }
      addresses = await results.newest?.snapshot.services.values.first?.value.addresses ?? []
    }
    #expect(addresses.count == 2)
    let name = try #require(ResourceName("default/a"))
    #expect(try file.load().addresses(of: name) == addresses.sorted())
    scratch.write("vips", "martlet-vips 1\n240.240.0.1 default/a -\n")
    #expect(throws: MeshError.self) { try file.load() }
    #expect(try VIPStateFile(path: scratch.path + "/none").load() == VIPAllocator())
  }
}
