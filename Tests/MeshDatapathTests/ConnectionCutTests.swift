import MeshBase
import MeshDatapath
import MeshPolicy
import MeshSnapshot
import Testing

@Suite("Connection cut")
struct ConnectionCutTests {
  let client = name("client")
  let server = name("server")
  let clientAddress = address("10.0.0.1")
  let serverAddress = address("10.0.0.2")
  let outsider = address("192.168.0.1")

  /// `server` is protected by a DENY of this source; both are enrolled.
  func cut(
    deny: SourceMatch, failureMode: FailureMode = .closed, isMissing: Bool = false, opensTunnels: Bool = false
  ) -> ConnectionCut {
    var snapshot = Snapshot()
    func insert(_ entry: Entry) { snapshot.insert(VersionedEntry(entry, version: ContentVersion(of: "\(entry)".utf8))) }
    insert(.workload(WorkloadEntry(name: self.client, node: "here", identity: LargeMesh.identity)))
    insert(
      .workload(
        WorkloadEntry(
          name: self.server, node: "here", identity: LargeMesh.identity, failureMode: failureMode,
          policies: [name("p")])))
    if !isMissing {
      insert(.policy(PolicyEntry(name: name("p"), action: .deny, rules: [PolicyRule(from: [deny])])))
    }
    return ConnectionCut(
      ResolvedSnapshot(
        node: "here", snapshot: snapshot,
        locals: [
          LocalWorkload(name: self.client, netnsCookie: 1, addresses: [self.clientAddress]),
          LocalWorkload(name: self.server, netnsCookie: 2, addresses: [self.serverAddress]),
        ], opensTunnels: opensTunnels))
  }

  func socket(
    _ local: IPAddress, _ port: UInt16, _ remote: IPAddress, _ remotePort: UInt16, cookie: UInt64 = 5
  ) -> ObservedSocket {
    ObservedSocket(
      local: SocketEndpoint(local, port), remote: SocketEndpoint(remote, remotePort), isListening: false,
      cookie: cookie)
  }

  var listener: ObservedSocket {
    ObservedSocket(
      local: SocketEndpoint(IPAddress(v4: 0), 80), remote: SocketEndpoint(IPAddress(v4: 0), 0), isListening: true,
      cookie: 1)
  }

  @Test("A denied source is cut at both ends, with the policy that denies")
  func bothEnds() {
    let cut = self.cut(deny: SourceMatch(namespaces: [.exact("n")]))
    let accepted = self.socket(self.serverAddress, 80, self.clientAddress, 40000)
    let server = cut.cuts(of: self.server, sockets: [self.listener, accepted])
    #expect(server.map(\.socket) == [accepted])
    #expect(server.first?.isClient == false)
    #expect(server.first?.verdict.reason == .policyDenied)
    #expect(server.first?.verdict.policy?.name == name("p"))
    let called = self.socket(self.clientAddress, 40000, self.serverAddress, 80)
    let client = cut.cuts(of: self.client, sockets: [called])
    #expect(client.map(\.isClient) == [true])
  }

