import CMeshRelay
import Glibc
import MeshBase
import MeshHTTP
import MeshRouting

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
    guard !self.isPumping else { return }
    self.isPumping = true
    defer { self.isPumping = false }
    var turns = 16
    while self.phase == .open, let upstream = self.upstream, upstream.isOpen, upstream.isReadable {
      if self.output.count >= Self.most {
        self.flushClient()
        // Only of a socket that is full an event tells when it takes more.
        guard self.output.count < Self.most else { return }
        continue
      }
      guard turns > 0 else { return self.runSoon() }
      turns -= 1
      self.receive(from: upstream)
    }
  }

  private func receive(from upstream: HTTPUpstream) {
    let buffer = self.loop.kit.buffer
    let count = cmesh_relay_receive(upstream.descriptor, buffer.baseAddress, buffer.count)
    guard count > 0 else {
      upstream.isReadable = false
      if count == -Int(EAGAIN) { return }
      guard count == 0 else { return self.upstreamFailed() }
      upstream.hasEnded = true
      let held = upstream.held
      return self.take(held.span, from: upstream)
    }
    if count < buffer.count, !upstream.endIsNear { upstream.isReadable = false }
    self.movedAt = self.loop.now
    self.loop.counters.receivedBytes &+= UInt64(count)
    self.exchange.heard()
    if upstream.held.isEmpty {
      self.take(
        Span(
          _unsafeElements: UnsafeBufferPointer(
            rebasing: UnsafeRawBufferPointer(buffer).bindMemory(to: UInt8.self)[..<count])), from: upstream)
    } else {
      let held = upstream.held + buffer[..<count]
      self.take(held.span, from: upstream)
    }
  }

  /// Deals with all of `input`. What the machine has not consumed it gets again.
  private func take(_ input: Span<UInt8>, from upstream: HTTPUpstream) {
    var at = 0
    while upstream === self.upstream, self.phase == .open {
      let rest = input.extracting(at..<input.count)
      let step = upstream.machine.receive(rest, ended: upstream.hasEnded)
      at += step.consumed
      switch step.event {
      case .needsInput:
        if step.consumed == 0 { return upstream.held.replace(with: rest) }
      case .interim(let status):
        if let response = upstream.machine.response, self.server.interim(status) {
          HTTP1Writer.interim(response, upstream.machine.fields, rest, to: &self.output.bytes)
        }
      case .response:
        self.answerBegan(upstream, rest)
        if self.plan != nil, upstream.machine.response?.status == 101 {
          return self.becomeTunnel(upstream, input.extracting(at..<input.count))
        }
      case .body(let range): self.answerBody(rest, range)
      case .responseEnd(let from, let isReusable):
        return self.answerEnded(upstream, rest.extracting(from..<rest.count), isReusable: isReusable)
      case .refused(let fault):
        let isEnd = fault == .truncated && upstream.hasEnded
        return self.upstreamFailed(isEnd ? nil : fault)
      case .closed, .tunnel: return self.upstreamFailed()
      }
    }
  }

  private func answerBegan(_ upstream: HTTPUpstream, _ input: Span<UInt8>) {
    guard let response = upstream.machine.response,
      let plan = self.server.answer(status: response.status, framing: response.framing)
    else { return self.upstreamFailed(.interim) }
    self.plan = plan
    HTTP1Writer.response(
      response, upstream.machine.fields, input, plan: plan, edit: self.answerEdit, via: self.loop.passage.via,
      to: &self.output.bytes)
    self.exchange.answerBegan()
  }

  private func answerBody(_ input: Span<UInt8>, _ range: Range<Int>) {
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
  private func answerEnded(_ upstream: HTTPUpstream, _ input: Span<UInt8>, isReusable: Bool) {
    if self.plan?.framing == .chunked {
      HTTP1Writer.lastChunk(upstream.machine.trailers, input, to: &self.output.bytes)
    }
    self.upstream = nil
    upstream.held = []
    if isReusable { upstream.rest() } else { upstream.close() }
    self.exchange.ended()
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

  /// The upstream has ended, or what it sent is no answer.
  func upstreamFailed(_ fault: HTTP1Fault? = nil) {
    let action = self.exchange.upstreamFailed(fault: fault?.rawValue, now: self.loop.now)
    self.dropUpstream()
    switch action {
    case .none: break
    case .replay: if let choice = self.choice { self.dial(choice) }
    case .answer(let local): self.answerLocally(local)
    case .cut: self.abort()
    }
  }

  func dropUpstream() {
    let upstream = self.upstream
    self.upstream = nil
    upstream?.close()
  }

  // MARK: the proxy's own

  /// Instead of an upstream's answer.
  func answerLocally(_ local: HTTPLocalAnswer, edit: HTTP1FieldEdit = HTTP1FieldEdit()) {
    guard self.server.canAnswer else { return self.abort() }
    self.loop.note(local, self.flow)
    self.dropUpstream()
    self.exchange.ended()
    self.dropsBody = true
    let isHead = self.server.request?.isHead ?? false
    // Without a request there is nothing to plan: what came is none, and the connection ends.
    let plan = self.server.answer(status: local.status, framing: .length(0))
    HTTP1Writer.answer(
      local.status, local.phrase, text: local.isFailure ? local.reason : "", isHead: isHead,
      closes: plan?.closes ?? true, edit: edit, to: &self.output.bytes)
    if plan == nil { self.finish(lingers: true) } else { self.after(self.server.answerEnded()) }
  }

  // MARK: tunnels

  /// After 101 nothing is parsed any more. `rest`: what the upstream sent behind its head.
  private func becomeTunnel(_ upstream: HTTPUpstream, _ rest: Span<UInt8>) {
    _ = self.server.answerEnded()
    var received = self.output.takeAll()
    received.append(rest)
    let sent = upstream.output.takeAll() + self.held[self.heldStart...]
    let (client, dial) = (self.client, upstream.dial)
    _ = cmesh_poll_remove(self.loop.thread.poll, client)
    self.client = -1
    self.upstream = nil
    let tunnel = RelayConnection(
      number: self.loop.nextNumber(), flow: self.flow, loop: self.loop, client: client, upstream: upstream.surrender(),
      dial: dial, sent: sent, received: received)
    self.over()
    self.loop.add(tunnel)
    tunnel.beginTunnel()
  }
}
