import CMeshRelay
import MeshBase
import MeshHTTP
import MeshRouting
import MeshTelemetry

/// What comes back.
extension HTTP2Exchange {
  /// Writes more of it. True: the connection took not all.
  func resume() -> Bool {
    let (count, isFull) = self.server.write(&self.outflow, of: self.id)
    if count > 0 {
      self.movedAt = self.loop.now
      switch self.dispatch.way {
      case .http2(let leg): leg.consumed(count)
      case .http1(let upstream): if self.outflow.count < Self.most { upstream.runSoon() }
      case .none: break
      }
    }
    self.settle()
    return isFull && !self.isOver
  }

  private func answerEnds(_ trailers: FieldBlock?) {
    self.answerIsWhole = true
    if self.isCall, self.account.grpcStatus == nil {
      self.account.grpcStatus = GRPCStatus(httpStatus: self.account.status).rawValue
    }
    self.dispatch.answered(now: self.loop.now)
    self.dispatch.ended()
    self.loop.ended(&self.dispatch.account)
    if !self.dropsBody { self.dropBody() }
    self.outflow.finish(trailers)
    if self.outflow.hasWork { self.server.wake(self.id) }
    self.settle()
  }

  /// All of the answer is written: the stream is done.
  private func settle() {
    guard self.answerIsWhole, self.outflow.isDone, !self.isOver else { return }
    // A client that still sends is asked to stop (RFC 9113 section 8.1).
    if !self.requestHasEnded { self.server.reset(self.id, .noError) }
    self.over()
  }

  /// False: it cannot be said, and something else was.
  private func send(_ block: FieldBlock, ends: Bool) -> Bool {
    do throws(HTTP2SendRefusal) {
      try self.server.send(block, on: self.id, ends: ends)
      return true
    } catch {
      self.dropWay()
      if self.answerHasBegun { self.cut(.internalError) } else { self.answerLocally(.unsayable) }
      return false
    }
  }

  private func began(_ status: UInt16, _ block: FieldBlock, ends: Bool) -> Bool {
    self.dispatch.answerBegan(status)
    guard self.send(block, ends: ends) else { return false }
    self.answerHasBegun = true
    if ends { self.outflow.ended() }
    return true
  }

  // MARK: of an upstream of HTTP/2

  func legHead(_ leg: HTTP2Leg, _ head: HTTP2Head, ends: Bool) {
    guard self.dispatch.isOn(leg), !self.isOver else { return }
    self.dispatch.heard()
    self.movedAt = self.loop.now
    if self.isCall { self.account.grpcStatus = GRPCStatus.told(by: head) ?? self.account.grpcStatus }
    guard case .response(let status) = head.start else { return self.answerEnds(HTTPBridge.trailers(head)) }
    let isFinal = status >= 200
    if isFinal, self.dispatch.answers(status, in: self.loop) { return self.perform(.rest, []) }
    if isFinal { self.dispatch.editAnswer() }
    guard
      let block = HTTPBridge.response(
        head, edit: isFinal ? self.dispatch.answerEdit : HTTP1FieldEdit(), via: isFinal ? self.loop.passage.via : [])
    else { return }
    guard isFinal else { return _ = self.send(block, ends: false) }
    if self.began(status, block, ends: ends), ends { self.answerEnds(nil) }
  }

  func legBody(_ leg: HTTP2Leg, _ input: Span<UInt8>, ends: Bool) {
    guard self.dispatch.isOn(leg), !self.isOver else { return leg.consumed(input.count) }
    self.movedAt = self.loop.now
    self.account.responseBytes &+= UInt64(input.count)
    leg.consumed(self.server.send(input, &self.outflow, of: self.id))
    if ends { self.answerEnds(nil) }
  }

  func legFailed(_ leg: HTTP2Leg, _ failure: HTTP2LegFailure) {
    guard self.dispatch.isOn(leg), !self.isOver else { return }
    // The answer is whole, and only has to be written.
    if self.answerIsWhole { return }
    let isWhole = self.takeBack(from: leg)
    self.perform(self.dispatch.failed(failure, isWhole: isWhole, now: self.loop.now), failure.flags)
  }

