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

  func legHasRoom(_ leg: HTTP2Leg, _ count: Int) {
    self.movedAt = self.loop.now
    self.runSoon()
  }

  func legHead(_ leg: HTTP2Leg, _ head: HTTP2Head, ends: Bool) {
    guard leg === self.leg else { return }
    self.movedAt = self.loop.now
    self.dispatch.heard()
    guard case .response(let status) = head.start else { return self.legEnded(head) }
    guard status >= 200 else {
      if self.server.interim(status) { _ = HTTPBridge.interim(head, to: &self.output.bytes) }
      return self.runSoon()
    }
    if self.dispatch.answers(status, in: self.loop) { return self.perform(.rest, []) }
    guard let plan = self.server.answer(status: status, framing: HTTPBridge.framing(head, ends: ends)) else {
      return self.upstreamFailed(.interim)
    }
    self.plan = plan
    self.dispatch.editAnswer()
    _ = HTTPBridge.response(
      head, plan: plan, edit: self.dispatch.answerEdit, via: self.loop.passage.via, to: &self.output.bytes)
    self.dispatch.answerBegan(status)
    if ends { self.legEnded(nil) }
    self.runSoon()
  }

  func legBody(_ leg: HTTP2Leg, _ input: Span<UInt8>, ends: Bool) {
    guard leg === self.leg else { return leg.consumed(input.count) }
    self.movedAt = self.loop.now
    if !input.isEmpty { self.answerBody(input, 0..<input.count) }
    guard leg === self.leg else { return }
    if self.output.count < Self.most { leg.consumed() }
    if ends { self.legEnded(nil) }
    self.runSoon()
  }

  private func legEnded(_ trailers: HTTP2Head?) {
    if self.plan?.framing == .chunked { HTTPBridge.lastChunk(trailers, to: &self.output.bytes) }
    self.dropWay()
    self.answerEnded()
    self.runSoon()
  }

  func legFailed(_ leg: HTTP2Leg, _ failure: HTTP2LegFailure) {
    guard leg === self.leg else { return }
    let isWhole = leg.isWhole || self.dispatch.mayRetry
    self.perform(self.dispatch.failed(failure, isWhole: isWhole, now: self.loop.now), failure.flags)
    if self.phase != .over { self.runSoon() }
  }
}
