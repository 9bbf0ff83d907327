import CMeshRelay
import Glibc
import Logging
import MeshBase
import MeshHTTP
import MeshTelemetry

/// A connection of another node: each of its streams is led to a port of a workload of this listener, if policy lets its identity
/// in.
final class HBONEServer: TunnelWire {
  private let entrance: TunnelEntrance
  private let client: SocketEndpoint
  private var resident: TunnelEntrance.Resident?

  init(number: UInt64, loop: RelayLoop, entrance: TunnelEntrance, client: SocketEndpoint) {
    self.entrance = entrance
    self.client = client
    super.init(.server, number: number, loop: loop)
  }

  override var sourceWorkload: UInt32 { self.resident?.workload ?? 0 }
  override var namespaces: [UInt64] { self.resident.map { [$0.namespaceCookie] } ?? [] }
  override var isClients: Bool { true }

  func begin(_ socket: CInt) {
    guard self.attach(socket) else { return self.abort() }
    let (context, choose): (TLSContext?, ((String?) -> TLSContext?)?)
    switch self.entrance.residents() {
    case .one(let resident):
      self.resident = resident
      (context, choose) = (resident.context, nil)
    case .several(let residents):
      context = residents.values.first?.context
      choose = { [weak self] name in
        let resident = name.flatMap { residents[$0] }
        self?.resident = resident
        return resident?.context
      }
    }
    guard let context, let certificates = self.loop.certificates,
      let tls = TLSStream(
        context, .trustDomain(self.entrance.trustDomain()), time: certificates.time(), choose: choose)
    else {
      self.loop.count("tunnel_no_certificate")
      return self.abort()
    }
    self.secure(tls)
  }

  override func handle(_ event: HTTP2Connection.Event, _ input: Span<UInt8>) {
    guard case .head(let id, let head, let ends) = event else { return super.handle(event, input) }
    guard self.streams[id] == nil else { return self.reset(id, .protocolError) }
    guard let resident = self.resident, let peer = self.tls?.peer else { return self.reset(id, .refusedStream) }
    guard case .connect(let authority) = head.start else { return self.refuse(id, 400, .method) }
    guard !ends else { return self.refuse(id, 400, .headOnly) }
    switch TunnelEntrance.target(head.text(authority), at: resident.addresses) {
    case .failure(let refusal): self.refuse(id, 400, refusal)
    case .success(let target):
      let question = TunnelEntrance.Question(
        source: peer, sourceAddress: self.client.address, workload: resident.workload, destination: target)
      switch self.entrance.judge(question) {
      case .deny(let reason, let policy):
        self.note("tunnel refused", reason, target, policy)
        self.answer(id, 401)
      case .allow: self.lead(id, to: target, peer, resident)
      }
    }
  }

  private func lead(_ id: UInt32, to target: SocketEndpoint, _ peer: SPIFFEID, _ resident: TunnelEntrance.Resident) {
    let stream = TunnelStream(on: self)
    stream.began(as: id)
    self.streams[id] = stream
    let flow = AcceptedFlow(
      original: target, sourceWorkload: resident.workload, namespaceCookie: resident.namespaceCookie, chosen: target,
      peer: peer, peerAddress: self.client.address)
    self.loop.relay(stream, flow)
  }

  private func refuse(_ id: UInt32, _ status: UInt16, _ refusal: TunnelEntrance.Refusal) {
    self.note("tunnel refused", refusal.rawValue, nil)
    self.answer(id, status)
  }

  override func failed(_ failure: TLSFailure) { self.say("connection between nodes refused", failure.rawValue, nil) }

  private func note(
    _ message: Logger.Message, _ reason: String, _ target: SocketEndpoint?, _ policy: String? = nil
  ) {
    self.loop.count(reason)
    self.say(message, reason, target, policy)
  }

  private func say(
    _ message: Logger.Message, _ reason: String, _ target: SocketEndpoint?, _ policy: String? = nil
  ) {
    let flow = AcceptedFlow(
      original: target ?? SocketEndpoint(.loopbackV4, MeshPort.hbone), sourceWorkload: self.sourceWorkload,
      namespaceCookie: 0)
    self.loop.say(
      message, flow,
      [
        LogKey.reason: "\(reason)", "client": "\(self.client)",
        "client_identity": "\(self.tls?.peer.map { $0.description } ?? "-")", "policy": "\(policy ?? "-")",
      ])
  }

  override func withdraw() { self.dismiss() }

  override var streamDeadline: UInt64? {
    guard self.streams.isEmpty, self.loop.http.idleTimeout > 0 else { return nil }
    return self.movedAt + self.loop.http.idleTimeout
  }

  override func expireStreams(now: UInt64) {
    if let deadline = self.streamDeadline, deadline <= now { self.drain() }
  }
}