  @Test("A tunnel has no identity that the kernel knows: a policy that wants one leaves it to the node proxy")
  func tunnels() {
    let deny = SourceMatch(notPrincipals: [.present])
    let listener = ObservedSocket(
      local: SocketEndpoint(IPAddress(v4: 0), MeshPort.hbone), remote: SocketEndpoint(IPAddress(v4: 0), 0),
      isListening: true, cookie: 1)
    let tunnel = self.socket(self.serverAddress, MeshPort.hbone, self.outsider, 40000)
    let plain = self.socket(self.serverAddress, 80, self.outsider, 40000, cookie: 6)
    let sockets = [listener, self.listener, tunnel, plain]
    #expect(self.cut(deny: deny, opensTunnels: true).cuts(of: self.server, sockets: sockets).map(\.socket) == [plain])
    // Where there are none, it is somebody else's.
    #expect(
      Set(self.cut(deny: deny).cuts(of: self.server, sockets: sockets).map(\.socket)) == Set([tunnel, plain]))
  }

  @Test("Who is not denied is not cut: another source, loopback, itself, other hosts")
  func kept() {
    let cut = self.cut(deny: SourceMatch(ipBlocks: [IPPrefix(host: self.outsider)]))
    #expect(
      cut.cuts(
        of: self.server,
        sockets: [
          self.listener, self.socket(self.serverAddress, 80, self.clientAddress, 40000),
          self.socket(self.serverAddress, 80, address("192.168.0.2"), 40000),
          self.socket(.loopbackV4, 80, .loopbackV4, 40000),
          self.socket(self.serverAddress, 80, self.serverAddress, 40000),
          self.socket(self.serverAddress, 40000, self.outsider, 443),
        ]
      ).isEmpty)
    let everyone = self.cut(deny: SourceMatch())
    #expect(
      everyone.cuts(
        of: self.server,
        sockets: [
          self.listener, self.socket(.loopbackV4, 80, .loopbackV4, 40000),
          self.socket(self.serverAddress, 80, self.serverAddress, 40000),
        ]
      ).isEmpty)
  }

  @Test("Plaintext from outside is judged by its address, without identity")
  func outside() {
    let socket = self.socket(self.serverAddress, 80, self.outsider, 50000)
    let byAddress = self.cut(deny: SourceMatch(ipBlocks: [IPPrefix(host: self.outsider)]))
    #expect(byAddress.cuts(of: self.server, sockets: [self.listener, socket]).map(\.socket) == [socket])
    let byIdentity = self.cut(deny: SourceMatch(principals: [.present]))
    #expect(byIdentity.cuts(of: self.server, sockets: [self.listener, socket]).isEmpty)
  }

  @Test("A peer that left the mesh is judged as from outside")
  func unenrolled() {
    var cut = self.cut(deny: SourceMatch(notPrincipals: [.present]))
    let socket = self.socket(self.serverAddress, 80, self.clientAddress, 50000)
    #expect(cut.cuts(of: self.server, sockets: [self.listener, socket]).isEmpty)
    var resolved = cut.resolved
    resolved.update(
      to: resolved.source,
      locals: [LocalWorkload(name: self.server, netnsCookie: 2, addresses: [self.serverAddress])])
    cut = ConnectionCut(resolved)
    #expect(cut.cuts(of: self.server, sockets: [self.listener, socket]).map(\.socket) == [socket])
    #expect(cut.cuts(of: self.client, sockets: [socket]).isEmpty)
  }

  @Test("The direction: a known cookie, a listened port, an ephemeral port; in doubt both")
  func direction() {
    // The server may call the client, not the other way round.
    var cut = self.cut(deny: SourceMatch())
    let fromEphemeral = self.socket(self.serverAddress, 40000, self.clientAddress, 80)
    #expect(cut.cuts(of: self.server, sockets: [fromEphemeral]).isEmpty)
    let fromLow = self.socket(self.serverAddress, 700, self.clientAddress, 800, cookie: 9)
    #expect(cut.cuts(of: self.server, sockets: [fromLow]).map(\.isClient) == [false])
    cut.clientCookies = [9]
    #expect(cut.cuts(of: self.server, sockets: [fromLow]).isEmpty)
    let listened = self.socket(self.serverAddress, 80, self.clientAddress, 800)
    #expect(cut.cuts(of: self.server, sockets: [self.listener, listened]).count == 1)
  }

  @Test("Policies that the tables have no room for cut whoever the port refuses now, and explain says why")
  func oversized() throws {
    let socket = self.socket(self.serverAddress, 80, self.clientAddress, 40000)
    let known = self.cut(deny: SourceMatch(notNamespaces: [.exact("n")])).resolved
    let locals = Array(known.locals.values)
    for (rows, reasons) in [(65_536, []), (1, [Reason.mapError])] {
      var configuration = DatapathPlanner.Configuration(node: "here")
      configuration.maximumRowsPerGroup = rows
      var planner = DatapathPlanner(configuration)
      _ = planner.plan(for: known.source, locals: locals, now: .seconds(1))
      let cut = ConnectionCut(planner.resolved)
      #expect(cut.cuts(of: self.server, sockets: [self.listener, socket]).map(\.verdict.reason) == reasons)
      let answer = try planner.resolved.explain(
        source: .workload(self.client), destination: .endpoint(SocketEndpoint(self.serverAddress, 80)))
      #expect(answer.outcomes.map(\.reason) == (reasons.isEmpty ? [.none] : reasons))
      #expect(answer.steps.contains { $0.contains("more rows than") } == !reasons.isEmpty)
      // Without the policy there is nothing to refuse.
      _ = planner.plan(for: Snapshot(), locals: locals, now: .seconds(2))
      #expect(ConnectionCut(planner.resolved).cuts(of: self.server, sockets: [self.listener, socket]).isEmpty)
    }
  }

  @Test("A policy that is missing cuts, unless the workload fails open")
  func missing() {
    let socket = self.socket(self.serverAddress, 80, self.clientAddress, 40000)
    let closed = self.cut(deny: SourceMatch(), isMissing: true)
    #expect(
      closed.cuts(of: self.server, sockets: [self.listener, socket]).map(\.verdict.reason) == [.policyMissing])
    let open = self.cut(deny: SourceMatch(), failureMode: .open, isMissing: true)
    #expect(open.cuts(of: self.server, sockets: [self.listener, socket]).isEmpty)
  }
}
