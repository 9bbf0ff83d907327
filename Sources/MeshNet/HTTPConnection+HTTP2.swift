import CMeshRelay
import MeshHTTP
import MeshRouting
import MeshTelemetry

/// A request of HTTP/1.1 to an upstream that is spoken HTTP/2 to, and a client that turns out to speak it itself.
extension HTTPConnection {
  /// `received`: from the first byte of the preface.
  func becomeServer(received: Span<UInt8>) {
    var bytes: [UInt8] = []
    bytes.append(received)
    let client = self.client
    _ = cmesh_poll_remove(self.loop.thread.poll, client)
    self.client = -1
    let server = HTTP2Server(number: self.loop.nextNumber(), flow: self.flow, loop: self.loop)
    self.over()
    self.loop.add(server)
    server.begin(client, received: bytes)
  }

  // MARK: the request

  func open(_ request: FieldBlock, _ key: UpstreamPool.Key) {
    let isWhole = self.server.request?.framing.isEmpty ?? true
    let (leg, isFresh) = self.loop.leg(request, isWhole: isWhole, to: key, self.flow, for: self, self.exchange)
    self.leg = leg
    leg.begin(isFresh: isFresh, client: self.client)
  }

  func legOpened(_ leg: HTTP2Leg) {
    guard leg === self.leg else { return leg.close() }
    self.exchange.sent(isReused: leg.isReused)
    self.sayAgain(to: leg)
    self.reached()
    // Its body goes on, when whoever called is done.
    self.runSoon()
  }

  func legUnreachable(_ leg: HTTP2Leg) {
    guard leg === self.leg else { return }
    self.leg = nil
    guard self.exchange.phase == .dialling else { return }
    self.perform(
      self.attempts.failed(as: leg.upstream.refusal, now: self.loop.now, using: &self.loop.random))
    self.runSoon()
  }

  func legHasRoom(_ leg: HTTP2Leg, _ count: Int) {
    self.movedAt = self.loop.now
    self.runSoon()
  }

  // MARK: the answer

  func legHead(_ leg: HTTP2Leg, _ head: HTTP2Head, ends: Bool) {
    guard leg === self.leg else { return }
    self.movedAt = self.loop.now
    self.exchange.heard()
    guard case .response(let status) = head.start else { return self.legEnded(head) }
    guard status >= 200 else {
      if self.server.interim(status) { _ = HTTPBridge.interim(head, to: &self.output.bytes) }
      return self.runSoon()
    }
    if case .rest = self.exchange.answers(status, now: self.loop.now) { return self.failed(.rest, []) }
    guard let plan = self.server.answer(status: status, framing: HTTPBridge.framing(head, ends: ends)) else {
      return self.upstreamFailed(.interim)
    }
    self.plan = plan
    self.account.status = status
    if let session = self.session { self.answerEdit = session.edit(self.answerEdit, for: self.choice) }
    if self.exchange.isExhausted { self.account.flags.insert(.upstreamRetryLimitExceeded) }
    _ = HTTPBridge.response(
      head, plan: plan, edit: self.answerEdit, via: self.loop.passage.via, to: &self.output.bytes)
    self.exchange.answerBegan()
    if ends { self.legEnded(nil) }
    self.runSoon()
  }

  func legBody(_ leg: HTTP2Leg, _ input: Span<UInt8>, ends: Bool) {
    guard leg === self.leg else { return leg.consumed(input.count) }
    self.movedAt = self.loop.now
    self.legOwed += input.count
    if !input.isEmpty { self.answerBody(input, 0..<input.count) }
    guard leg === self.leg else { return }
    if self.output.count < Self.most { self.giveBack() }
    if ends { self.legEnded(nil) }
    self.runSoon()
  }

  private func legEnded(_ trailers: HTTP2Head?) {
    if self.plan?.framing == .chunked { HTTPBridge.lastChunk(trailers, to: &self.output.bytes) }
    self.dropLeg()
    self.answerEnded()
    self.runSoon()
  }

  func legFailed(_ leg: HTTP2Leg, _ failure: HTTP2LegFailure) {
    guard leg === self.leg else { return }
    let isWhole = leg.isWhole || self.exchange.mayRetry
    self.failed(failure.action(&self.exchange, isWhole: isWhole, now: self.loop.now), failure.flags)
    if self.phase != .over { self.runSoon() }
  }

  /// What was received of the answer has somewhere to go.
  func giveBack() {
    let owed = self.legOwed
    self.legOwed = 0
    self.leg?.consumed(owed)
  }

  func dropLeg() {
    let leg = self.leg
    self.leg = nil
    self.legOwed = 0
    leg?.close()
  }
}
