import FoundationEssentials
import Logging
import MeshBase
import MeshControlPlane
import MeshIdentity
import MeshProto
import MeshSnapshot
import MeshSync
import MeshTelemetry
import MeshWire
import NIOCore
import NIOPosix
import NIOSSL
import Testing
import X509

/// A control plane's wire on a port of loopback, with an authority of its own.
final class NetworkFixture: Sendable {
  let directory: TemporaryDirectory
  let authority: AuthorityOffice
  let identities: IdentityOffice
  let server: DiscoveryServer
  let task: Task<Void, any Error>
  let address: SocketEndpoint
  static let identity = SPIFFEID(trustDomain: "mesh.test", namespace: "shop", serviceAccount: "web")

  init() async throws {
    let directory = try TemporaryDirectory()
    let state = try StateDirectory(path: directory.path)
    let authority = AuthorityOffice(.directory(try state.authority()))
    try authority.open(trustDomain: "mesh.test", now: .now)
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let identities = try IdentityOffice(authority, state: state, logger: logger) { identity, node in
      identity == Self.identity && node == "host-a"
    }
    var configuration = DiscoveryServer.Configuration(socketPath: "\(directory.path)/control.sock")
    configuration.networkAddress = SocketEndpoint(IPAddress(v4: 0x7f00_0001), 0)
    let server = DiscoveryServer(configuration, epoch: 1, authority: identities, logger: logger)
    let task = Task { try await server.run() }
    #expect(await eventually { server.networkAddress != nil })
    self.address = try #require(server.networkAddress)
    self.directory = directory
    self.authority = authority
    self.identities = identities
    self.server = server
    self.task = task
  }

  func publish(_ trustDomain: String = "mesh.test") {
    let snapshot = Snapshot([VersionedEntry(.config(ConfigEntry(trustDomain: trustDomain)))])
    self.server.publish(snapshot.trusting(self.authority.verifier))
  }

  func token(_ node: String) throws -> JoinToken {
    try #require(JoinToken(try self.identities.createToken(node: node, lifetime: 60, now: .now).token))
  }

  func request(_ subject: String, _ key: IdentityKey) throws -> [UInt8] {
    try CertificateRequest.make(try #require(CertificateSubject(subject)), key: key)
  }

  func strangers(_ fingerprint: String) -> ControlPlaneAddress {
    .network(self.address) { ClientCredential(trust: .fingerprint(fingerprint)) }
  }

  func join(_ node: String, _ key: IdentityKey, _ token: JoinToken? = nil) async throws -> CertificateAnswer {
    let token = try token ?? self.token(node)
    return try await IdentityClient.ask(
      .join(
        node: node, token: token.description, request: try self.request("spiffe://mesh.test/martlet/node/\(node)", key)),
      self.strangers(token.fingerprint))
  }

  func credential(_ answer: CertificateAnswer, _ key: IdentityKey) throws -> ClientCredential {
    let verifier = try #require(self.authority.verifier)
    return ClientCredential(chain: answer.chain, key: key, trust: .roots(verifier))
  }

  func client(
    _ node: String, _ address: ControlPlaneAddress
  ) -> DiscoveryClient {
    var configuration = DiscoveryClient.Configuration(address, node: node)
    configuration.backoff = Backoff(initial: .milliseconds(10), maximum: .milliseconds(50))
    return DiscoveryClient(configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }) { _ in [] }
  }

  func stop() async {
    self.task.cancel()
    _ = try? await self.task.value
  }
}

