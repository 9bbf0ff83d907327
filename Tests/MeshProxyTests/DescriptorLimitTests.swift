import Foundation
import MeshBase
import MeshNet
import MeshTestSupport
import Testing

@Suite(.serialized) struct DescriptorLimitTests {
  /// The program itself: a limit of descriptors is one of a whole process.
  @Test(
    "without descriptors left the proxy pauses accepting instead of spinning, and goes on when some are free (RS-04)",
    arguments: [60, 61])
  func exhausted(limit: Int) async throws {
    let server = try LocalListener.open(SocketEndpoint(.loopbackV4, 0))
    let spare = try LocalListener.open(SocketEndpoint(.loopbackV4, 0))
    let port = ProxyBench.port(of: spare)
    close(spare)
    let proxy = try ProxyBench.startProgram(
      "ulimit -n \(limit); exec \"$0\" --loops 1 --log-level error --static-relay \"$1\"",
      "127.0.0.1:\(port)=127.0.0.1:\(ProxyBench.port(of: server))")
    defer {
      close(server)
      proxy.terminate()
      proxy.waitUntilExit()
    }
    #expect(eventually { ProxyBench.accepts(port: port) })
    let clients = (0..<40).map { _ in ProxyBench.dial(port: port) }
    #expect(
      try eventually { try Self.descriptors(of: proxy.processIdentifier) >= limit - 2 }, "nothing was exhausted")
    let before = try Self.processorTime(of: proxy.processIdentifier)
    try await Task.sleep(for: .seconds(2))
    let spent = try Self.processorTime(of: proxy.processIdentifier) - before
    #expect(spent < 200_000_000, "\(spent) ns of processor time in two seconds")
    for client in clients { close(client) }
    #expect(eventually(within: .seconds(20)) { self.isServed(port, by: server) })
  }

  /// Whether a byte on a new connection arrives; what was relayed before is closed meanwhile.
  private func isServed(_ port: UInt16, by server: CInt) -> Bool {
    let client = ProxyBench.dial(port: port)
    defer { close(client) }
    guard ProxyBench.send(client, 9) else { return false }
    for _ in 0..<100 {
      let accepted = accept(server, nil, nil)
      guard accepted >= 0 else {
        usleep(10_000)
        continue
      }
      defer { close(accepted) }
      ProxyBench.limit(accepted, seconds: 2)
      if ProxyBench.receive(accepted) == 9 { return true }
    }
    return false
  }

  private static func descriptors(of process: Int32) throws -> Int {
    try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/fd").count
  }

  /// Nanoseconds of all threads.
  private static func processorTime(of process: Int32) throws -> Int {
    try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/task").reduce(0) { sum, task in
      let text = try String(contentsOfFile: "/proc/\(process)/task/\(task)/schedstat", encoding: .utf8)
      return sum + (Int(text.prefix(while: { $0 != " " })) ?? 0)
    }
  }
}
