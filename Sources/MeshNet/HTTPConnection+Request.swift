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
    self.answerEdit = HTTP1FieldEdit()
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
    self.requestBytes.removeAll(keepingCapacity: true)
    self.requestBlock = nil
    // HTTP/1.0 may leave it out, and servers refuse an empty one.
    let authority =
      direction.authority ?? (request.authority == nil ? Array(self.flow.original.description.utf8) : nil)
    if direction.speaksHTTP2 {
      do throws(HTTPBridge.Refusal) {
        self.requestBlock = try HTTPBridge.request(
          request, self.server.fields, input, edit: direction.requestEdit, passage: self.loop.passage,
          target: direction.target, authority: authority)
      } catch {
        return self.answerLocally(HTTPLocalAnswer(error))
      }
    } else {
      HTTP1Writer.request(
        request, self.server.fields, present: self.server.present, input, edit: direction.requestEdit,
        passage: self.loop.passage, target: direction.target, authority: authority, to: &self.requestBytes)
    }
    self.answerEdit = direction.answerEdit
    let isIdempotent = HTTPExchange.isIdempotent(input, request.method)
    self.retry = direction.retry
    self.session = direction.session
    self.exchange.begin(
      isReplayable: request.framing.isEmpty && isIdempotent, requestTimeout: direction.requestTimeout,
      backendTimeout: direction.backendTimeout,
      retries: direction.retry?.retries(isIdempotent: isIdempotent, seed: self.loop.random.next()),
      now: self.loop.now)
    if !direction.mirrors.isEmpty { self.beginMirrors(request, input, direction, authority: authority) }
    self.attempts = ConnectAttempts(table: self.loop.table, original: self.flow.original)
    self.perform(
      self.attempts.begin(
        in: direction.share, first: direction.session?.choice, now: self.loop.now, using: &self.loop.random))
  }

  func perform(_ action: ConnectAttempts.Action) {
    switch action {
    case .refuse(let refusal): self.failed(self.exchange.unreachable(refusal, now: self.loop.now), [])
    case .dial(let choice, _): self.dial(choice)
    }
  }

  /// A connection of the pool, or a new one.
  func dial(_ choice: RoutingTable.Choice) {
    self.choice = choice
    self.account.sent(to: choice, &self.loop.requests)
    let key = UpstreamPool.Key(
      workload: self.flow.sourceWorkload, namespaceCookie: self.flow.namespaceCookie, target: choice.target)
    if let block = self.requestBlock { return self.open(block, key) }
    let (upstream, isFresh) = self.loop.upstream(key, self.flow, for: self, self.exchange)
    self.upstream = upstream
    if isFresh { upstream.begin(client: self.client) } else { self.send(to: upstream) }
  }

  func upstreamOpened(_ upstream: HTTPUpstream) {
    guard upstream === self.upstream else { return upstream.close() }
    self.send(to: upstream)
    self.pump()
  }

  func upstreamUnreachable(_ upstream: HTTPUpstream) {
    guard upstream === self.upstream else { return }
    self.upstream = nil
    guard self.exchange.phase == .dialling else { return }
    self.perform(
      self.attempts.failed(as: upstream.dial.refusal, now: self.loop.now, using: &self.loop.random))
    self.pump()
  }

  /// The head; the body follows as it comes.
  private func send(to upstream: HTTPUpstream) {
    guard let request = self.server.request else { return }
    _ = upstream.machine.begin(isHead: request.isHead, upgrades: request.upgrades)
    upstream.output.bytes += self.requestBytes
    if let draft = self.retry { upstream.output.bytes += draft.body }
    self.exchange.sent(isReused: upstream.hasServed)
    if !self.exchange.keepsRequest { self.requestBytes.removeAll(keepingCapacity: true) }
    if self.requestHasEnded { upstream.machine.requestEnded() }
    self.reached()
  }

  // MARK: the body

  func forwardBody(_ input: Span<UInt8>, _ range: Range<Int>) {
    self.account.requestBytes &+= UInt64(range.count)
    if let draft = self.retry { self.keepBody(input.extracting(range), of: draft) }
    for mirror in self.mirrors { mirror.body(input.extracting(range)) }
    if !self.dropsBody, let leg = self.leg { return _ = leg.send(input.extracting(range)) }
    guard !self.dropsBody, let upstream = self.upstream, let request = self.server.request else { return }
    if request.framing == .chunked {
      HTTP1Writer.chunkBegin(range.count, to: &upstream.output.bytes)
      upstream.output.bytes.append(input.extracting(range))
      HTTP1Writer.chunkEnd(to: &upstream.output.bytes)
    } else if range.count >= OutputQueue.leastDirect {
      let outcome = input.extracting(range).withUnsafeBytes {
        upstream.output.flush(to: upstream.descriptor, with: $0)
      }
      self.movedAt = self.loop.now
      if outcome == .failed { self.upstreamDeaf(upstream) }
    } else {
      upstream.output.bytes.append(input.extracting(range))
    }
  }

  /// `input` begins with the trailers.
  func requestEnded(_ input: Span<UInt8>) {
    self.requestHasEnded = true
    if let draft = self.retry { self.keepEnd(input, of: draft) }
    if !self.mirrors.isEmpty { self.mirrorEnd(input) }
    if !self.dropsBody, let leg = self.leg { return leg.end(HTTPBridge.trailers(self.server.trailers, input)) }
    guard !self.dropsBody, let upstream = self.upstream, let request = self.server.request else { return }
    if request.framing == .chunked {
      HTTP1Writer.lastChunk(self.server.trailers, input, to: &upstream.output.bytes)
    }
    upstream.machine.requestEnded()
  }

  /// What the client sent is no request, or no body.
  func refused(_ fault: HTTP1Fault) {
    guard self.server.canAnswer, self.exchange.phase != .answering else { return self.abort() }
    self.answerLocally(HTTPLocalAnswer(fault))
  }
}

extension HTTP1Framing {
  /// Nothing follows the head.
  var isEmpty: Bool { self == .none || self == .length(0) }
}