@Suite("Nodes join and are served over the network")
struct NetworkTests {
  @Test("a token lets a node in once; its certificate opens a session; it is named by its certificate alone (XD-13)")
  func wholeWay() async throws {
    let fixture = try await NetworkFixture()
    fixture.publish()
    let (key, token) = (IdentityKey(), try fixture.token("host-a"))
    let answer = try await fixture.join("host-a", key, token)
    #expect(answer.trustDomain == "mesh.test")
    #expect(answer.roots.count == 1)
    // An answer that was lost: the same key may ask again, another may not.
    _ = try await fixture.join("host-a", key, token)
    await #expect(throws: (any Error).self) { try await fixture.join("host-a", IdentityKey(), token) }
    await #expect(throws: (any Error).self) { try await fixture.join("host-b", key, token) }

    let credential = try fixture.credential(answer, key)
    let client = fixture.client("host-a", .network(fixture.address) { credential })
    let running = Task { try await client.run() }
    #expect(await eventually { client.status.phase == .complete })
    #expect(await eventually { fixture.server.allHoldConfig })
    // Roots that change are not held before they are acknowledged.
    try fixture.authority.rotate(spread: 0, now: .now)
    fixture.publish()
    #expect(await eventually { fixture.server.allHoldConfig })

    let impostor = fixture.client("host-b", .network(fixture.address) { credential })
    let other = Task { try await impostor.run() }
    #expect(await eventually { impostor.status.lastError?.contains("host-a") == true })
    #expect(impostor.status.phase == .disconnected)
    for task in [running, other] {
      task.cancel()
      _ = try? await task.value
    }
    await fixture.stop()
  }

  @Test("TL-14: a workload's certificate is signed for the node that it is placed on, and for no other")
  func signing() async throws {
    let fixture = try await NetworkFixture()
    fixture.publish()
    var clients: [String: DiscoveryClient] = [:]
    var tasks: [Task<Void, any Error>] = []
    for node in ["host-a", "host-b"] {
      let key = IdentityKey()
      let credential = try fixture.credential(try await fixture.join(node, key), key)
      let client = fixture.client(node, .network(fixture.address) { credential })
      clients[node] = client
      tasks.append(Task { try await client.run() })
      #expect(await eventually { client.status.phase == .complete })
    }
    let key = IdentityKey()
    let wanted = try fixture.request("spiffe://mesh.test/ns/shop/sa/web", key)
    let (here, there) = (try #require(clients["host-a"]), try #require(clients["host-b"]))
    let answer = try await here.sign(wanted)
    let verifier = try #require(fixture.authority.verifier)
    let subject = await verifier.verify(answer.chain, purpose: .server, now: .now)
    #expect(subject == .success(try #require(CertificateSubject("spiffe://mesh.test/ns/shop/sa/web"))))
    await #expect(throws: (any Error).self) { try await there.sign(wanted) }
    for name in ["ns/shop/sa/other", "martlet/control", "martlet/node/host-a", "martlet/node/host-b"] {
      let request = try fixture.request("spiffe://mesh.test/\(name)", key)
      await #expect(throws: (any Error).self) { try await here.sign(request) }
    }
    #expect(fixture.identities.refused["identity-not-placed"] == 2)
    for task in tasks {
      task.cancel()
      _ = try? await task.value
    }
    await fixture.stop()
  }

  @Test("F-19, F-20: renewal needs the key of the node alone: neither a certificate nor a token")
  func renewal() async throws {
    let fixture = try await NetworkFixture()
    let (key, token) = (IdentityKey(), try fixture.token("host-a"))
    _ = try await fixture.join("host-a", key, token)
    let verifier = try #require(fixture.authority.verifier)
    let without = ControlPlaneAddress.network(fixture.address) { ClientCredential(trust: .roots(verifier)) }
    let request = try fixture.request("spiffe://mesh.test/martlet/node/host-a", key)
    let answer = try await IdentityClient.ask(.renew(request: request), without)
    #expect(answer.chain.count == 2)
    let strange = try fixture.request("spiffe://mesh.test/martlet/node/host-a", IdentityKey())
    await #expect(throws: (any Error).self) { try await IdentityClient.ask(.renew(request: strange), without) }
    try fixture.identities.putOut(node: "host-a")
    await #expect(throws: (any Error).self) { try await IdentityClient.ask(.renew(request: request), without) }
    #expect(fixture.identities.refused["node-key"] == 1)
    #expect(fixture.identities.refused["node-unknown"] == 1)
    // After a restart the ledgers are what they were.
    _ = try await fixture.join("host-b", key)
    let state = try StateDirectory(path: fixture.directory.path)
    let again = try IdentityOffice(
      fixture.authority, state: state, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    ) { _, _ in false }
    #expect(throws: MeshError.self) {
      try again.join(
        node: "host-a", token: token.description,
        request: try fixture.request("spiffe://mesh.test/martlet/node/host-a", IdentityKey()), now: .now)
    }
    #expect(again.refused["token-used"] == 1)
    await fixture.stop()
  }

