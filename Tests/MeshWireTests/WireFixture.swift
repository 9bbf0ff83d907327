import GRPCCore
import Glibc
import Logging
import MeshBase
import MeshProto
import MeshSnapshot
import MeshSync
import MeshWire
import Synchronization
import Testing

func entry(_ name: String, app: String = "a") throws -> VersionedEntry {
  let name = try #require(ResourceName(name))
  let identity = try #require(SPIFFEID(trustDomain: "t", namespace: "a", serviceAccount: "b"))
  return VersionedEntry(.workload(WorkloadEntry(name: name, node: "n", identity: identity, app: app)))
}

func snapshot(_ names: [String], app: String = "a") throws -> Snapshot {
  var snapshot = Snapshot([VersionedEntry(.config(ConfigEntry(trustDomain: "t")))])
  for name in names { snapshot.insert(try entry(name, app: app)) }
  return snapshot
}

/// A directory that goes with the value.
final class TemporaryDirectory: Sendable {
  let path: String

  init() throws {
    var template = Array("/tmp/mt-wire-XXXXXX".utf8CString)
    let made = template.withUnsafeMutableBufferPointer { buffer -> String? in
      guard let base = buffer.baseAddress, let path = mkdtemp(base) else { return nil }
      return String(cString: path)
    }
    self.path = try #require(made)
  }

  deinit {
    for name in ["control.sock", "control.sock.lock", "control.sock.new"] { unlink("\(self.path)/\(name)") }
    rmdir(self.path)
  }

  var socket: String { "\(self.path)/control.sock" }
}

/// A node's side: applies every batch but for the names that it refuses.
final class Node: Sendable {
  struct State {
    var snapshot = Snapshot()
    var refused: Set<String> = []
    var batches: [SessionBatch] = []
  }

  private let state = Mutex(State())

  var snapshot: Snapshot { self.state.withLock { $0.snapshot } }
  var batches: [SessionBatch] { self.state.withLock { $0.batches } }

  func refuse(_ names: Set<String>) { self.state.withLock { $0.refused = names } }

  func apply(_ batch: SessionBatch) -> [Rejection] {
    self.state.withLock { state in
      state.batches.append(batch)
      var delta = batch.delta
      let refused = state.refused
      let rejections = delta.upserts.map { $0.value.key.name }.filter { refused.contains($0) }
      delta.upserts.removeAll { refused.contains($0.value.key.name) }
      state.snapshot.apply(delta)
      return rejections.map { Rejection(name: $0, reason: "refused by the test") }
    }
  }
}

func quiet() -> Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }

/// Waits until the condition holds; false after `seconds`.
func eventually(seconds: Int = 20, _ condition: () async throws -> Bool) async rethrows -> Bool {
  let deadline = ContinuousClock.now.advanced(by: .seconds(seconds))
  while ContinuousClock.now < deadline {
    if try await condition() { return true }
    try? await Task.sleep(for: .milliseconds(5))
  }
  return try await condition()
}

/// Runs a server for as long as `body` takes.
func withServer(
  _ directory: TemporaryDirectory, epoch: UInt64 = 1,
  _ configure: (inout DiscoveryServer.Configuration) -> Void = { _ in },
  _ body: (DiscoveryServer) async throws -> Void
) async throws {
  var configuration = DiscoveryServer.Configuration(socketPath: directory.socket)
  configure(&configuration)
  let server = DiscoveryServer(configuration, epoch: epoch, logger: quiet())
  let running = Task { try await server.run() }
  await server.waitUntilListening()
  do {
    try await body(server)
  } catch {
    running.cancel()
    _ = try? await running.value
    throw error
  }
  running.cancel()
  _ = try? await running.value
}

/// Runs a client for as long as `body` takes.
func withClient(
  _ directory: TemporaryDirectory, _ node: Node, held: [EntryKey: ContentVersion] = [:], version: SystemVersion? = nil,
  _ body: (DiscoveryClient) async throws -> Void
) async throws {
  let client = DiscoveryClient(
    DiscoveryClient.Configuration(socketPath: directory.socket, node: "host-a"), held: held, version: version,
    logger: quiet()
  ) { node.apply($0) }
  let running = Task { try await client.run() }
  do {
    try await body(client)
  } catch {
    running.cancel()
    _ = try? await running.value
    throw error
  }
  running.cancel()
  _ = try? await running.value
}
