import Foundation
import Glibc
import MeshBase
import Synchronization

/// One run of iperf3 between two network namespaces: a server for one client (`-1`), both ended by `timeout` whatever
/// happens.
struct IperfRun: Sendable {
  var iperf3: String
  var nsenter: String
  var timeout: String
  var seconds: Int
  var streams: Int

  /// Seconds after which a run is ended.
  var limit: Int { self.seconds + 10 }

  /// Processes to end on a signal; `timeout` passes it on to what it runs. 0: none.
  private static let server = Atomic<Int32>(0)
  private static let client = Atomic<Int32>(0)

  /// The path of a namespace that is there, from its path or its name in /run/netns.
  static func namespace(_ name: String) throws(MeshError) -> String {
    let path = name.contains("/") ? name : "/run/netns/" + name
    guard FileManager.default.fileExists(atPath: path) else {
      throw MeshError(
        .notFound, "network namespace \(name)", "is not there", next: "ip netns list names those that are")
    }
    return path
  }

  /// SIGINT, SIGTERM and SIGHUP end both processes, then this one. `timeout` makes a process group of its own, which a
  /// terminal's Ctrl-C does not reach.
  static func endOnSignals() {
    // Made now: a handler must not be the first to touch them.
    _ = (self.server.load(ordering: .relaxed), self.client.load(ordering: .relaxed))
    for number in [SIGINT, SIGTERM, SIGHUP] {
      signal(number) { number in
        for process in [
          IperfRun.server.load(ordering: .relaxed), IperfRun.client.load(ordering: .relaxed),
        ] where process > 0 { kill(process, SIGTERM) }
        _exit(128 + number)
      }
    }
  }

  /// Bits a second. The server needs a moment to listen: a client that comes too early is refused and tries again.
  func measure(
    _ target: SocketEndpoint, client: String, server: String, port: UInt16
  ) throws(MeshError) -> Double {
    let listener = try self.start(
      [self.nsenter, "--net=" + server, self.iperf3, "-s", "-1", "-p", String(port)], FileHandle.nullDevice)
    Self.server.store(listener.processIdentifier, ordering: .relaxed)
    defer {
      if listener.isRunning { listener.terminate() }
      listener.waitUntilExit()
      Self.server.store(0, ordering: .relaxed)
    }
    var last = MeshError(.unavailable, "iperf3", "did not run")
    for _ in 0..<20 {
      usleep(100_000)
      guard listener.isRunning else {
        throw MeshError(.conflict, "iperf3 -s", "ended at once: something else listens on port \(port)", cause: nil)
      }
      let output = Pipe()
      let run = try self.start(
        [
          self.nsenter, "--net=" + client, self.iperf3, "-J", "-c", target.address.description, "-p",
          String(target.port), "-t", String(self.seconds), "-P", String(self.streams),
        ], output)
      Self.client.store(run.processIdentifier, ordering: .relaxed)
      let text = String(decoding: (try? output.fileHandleForReading.readToEnd()) ?? Data(), as: UTF8.self)
      run.waitUntilExit()
      Self.client.store(0, ordering: .relaxed)
      if run.terminationStatus == 124 {
        throw MeshError(.unavailable, "iperf3", "did not end within \(self.limit) s")
      }
      do {
        return try BenchResult.bitsPerSecond(text)
      } catch {
        last = error
      }
    }
    throw last
  }

  private func start(_ arguments: [String], _ output: Any) throws(MeshError) -> Process {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: self.timeout)
    process.arguments = ["-k", "1", String(self.limit)] + arguments
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    do {
      try process.run()
    } catch {
      throw MeshError(.internal, self.timeout, "cannot be started", cause: "\(error)")
    }
    return process
  }
}