  @Test("without a certificate there is no session and no signature")
  func strangers() async throws {
    let fixture = try await NetworkFixture()
    fixture.publish()
    let verifier = try #require(fixture.authority.verifier)
    let address = ControlPlaneAddress.network(fixture.address) { ClientCredential(trust: .roots(verifier)) }
    let client = fixture.client("host-a", address)
    let running = Task { try await client.run() }
    #expect(await eventually { client.status.lastError?.contains("no certificate") == true })
    let request = try fixture.request("spiffe://mesh.test/ns/shop/sa/web", IdentityKey())
    await #expect(throws: (any Error).self) {
      try await IdentityClient.ask(.sign(node: "host-a", request: request), address)
    }
    running.cancel()
    _ = try? await running.value
    await fixture.stop()
  }

  @Test(
    "XD-10: an agent talks to no control plane but its own: other roots, another's fingerprint, no control plane's name"
  )
  func impostor() async throws {
    let fixture = try await NetworkFixture()
    fixture.publish()
    let other = try await NetworkFixture()
    let (key, token) = (IdentityKey(), try other.token("host-a"))
    // The token of one mesh is not given to another's control plane.
    await #expect(throws: MeshError.self) { try await fixture.join("host-a", key, token) }
    #expect(other.identities.refused.isEmpty)
    #expect(fixture.identities.refused.isEmpty)
    let credential = try other.credential(try await other.join("host-a", key), key)
    let client = fixture.client("host-a", .network(fixture.address) { credential })
    let running = Task { try await client.run() }
    #expect(await eventually { client.status.lastError?.contains("untrusted") == true })
    running.cancel()
    _ = try? await running.value
    await fixture.stop()
    await other.stop()
  }

  @Test("TL-01, TL-12: certificates that another signed are refused, and one that is revoked ends its stream")
  func revoked() async throws {
    let fixture = try await NetworkFixture()
    fixture.publish()
    let (key, strange) = (IdentityKey(), try await NetworkFixture())
    let answer = try await fixture.join("host-a", key)
    let foreign = try await strange.join("host-a", key)
    let verifier = try #require(fixture.authority.verifier)
    let bad = fixture.client(
      "host-a", .network(fixture.address) { ClientCredential(chain: foreign.chain, key: key, trust: .roots(verifier)) })
    let knocking = Task { try await bad.run() }
    #expect(await eventually { fixture.server.refusals["untrusted"] != nil })
    #expect(bad.status.connections == 0)
    knocking.cancel()
    _ = try? await knocking.value

    let credential = try fixture.credential(answer, key)
    let client = fixture.client("host-a", .network(fixture.address) { credential })
    let running = Task { try await client.run() }
    #expect(await eventually { client.status.phase == .complete })
    let leaf = try LeafCertificate(
      der: try #require(answer.chain.first), trustDomain: "mesh.test", purpose: .client, now: .now)
    try fixture.authority.revoke(serial: Array(leaf.certificate.serialNumber.bytes), now: .now)
    fixture.publish()
    #expect(await eventually { client.status.phase == .disconnected })
    #expect(await eventually { fixture.server.refusals["revoked"] != nil })
    running.cancel()
    _ = try? await running.value
    await fixture.stop()
    await strange.stop()
  }

  @Test("TL-10, TL-07: TLS 1.2 is refused, and so is a peer that does not say h2", arguments: [true, false])
  func oldTLS(isOld: Bool) async throws {
    let fixture = try await NetworkFixture()
    var configuration = TLSConfiguration.makeClientConfiguration()
    configuration.certificateVerification = .none
    configuration.applicationProtocols = isOld ? ["h2"] : ["http/1.1"]
    if isOld { configuration.maximumTLSVersion = .tlsv12 }
    let context = try NIOSSLContext(configuration: configuration)
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(NIOSSLClientHandler(context: context, serverHostname: nil))
        }
      }
      .connect(host: "127.0.0.1", port: Int(fixture.address.port)).get()
    _ = try? await channel.closeFuture.get()
    #expect(!channel.isActive)
    await fixture.stop()
  }
}
