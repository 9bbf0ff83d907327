import Glibc
import Logging
import MeshBase
import MeshCompiler
import MeshControlPlane
import MeshLinux
import MeshSnapshot
import MeshSync
import MeshWire
import Synchronization
import Testing

/// A directory that goes, with the plain files in it, with the value.
final class TemporaryDirectory: Sendable {
  let path: String

  init() throws {
    var template = Array("/tmp/mt-control-XXXXXX".utf8CString)
    let made = template.withUnsafeMutableBufferPointer { buffer -> String? in
      guard let base = buffer.baseAddress, let path = mkdtemp(base) else { return nil }
      return String(cString: path)
    }
    self.path = try #require(made)
  }

  deinit {
    Self.remove(self.path)
  }

  private static func remove(_ path: String) {
    if let directory = opendir(path) {
      while let entry = readdir(directory) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
          pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name != ".", name != ".." { Self.remove("\(path)/\(name)") }
      }
      closedir(directory)
    }
    Glibc.remove(path)
  }

  func write(_ name: String, _ text: String) throws {
    let temporary = "\(self.path)/\(name).new"
    let file = try #require(fopen(temporary, "w"))
    fputs(text, file)
    fclose(file)
    #expect(chmod(temporary, 0o600) == 0)
    #expect(rename(temporary, "\(self.path)/\(name)") == 0)
  }
}

func eventually(_ condition: () async -> Bool) async -> Bool {
  let deadline = ContinuousClock.now.advanced(by: .seconds(20))
  while ContinuousClock.now < deadline {
    if await condition() { return true }
    try? await Task.sleep(for: .milliseconds(10))
  }
  return await condition()
}

@Suite("What survives a restart of the control plane")
struct StateDirectoryTests {
  @Test("XD-12: the epoch grows with each start, also if the clock goes back")
  func epoch() throws {
    let directory = try TemporaryDirectory()
    let state = try StateDirectory(path: directory.path)
    #expect(try state.nextEpoch(now: 1000) == 1000)
    #expect(try state.nextEpoch(now: 1000) == 1001)
    #expect(try StateDirectory(path: directory.path).nextEpoch(now: 5) == 1002)
    #expect(try state.nextEpoch(now: 2000) == 2000)
    #expect(try state.nextEpoch(now: -7) == 2001)
  }

  @Test("missing parents are made, 0700; what cannot be used is an error that says what to do")
  func parents() throws {
    let directory = try TemporaryDirectory()
    let deep = "\(directory.path)/a/b/c"
    #expect(try StateDirectory(path: deep).nextEpoch(now: 7) == 7)
    #expect(try StateDirectory(path: deep + "/").nextEpoch(now: 7) == 8)
    for path in [deep, "\(directory.path)/a/b", "\(directory.path)/a"] {
      let mode = try DiskFile.status(path)?.mode
      #expect(mode.map { $0 & 0o777 } == 0o700)
    }
    try directory.write("file", "")
    #expect(chmod(deep, 0o770) == 0)
    for path in ["\(directory.path)/file", "\(directory.path)/file/x", deep, "/proc/nowhere", ""] {
      #expect {
        try StateDirectory(path: path)
      } throws: { error in
        (error as? MeshError)?.next?.contains("--state-dir") == true
      }
    }
  }

  @Test(
    "a damaged epoch is an error that says what to do, not a beginning from one",
    arguments: ["", "x", "-1", "1.5", "18446744073709551615", "99999999999999999999999"])
  func damagedEpoch(text: String) throws {
    let directory = try TemporaryDirectory()
    try directory.write("epoch", text)
    let state = try StateDirectory(path: directory.path)
    #expect {
      try state.nextEpoch(now: 1)
    } throws: { error in
      (error as? MeshError)?.next != nil
    }
  }
}

@Suite("From a directory of YAML to an agent")
struct ControlPlaneTests {
  private static func resources(_ name: String) -> String {
    """
    apiVersion: martlet.dev/v1alpha1
    kind: Workload
    metadata: {name: \(name), namespace: shop, labels: {app: web}}
    spec: {node: host-a, serviceAccount: web, networkNamespace: /run/netns/\(name)}
    ---
    apiVersion: v1
    kind: Service
    metadata: {name: web, namespace: shop}
    spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}

    """
  }

  @Test("an agent gets what the files say, follows a change, and keeps its address over a restart")
  func wholeWay() async throws {
    let (files, state, run) = (try TemporaryDirectory(), try TemporaryDirectory(), try TemporaryDirectory())
    try files.write("a.yaml", Self.resources("one"))
    let configuration = ControlPlane.Configuration(
      resources: files.path, socketPath: "\(run.path)/control.sock", stateDirectory: state.path)
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let held = Mutex(Snapshot())
    let client = DiscoveryClient(
      DiscoveryClient.Configuration(socketPath: configuration.socketPath, node: "host-a"), logger: logger
    ) { batch in
      held.withLock { $0.apply(batch.delta) }
      return []
    }
    let agent = Task { try await client.run() }
    func names() -> [String] { held.withLock { $0.workloads.keys.map(\.name).sorted() } }
    func address() -> [IPAddress] { held.withLock { $0.services.values.flatMap(\.value.addresses) } }

    let first = Task { try await ControlPlane.run(configuration, logger: logger) }
    #expect(await eventually { names() == ["one"] && client.status.phase == .complete })
    let before = address()
    #expect(!before.isEmpty)
    try files.write("a.yaml", Self.resources("two"))
    #expect(await eventually { names() == ["two"] })
    // A half-written file withdraws nothing.
    try files.write("a.yaml", "kind: [")
    try await Task.sleep(for: .milliseconds(500))
    #expect(names() == ["two"])
    first.cancel()
    _ = try? await first.value
    #expect(await eventually { client.status.phase == .disconnected })
    #expect(names() == ["two"])

    try files.write("a.yaml", Self.resources("three"))
    let second = Task { try await ControlPlane.run(configuration, logger: logger) }
    #expect(await eventually { names() == ["three"] && client.status.phase == .complete })
    #expect(address() == before)
    second.cancel()
    _ = try? await second.value
    agent.cancel()
    _ = try? await agent.value
  }

  @Test("a check lists every problem and says whether there is an error")
  func check() throws {
    let files = try TemporaryDirectory()
    try files.write("a.yaml", Self.resources("one"))
    let good = try ResourceCheck(resources: files.path)
    #expect(!good.hasErrors)
    #expect(good.lines.last == "2 resources, 0 errors")
    try files.write("a.yaml", Self.resources("one") + "---\nkind: Nothing\n")
    let bad = try ResourceCheck(resources: files.path)
    #expect(bad.hasErrors)
    #expect(bad.lines.count > 1)
    #expect(bad.lines.first?.contains("a.yaml:") == true)
  }

  @Test("a check of a directory that is empty or not there is an error")
  func checkNothing() throws {
    let empty = try TemporaryDirectory()
    for path in [empty.path, "/nonexistent"] {
      #expect(throws: MeshError.self) { try ResourceCheck(resources: path) }
    }
  }
}