  // MARK: of an upstream of HTTP/1.1

  func upstreamReady(_ upstream: HTTPUpstream, isWritable: Bool) {
    guard self.dispatch.isOn(upstream) else { return upstream.close() }
    if upstream.isOpen, !upstream.isDeaf {
      if upstream.output.flush(to: upstream.descriptor) == .failed { self.deafen(upstream) }
      self.pushBody()
    }
    if !upstream.pump() { upstream.runSoon() }
  }

  /// It takes no more. What it said before may be the answer.
  private func deafen(_ upstream: HTTPUpstream) {
    upstream.isDeaf = true
    upstream.output = OutputQueue()
    upstream.isReadable = true
    // What another attempt needs stays.
    if !self.dispatch.mayRetry { self.dropBody() }
  }

  func takesAnswer() -> Bool { !self.isOver && self.outflow.count < Self.most }

  func upstreamHeard(_ count: Int) {
    self.movedAt = self.loop.now
    self.dispatch.heard()
  }

  func answerInterim(_ status: UInt16, _ upstream: HTTPUpstream, _ input: Span<UInt8>) {
    guard let response = upstream.machine.response, !self.answerHasBegun,
      let block = HTTPBridge.response(response, upstream.machine.fields, input, edit: HTTP1FieldEdit())
    else { return }
    _ = self.send(block, ends: false)
  }

  func answerBegan(_ upstream: HTTPUpstream, _ input: Span<UInt8>, rest: Span<UInt8>) {
    guard let response = upstream.machine.response else { return self.upstreamFailed(.interim) }
    if self.dispatch.answers(response.status, in: self.loop) { return self.perform(.rest, []) }
    self.dispatch.editAnswer()
    guard
      let block = HTTPBridge.response(
        response, upstream.machine.fields, input, edit: self.dispatch.answerEdit, via: self.loop.passage.via)
    else { return self.upstreamFailed(.interim) }
    if self.isCall { self.account.told(upstream.machine.fields, input) }
    _ = self.began(response.status, block, ends: response.framing.isEmpty)
  }

  func answerBody(_ input: Span<UInt8>, _ range: Range<Int>) {
    self.account.responseBytes &+= UInt64(range.count)
    _ = self.server.send(input.extracting(range), &self.outflow, of: self.id)
  }

  func answerEnded(_ upstream: HTTPUpstream, _ input: Span<UInt8>, isReusable: Bool) {
    let trailers = HTTPBridge.trailers(upstream.machine.trailers, input)
    if self.isCall { self.account.told(upstream.machine.trailers, input) }
    self.dispatch.way = .none
    upstream.done(isReusable: isReusable)
    self.answerEnds(trailers)
  }

  func cutShort() { self.cut(.internalError) }

  // MARK: the proxy's own

  /// Instead of an upstream's answer. A call is told so in its own terms.
  func answerLocally(_ local: HTTPLocalAnswer, edit: HTTP1FieldEdit = HTTP1FieldEdit()) {
    guard !self.isOver else { return }
    self.account.flags.formUnion(local.flags)
    guard !self.answerHasBegun else { return self.cut(.internalError) }
    self.loop.note(local, self.server.flow)
    self.dropWay()
    self.dispatch.ended()
    self.dropBody()
    self.answerHasBegun = true
    var answer: (head: FieldBlock, content: [UInt8])
    if self.isCall, local.isFailure {
      answer = (local.call.answer(local.reason), [])
      if local.isOverload {
        answer.head.append(HTTPLocalAnswer.overloadField.name, HTTPLocalAnswer.overloadField.value)
      }
      self.account.grpcStatus = local.call.rawValue
    } else {
      answer = HTTPBridge.answer(
        local.status, text: local.isFailure ? local.reason : "", isHead: self.dispatch.isHead,
        edit: local.edit(edit))
    }
    self.account.answered(by: local, bytes: answer.content.count)
    if self.isCall && local.isFailure { self.account.status = 200 }
    guard self.send(answer.head, ends: answer.content.isEmpty) else { return }
    if answer.content.isEmpty { self.outflow.ended() } else { self.outflow.append(answer.content.span) }
    self.answerEnds(nil)
  }
}
