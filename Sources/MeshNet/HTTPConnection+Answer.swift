import CMeshRelay
import Glibc
import MeshBase
import MeshHTTP
import MeshRouting
import MeshTelemetry

/// What comes back: the upstream's answer as it goes on to the client, or the proxy's own.
extension HTTPConnection {
  func upstreamReady(_ upstream: HTTPUpstream, isWritable: Bool) {
    guard upstream === self.upstream else { return upstream.close() }
    if isWritable { self.flushUpstream() }
    self.pumpUpstream()
    // The end of the answer lets the next request begin, and room lets its body go on.
    self.pump()
  }

  /// Passes on what the upstream has sent, as far as the client takes it.
  func pumpUpstream() {
    guard !self.isPumping, let upstream = self.upstream else { return }
    self.isPumping = true
    defer { self.isPumping = false }
    if !upstream.pump() { self.runSoon() }
  }

  func takesAnswer() -> Bool {
    if self.output.count >= Self.most { self.flushClient() }
    // Only of a socket that is full an event tells when it takes more.
    return self.phase == .open && self.output.count < Self.most
  }

  func upstreamHeard(_ count: Int) {
    self.movedAt = self.loop.now
    self.dispatch.heard()
  }

  func answerInterim(_ status: UInt16, _ upstream: HTTPUpstream, _ input: Span<UInt8>) {
    guard let response = upstream.machine.response, self.server.interim(status) else { return }
    HTTP1Writer.interim(response, upstream.machine.fields, input, to: &self.output.bytes)
  }

  func answerBegan(_ upstream: HTTPUpstream, _ input: Span<UInt8>, rest: Span<UInt8>) {
    guard let response = upstream.machine.response else { return self.upstreamFailed(.interim) }
    if self.dispatch.answers(response.status, in: self.loop) { return self.perform(.rest, []) }
    guard let plan = self.server.answer(status: response.status, framing: response.framing) else {
      return self.upstreamFailed(.interim)
    }
    self.plan = plan
    if self.account.isGRPC { self.account.told(upstream.machine.fields, input) }
    self.dispatch.editAnswer()
    HTTP1Writer.response(
      response, upstream.machine.fields, input, plan: plan, edit: self.dispatch.answerEdit, via: self.loop.passage.via,
      to: &self.output.bytes)
    self.dispatch.answerBegan(response.status)
    if response.status == 101 { self.becomeTunnel(upstream, rest) }
  }

  func answerBody(_ input: Span<UInt8>, _ range: Range<Int>) {
    self.account.responseBytes &+= UInt64(range.count)
    switch self.plan?.framing {
    case .chunked:
      HTTP1Writer.chunkBegin(range.count, to: &self.output.bytes)
      self.output.bytes.append(input.extracting(range))
      HTTP1Writer.chunkEnd(to: &self.output.bytes)
    case .length, .untilClose:
      guard range.count >= OutputQueue.leastDirect else {
        return self.output.bytes.append(input.extracting(range))
      }
      let outcome = input.extracting(range).withUnsafeBytes { self.output.flush(to: self.client, with: $0) }
      if outcome == .failed { self.abort() }
    case .none?, nil: break
    }
  }

  /// `input` begins with the trailers.
  func answerEnded(_ upstream: HTTPUpstream, _ input: Span<UInt8>, isReusable: Bool) {
    if self.account.isGRPC { self.account.told(upstream.machine.trailers, input) }
    if self.plan?.framing == .chunked {
      HTTP1Writer.lastChunk(upstream.machine.trailers, input, to: &self.output.bytes)
    }
    self.dispatch.way = .none
    upstream.done(isReusable: isReusable)
    self.answerEnded()
  }

  /// All of it is in the output.
  func answerEnded() {
    self.dispatch.answered(now: self.loop.now)
    self.dispatch.ended()
    if !self.dispatch.mirrors.isEmpty { self.abandonMirrors() }
    self.loop.ended(&self.dispatch.account)
    self.dropsBody = true
    self.after(self.server.answerEnded())
  }

  private func after(_ next: HTTP1ServerConnection.AfterAnswer) {
    switch next {
    // Whoever deals with bytes now asks for the next request.
    case .next: break
    case .close(let lingers): self.finish(lingers: lingers)
    case .tunnel: break
    }
  }

  func cutShort() { self.abort() }

  // MARK: the proxy's own

  /// Instead of an upstream's answer.
  func answerLocally(_ local: HTTPLocalAnswer, edit: HTTP1FieldEdit = HTTP1FieldEdit()) {
    self.account.flags.formUnion(local.flags)
    guard self.server.canAnswer else { return self.abort() }
    if !self.account.isOpen { self.requestUnread() }
    self.loop.note(local, self.flow)
    self.dropWay()
    self.dispatch.ended()
    if !self.dispatch.mirrors.isEmpty { self.abandonMirrors() }
    self.dropsBody = true
    let isHead = self.server.request?.isHead ?? false
    // Without a request there is nothing to plan: what came is none, and the connection ends.
    let plan = self.server.answer(status: local.status, framing: .length(0))
    let text = local.isFailure ? local.reason : ""
    HTTP1Writer.answer(
      local.status, local.phrase, text: text, isHead: isHead, closes: plan?.closes ?? true, edit: local.edit(edit),
      to: &self.output.bytes)
    self.account.answered(by: local, bytes: isHead || text.isEmpty ? 0 : text.utf8.count + 1)
    self.loop.ended(&self.dispatch.account)
    if plan == nil { self.finish(lingers: true) } else { self.after(self.server.answerEnded()) }
  }

  /// What the client sent is no request, or not all of one: it is counted as one that asked the Service that was dialled.
  private func requestUnread() {
    self.account.begin(
      source: self.flow.sourceWorkload, at: self.headBegan.map { $0 * 1000 } ?? self.loop.microseconds)
    if let route = self.loop.table?.route(to: self.flow.original) { self.account.asked(at: route, &self.loop.requests) }
  }

  // MARK: tunnels

  /// After 101 nothing is parsed any more. `rest`: what the upstream sent behind its head.
  private func becomeTunnel(_ upstream: HTTPUpstream, _ rest: Span<UInt8>) {
    _ = self.server.answerEnded()
    self.dispatch.answered(now: self.loop.now)
    // What follows is told as the bytes of a connection.
    self.loop.ended(&self.dispatch.account)
    var received = self.output.takeAll()
    received.append(rest)
    let sent = upstream.output.takeAll() + self.held[self.heldStart...]
    let (client, dial) = (self.client, upstream.dial)
    _ = cmesh_poll_remove(self.loop.thread.poll, client)
    self.client = -1
    self.dispatch.way = .none
    let tunnel = RelayConnection(
      number: self.loop.nextNumber(), flow: self.flow, loop: self.loop, client: client, upstream: upstream.surrender(),
      dial: dial, permit: upstream.surrenderPermit(), sent: sent, received: received)
    self.over()
    self.loop.add(tunnel)
    tunnel.beginTunnel()
  }
}
