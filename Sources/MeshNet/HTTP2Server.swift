import MeshHTTP
import MeshTelemetry

/// One accepted connection that speaks HTTP/2: each of its streams is an exchange of its own.
final class HTTP2Server: HTTP2Wire {
  let flow: AcceptedFlow
  private var exchanges: [UInt32: HTTP2Exchange] = [:]
  private var wasReached = false

  init(number: UInt64, flow: AcceptedFlow, loop: RelayLoop) {
    self.flow = flow
    super.init(.server, number: number, loop: loop)
  }

  override var sourceWorkload: UInt32 { self.flow.sourceWorkload }
  override var namespaces: [UInt64] { [self.flow.namespaceCookie] }
  override var isClients: Bool { true }

  /// `received`: what was read of it already.
  func begin(_ socket: CInt, received: [UInt8]) {
    guard self.attach(socket, received: received) else { return self.abort() }
    self.start()
  }

  override func handle(_ event: HTTP2Connection.Event, _ input: Span<UInt8>) {
    switch event {
    case .head(let id, let head, let ends):
      if let exchange = self.exchanges[id] { return exchange.requestTrailers(head) }
      let exchange = HTTP2Exchange(id, head, isWhole: ends, on: self)
      self.exchanges[id] = exchange
      exchange.begin()
    case .data(let id, let range, let ends):
      guard let exchange = self.exchanges[id] else { return self.consumed(range.count, of: id) }
      exchange.requestBody(input.extracting(range), ends: ends)
    case .reset(let id, _, _): self.exchanges[id]?.cancelled()
    case .refused(let id, _, let reason):
      self.loop.count("http2_" + reason.rawValue)
      self.exchanges[id]?.account.flags.insert(.downstreamProtocolError)
      self.exchanges[id]?.cancelled()
    case .writable(0), .settings: for (id, exchange) in self.exchanges where exchange.outflow.hasWork { self.wake(id) }
    case .writable(let id): self.wake(id)
    case .goAway, .pong, .needsInput, .failed, .closed: break
    }
  }

  override func resumeStream(_ id: UInt32) -> Bool { self.exchanges[id]?.resume() ?? false }

  /// The exchange is over.
  func remove(_ id: UInt32) {
    self.exchanges[id] = nil
  }

  override func withdraw() { self.dismiss() }

  override func lost(_ reason: HTTP2Reason?) {
    for exchange in Array(self.exchanges.values) { exchange.cancelled() }
  }

  // MARK: time

  override var streamDeadline: UInt64? {
    var first = UInt64.max
    for exchange in self.exchanges.values { first = min(first, exchange.deadline ?? .max) }
    if self.exchanges.isEmpty, self.loop.http.idleTimeout > 0 {
      first = min(first, self.movedAt + self.loop.http.idleTimeout)
    }
    return first == .max ? nil : first
  }

  override func expireStreams(now: UInt64) {
    for exchange in Array(self.exchanges.values) { exchange.expire(now: now) }
    if self.exchanges.isEmpty, self.loop.http.idleTimeout > 0, self.movedAt + self.loop.http.idleTimeout <= now {
      self.drain()
    }
  }

  /// A connection that reached an upstream is counted once.
  func reached() {
    guard !self.wasReached else { return }
    self.wasReached = true
    self.loop.counters.relayed += 1
  }
}
