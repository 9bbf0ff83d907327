import Logging
import MeshBase
import MeshSnapshot
import MeshSync
import MeshWire
import ServiceLifecycle
import Testing

@Suite("Graceful shutdown")
struct GracefulShutdownTests {
  @Test("ends the streams of connected agents, and the server with them; a client ends too", .timeLimit(.minutes(1)))
  func withAgent() async throws {
    let directory = try TemporaryDirectory()
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let server = DiscoveryServer(
      DiscoveryServer.Configuration(socketPath: "\(directory.path)/control.sock"), epoch: 1, logger: logger)
    let client = DiscoveryClient(
      DiscoveryClient.Configuration(socketPath: "\(directory.path)/control.sock", node: "host-a"), logger: logger
    ) { _ in [] }
    server.publish(
      Snapshot([VersionedEntry(.config(ConfigEntry(trustDomain: "t")), version: ContentVersion(value: 1))]))
    let servers = ServiceGroup(services: [server], gracefulShutdownSignals: [], logger: logger)
    let clients = ServiceGroup(services: [client], gracefulShutdownSignals: [], logger: logger)
    let serving = Task { try await servers.run() }
    let following = Task { try await clients.run() }
    #expect(await eventually { client.status.phase == .complete })
    // A stream that did not end would hold the server up until the test's time is over.
    await servers.triggerGracefulShutdown()
    #expect((try? await serving.value) != nil)
    #expect(await eventually { client.status.phase == .disconnected })
    await clients.triggerGracefulShutdown()
    _ = try? await following.value
    #expect(client.status.connections == 1)
  }
}
