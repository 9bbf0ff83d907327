import MeshBase
import MeshHTTP
import MeshRouting
import MeshSnapshot

/// A request on its way: its route, an endpoint, the head as it is sent, the body behind it.
extension HTTPConnection {
  /// The head is whole. `input` begins with it.
  func requestBegan(_ input: Span<UInt8>) {
    guard let request = self.server.request else { return }
    self.loop.counters.requests &+= 1
    self.plan = nil
    self.dropsBody = false
    self.requestHasEnded = false
    self.account.begin(
      source: self.flow.sourceWorkload, at: self.headBegan.map { $0 * 1000 } ?? self.loop.microseconds,
      request.minorVersion == 0 ? .http10 : .http11)
    self.loop.routed.fields.removeAll(keepingCapacity: true)
    for field in self.server.fields {
      self.loop.routed.fields.append(.init(name: field.nameRange, value: field.valueRange))
    }
    let places = HTTPRequestPlaces(method: request.method, authority: request.authority, target: request.target)
    switch self.loop.direct(places, of: self.flow, in: input, for: &self.account) {
    case .answer(let local, let edit): self.answerLocally(local, edit: edit)
    case .forward(let direction): self.forward(request, input, direction)
    }
  }

  // MARK: endpoints

  private func forward(_ request: HTTP1RequestHead, _ input: Span<UInt8>, _ direction: HTTPDirection) {
    self.loop.renewPassage(of: self.flow)
    self.account.passes(self.loop.passage)
    self.dispatch.bytes.removeAll(keepingCapacity: true)
    self.dispatch.block = nil
    self.dispatch.framing = request.framing
    self.dispatch.isHead = request.isHead
    self.dispatch.isWhole = request.framing.isEmpty
    self.dispatch.upgrades = request.upgrades
    // HTTP/1.0 may leave it out, and servers refuse an empty one.
    let authority =
      direction.authority ?? (request.authority == nil ? Array(self.flow.original.description.utf8) : nil)
    if direction.speaksHTTP2 {
      do throws(HTTPBridge.Refusal) {
        self.dispatch.block = try HTTPBridge.request(
          request, self.server.fields, input, edit: direction.requestEdit, passage: self.loop.passage,
          target: direction.target, authority: authority)
      } catch {
        return self.answerLocally(HTTPLocalAnswer(error))
      }
    } else {
      HTTP1Writer.request(
        request, self.server.fields, present: self.server.present, input, edit: direction.requestEdit,
        passage: self.loop.passage, target: direction.target, authority: authority, to: &self.dispatch.bytes)
    }
    if !direction.mirrors.isEmpty { self.beginMirrors(request, input, direction, authority: authority) }
    self.perform(
      self.dispatch.begin(
        direction, isIdempotent: HTTPExchange.isIdempotent(input, request.method), of: self.flow, in: self.loop))
  }

  func requestSent() {
    self.reached()
    switch self.dispatch.way {
    case .none: break
    case .http1(let upstream): if self.requestHasEnded { upstream.machine.requestEnded() }
    case .http2(let leg): self.sayAgain(to: leg)
    }
    self.moved()
  }

  func moved() {
    // Else whoever pumps comes by.
    if !self.isPumping { self.runSoon() }
  }

  // MARK: the body

  func forwardBody(_ input: Span<UInt8>, _ range: Range<Int>) {
    self.account.requestBytes &+= UInt64(range.count)
    self.dispatch.keep(input.extracting(range))
    for mirror in self.dispatch.mirrors { mirror.body(input.extracting(range)) }
    if !self.dropsBody, let leg = self.leg { return _ = leg.send(input.extracting(range)) }
    guard !self.dropsBody, let upstream = self.upstream else { return }
    if self.dispatch.framing != .chunked, range.count >= OutputQueue.leastDirect {
      let outcome = input.extracting(range).withUnsafeBytes {
        upstream.output.flush(to: upstream.descriptor, with: $0)
      }
      self.movedAt = self.loop.now
      if outcome == .failed { self.upstreamDeaf(upstream) }
    } else {
      upstream.say(input.extracting(range), as: self.dispatch.framing)
    }
  }

  /// `input` begins with the trailers.
  func requestEnded(_ input: Span<UInt8>) {
    self.requestHasEnded = true
    if let draft = self.dispatch.retry { self.keepEnd(input, of: draft) }
    if !self.dispatch.mirrors.isEmpty { self.mirrorEnd(input) }
    if !self.dropsBody, let leg = self.leg { return leg.end(HTTPBridge.trailers(self.server.trailers, input)) }
    guard !self.dropsBody, let upstream = self.upstream else { return }
    if self.dispatch.framing == .chunked {
      HTTP1Writer.lastChunk(self.server.trailers, input, to: &upstream.output.bytes)
    }
    upstream.machine.requestEnded()
  }

  /// What the client sent is no request, or no body.
  func refused(_ fault: HTTP1Fault) {
    guard self.server.canAnswer, self.dispatch.phase != .answering else { return self.abort() }
    self.answerLocally(HTTPLocalAnswer(fault))
  }
}

extension HTTP1Framing {
  /// Nothing follows the head.
  var isEmpty: Bool { self == .none || self == .length(0) }
}
