import CMeshRelay
import Glibc
import Logging
import MeshBase
import MeshHTTP
import MeshRouting
import MeshTelemetry

/// A connection toward another node, for the tunnels of one workload to one identity there. Never shared between sources: what
/// they have to prove differs (HB-07).
final class HBONEUpstream: TunnelWire {
  struct Key: Hashable {
    var workload: UInt32
    var namespaceCookie: UInt64
    /// Of the workload: it may change under the same number.
    var source: SPIFFEID
    var identity: SPIFFEID
    var address: SocketEndpoint
    var serverName: String?
  }

  /// Milliseconds between two pings, while there are streams.
  private static let pingInterval: UInt64 = 10_000

  let key: Key
  private let context: TLSContext
  private let flow: AcceptedFlow
  private var dial: UpstreamDial
  private var isConnected = false
  /// The peer's SETTINGS came.
  private var stands = false
  private var queued: [(stream: TunnelStream, authority: SocketEndpoint)] = []
  private var idleSince: UInt64
  private var pingAt: UInt64 = 0
  private var isDraining = false

  init(number: UInt64, key: Key, context: TLSContext, flow: AcceptedFlow, loop: RelayLoop) {
    self.key = key
    self.context = context
    self.flow = flow
    self.dial = UpstreamDial(loop: loop, member: number, flow: flow)
    self.idleSince = loop.now
    super.init(.client, number: number, loop: loop)
  }

  override var sourceWorkload: UInt32 { self.key.workload }
  override var namespaces: [UInt64] { [self.key.namespaceCookie] + (self.dial.namespace.map { [$0] } ?? []) }

  // MARK: dialling

  func begin(client: CInt) { self.dialled(self.dial.begin(self.key.address, client: client)) }

  override func delivered(_ socket: CInt) -> Bool {
    guard let outcome = self.dial.delivered(socket, client: -1) else { return false }
    self.dialled(outcome)
    return true
  }

  private func dialled(_ outcome: UpstreamDial.Outcome) {
    switch outcome {
    case .waits: break
    case .failed, .noSocket: self.abort()
    case .connected(let socket), .connecting(let socket):
      guard self.attach(socket) else { return self.abort() }
      if case .connected = outcome { self.connected() }
    }
  }

  private func connected() {
    self.isConnected = true
    guard let certificates = self.loop.certificates,
      let tls = TLSStream(
        self.context, .identity(self.key.identity), time: certificates.time(), serverName: self.key.serverName)
    else { return self.abort() }
    self.secure(tls)
  }

  override func ready(_ token: RelayToken, _ events: UInt32) {
    guard !self.isConnected, self.socket >= 0 else { return super.ready(token, events) }
    let isGone = events & (CMESH_HUNG_UP | CMESH_FAILED) != 0
    if cmesh_relay_error(self.socket) < 0 || isGone { return self.abort() }
    guard events & CMESH_WRITABLE != 0 else { return }
    self.connected()
    super.ready(token, events)
  }

  override func failed(_ failure: TLSFailure) {
    self.loop.say(
      "connection between nodes failed", self.flow,
      [
        LogKey.reason: "\(failure.rawValue)", "upstream": "\(self.key.address)", "expected": "\(self.key.identity)",
        "alert": "\(self.tls?.alert.map { "\($0)" } ?? "-")",
      ])
  }

  // MARK: streams

  /// Whether another tunnel may use it.
  var hasRoom: Bool {
    guard self.phase == .open, !self.isDraining else { return false }
    guard self.stands else { return self.queued.count < HTTP2Limits.tunnels.concurrentStreams }
    return self.queued.isEmpty && self.machine.canOpen
  }

  /// What it carries waits for the socket or for the peer: another connection is another core and another window.
  var isHeldUp: Bool { self.pending >= Self.most || self.streams.values.contains { $0.isHeldUp } }

  func begin(_ stream: TunnelStream, to authority: SocketEndpoint) {
    guard self.stands else { return self.queued.append((stream, authority)) }
    self.open(stream, authority)
  }

  private func open(_ stream: TunnelStream, _ authority: SocketEndpoint) {
    var request = FieldBlock()
    request.append(":method", "CONNECT")
    request.append(":authority", "\(authority)")
    do {
      let id = try self.open(request, ends: false)
      if self.streams.isEmpty { self.pingAt = self.loop.now + Self.pingInterval }
      self.streams[id] = stream
      stream.began(as: id)
    } catch {
      stream.cut(wasTried: false)
    }
  }

  private func openQueued() {
    let queued = self.queued
    self.queued = []
    for (stream, authority) in queued {
      if self.machine.canOpen {
        self.open(stream, authority)
      } else if let other = self.loop.freshTunnelUpstream(self.key, self.context, self.flow) {
        stream.moved(to: other)
        other.begin(stream, to: authority)
        other.begin(client: -1)
      }
    }
  }

  override func forget(waiting stream: TunnelStream) {
    self.queued.removeAll { $0.stream === stream }
    self.streamEnded()
  }

  override func streamEnded() { if self.streams.isEmpty { self.idleSince = self.loop.now } }

  override func handle(_ event: HTTP2Connection.Event, _ input: Span<UInt8>) {
    switch event {
    case .settings where !self.stands:
      self.stands = true
      self.openQueued()
    case .head(let id, let head, let ends): self.answered(id, head, ends)
    case .goAway: self.isDraining = true
    default: super.handle(event, input)
    }
  }

  private func answered(_ id: UInt32, _ head: HTTP2Head, _ ends: Bool) {
    guard let stream = self.streams[id], case .response(let status) = head.start, status >= 200 else { return }
    guard status < 300, !ends else {
      let reason = status == 401 ? "tunnel_denied" : "tunnel_refused"
      self.loop.count(reason)
      self.loop.say(
        "tunnel refused by the other node", self.flow,
        [LogKey.reason: "\(reason)", "upstream": "\(self.key.address)", "status": "\(status)"])
      // A denial says something about the caller, and a CONNECT to the wrong place something about us.
      stream.cut(wasTried: status >= 500)
      return self.reset(id, .cancel)
    }
    stream.opened()
  }

  // MARK: ends

  override func lost(_ reason: HTTP2Reason?) {
    let queued = self.queued
    self.queued = []
    for (stream, _) in queued { stream.cut(wasTried: self.dial.wasTried) }
    super.lost(reason)
  }

  override func ended() {
    self.dial.stopWaiting()
    self.loop.forget(self)
  }

  // MARK: time

  override var streamDeadline: UInt64? {
    if !self.streams.isEmpty { return self.pingAt }
    guard self.queued.isEmpty, self.stands else { return nil }
    return self.idleSince + self.loop.http.upstreamIdleTimeout
  }

  override func expireStreams(now: UInt64) {
    guard let deadline = self.streamDeadline, deadline <= now else { return }
    guard !self.streams.isEmpty else {
      self.isDraining = true
      return super.drain()
    }
    self.ping()
    self.pingAt = now + Self.pingInterval
  }

  /// Whoever uses it drains.
  override func drain() {}
}
