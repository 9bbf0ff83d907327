import CMeshRelay
import Glibc
import Logging
import MeshBase
import MeshRouting

/// One accepted connection to a port with a TLSRoute, until its ClientHello tells where it goes: then it is a `RelayConnection`,
/// which gets what was read first. Whoever sends no ClientHello in time is closed: nothing here goes on without a name. Confined
/// to its loop.
final class TLSConnection: LoopMember {
  let number: UInt64
  private let flow: AcceptedFlow
  private let loop: RelayLoop
  private let client: CInt
  private let deadline: UInt64
  private var reader = TLSHelloReader()
  /// What it said, for the upstream.
  private var held: [UInt8] = []
  private var isOver = false

  init(number: UInt64, flow: AcceptedFlow, loop: RelayLoop, client: CInt) {
    self.number = number
    self.flow = flow
    self.loop = loop
    self.client = client
    self.deadline = loop.now + loop.http.headTimeout
  }

  var sourceWorkload: UInt32 { self.flow.sourceWorkload }
  var namespaces: [UInt64] { [self.flow.namespaceCookie] }
  var isClients: Bool { true }

  func begin() {
    let token = RelayToken(connection: self.number, attempt: 0, side: .client)
    guard cmesh_poll_add_stream(self.loop.thread.poll, self.client, token.value) == 0 else { return self.abort() }
    self.loop.deadlines.add(self.deadline, self.number)
  }

  func ready(_ token: RelayToken, _ events: UInt32) {
    guard !self.isOver else { return }
    // A reset; after FIN there may be a whole ClientHello still.
    if events & CMESH_FAILED != 0 { return self.abort() }
    self.receive()
  }

  func resume() {}
  func delivered(_ socket: CInt) -> Bool { false }
  func drain() {}
  func sweep(idleSweeps: Int?) { self.expire(now: self.loop.now) }

  func expire(now: UInt64) {
    guard now >= self.deadline, !self.isOver else { return }
    self.refuse("tls_hello_timeout")
  }

  func abort() {
    guard self.leave() else { return }
    cmesh_relay_reset(self.client)
  }

  /// Reads until the name is there: never more than a ClientHello may have.
  private func receive() {
    let buffer = self.loop.kit.buffer
    while !self.isOver {
      let room = min(buffer.count, TLSHelloReader.limit - self.reader.count)
      let count = cmesh_relay_receive(self.client, buffer.baseAddress, room)
      guard count > 0 else {
        if count == 0 { return self.refuse("tls_hello_cut") }
        if count != -Int(EAGAIN) { self.abort() }
        return
      }
      self.loop.counters.sentBytes &+= UInt64(count)
      let bytes = UnsafeBufferPointer(
        rebasing: UnsafeRawBufferPointer(buffer).bindMemory(to: UInt8.self)[..<count])
      self.held += bytes
      switch self.reader.receive(Span(_unsafeElements: bytes)) {
      case .needsInput: break
      case .refused(let fault): self.refuse(fault.rawValue, alert: fault == .noName ? .unrecognizedName : nil)
      case .name(let name): self.lead(to: name)
      }
    }
  }

  private func lead(to name: String) {
    guard let table = self.loop.table else { return self.refuse(RoutingRefusal.notReady.rawValue, name) }
    switch table.share(forName: name, to: self.flow.original, using: &self.loop.random) {
    case nil: self.refuse("tls_no_route", name, alert: .unrecognizedName)
    case .failure(let failure): self.refuse(failure.refusal.rawValue, name)
    case .success(let share):
      guard self.leave() else { return }
      // It is watched anew: what came since is told then.
      _ = cmesh_poll_remove(self.loop.thread.poll, self.client)
      self.loop.relay(self.client, self.flow, within: share, held: self.held)
    }
  }

  private enum Alert: UInt8 {
    case unrecognizedName = 112
  }

  /// - alert: what the client is told before it is closed; without one it gets RST.
  private func refuse(_ reason: String, _ name: String? = nil, alert: Alert? = nil) {
    guard self.leave() else { return }
    self.loop.note(reason, of: self.flow, serverName: name)
    guard let alert else { return cmesh_relay_reset(self.client) }
    let record: [UInt8] = [21, 3, 1, 0, 2, 2, alert.rawValue]
    _ = record.withUnsafeBytes { cmesh_relay_send(self.client, $0.baseAddress, $0.count) }
    cmesh_relay_close(self.client)
  }

  private func leave() -> Bool {
    guard !self.isOver else { return false }
    self.isOver = true
    self.loop.ended(self)
    return true
  }
}

extension RelayLoop {
  /// Whether a connection is led by its ClientHello.
  func readsHello(_ flow: AcceptedFlow) -> Bool {
    flow.chosen == nil && self.table?.route(to: flow.original)?.tls != nil
  }

  /// Counts a TLS connection that leads nowhere, and says why, but not more often than a log bears.
  func note(_ reason: String, of flow: AcceptedFlow, serverName: String?) {
    self.count(reason)
    self.say(
      "TLS connection closed by the proxy", flow,
      [LogKey.reason: "\(reason)"].merging(serverName.map { ["server_name": "\($0)"] } ?? [:]) { $1 })
  }
}
