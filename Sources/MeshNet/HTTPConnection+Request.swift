import MeshBase
import MeshHTTP
import MeshRouting
import MeshSnapshot

/// A request on its way: its route, an endpoint, the head as it is sent, the body behind it.
extension HTTPConnection {
  /// Where a request goes, and what is changed of it.
  struct Direction {
    var share: RoutingTable.Share?
    var effects: HTTPEffects?
    /// Instead of what came.
    var target: [UInt8]?
    var authority: [UInt8]?
    var requestTimeout: UInt32?
    var backendTimeout: UInt32?
  }

  /// The head is whole. `input` begins with it.
  func requestBegan(_ input: Span<UInt8>) {
    guard let request = self.server.request else { return }
    self.loop.counters.requests &+= 1
    self.answerEdit = HTTP1FieldEdit()
    self.plan = nil
    self.dropsBody = false
    self.requestHasEnded = false
    guard let table = self.loop.table else { return self.answerLocally(HTTPLocalAnswer(RoutingRefusal.notReady)) }
    guard let route = table.route(to: self.flow.original) else {
      return self.answerLocally(HTTPLocalAnswer(RoutingRefusal.noServicePort))
    }
    var path = self.loop.path
    self.loop.path = []
    defer { self.loop.path = path }
    let parts = HTTPTargetParts(request.target, input)
    var form = CanonicalPath.Form.same
    if !parts.isAsterisk {
      form = CanonicalPath.form(of: input.extracting(parts.path), into: &path)
      if case .refused(let refusal) = form { return self.answerLocally(HTTPLocalAnswer(refusal)) }
    }
    if form == .same { path.replace(with: input.extracting(parts.path)) }
    guard let rules = route.http?.table(forClientsIn: nil) else {
      var direction = Direction()
      if form == .rewritten { direction.target = parts.target(path, input) }
      return self.forward(request, input, direction, table)
    }
    self.follow(
      rules, request, input, path: path, parts, isRewritten: form == .rewritten, at: route,
      table)
  }

  /// By the rules of the port's routes.
  private func follow(
    _ rules: HTTPRouteTable, _ request: HTTP1RequestHead, _ input: Span<UInt8>, path: [UInt8],
    _ parts: HTTPTargetParts, isRewritten: Bool, at route: RoutingTable.Route, _ table: RoutingTable
  ) {
    let host = HTTPTargetParts.host(of: request.authority, input)
    self.loop.routed.method = request.method
    self.loop.routed.host = host
    self.loop.routed.query = parts.query
    self.loop.routed.fields.removeAll(keepingCapacity: true)
    for field in self.server.fields {
      self.loop.routed.fields.append(.init(name: field.nameRange, value: field.valueRange))
    }
    guard let match = rules.match(self.loop.routed, in: input, path: path.span) else {
      return self.answerLocally(HTTPLocalAnswer(HTTPRefusal.noRoute))
    }
    let action = rules.actions[match.action]
    if let cors = action.effects.cors, self.answersPreflight(cors, request, input) { return }
    if let redirect = action.effects.redirect {
      let location = redirect.location(
        for: HTTPRedirect.Origin(
          scheme: "http", host: input.string(host), port: self.flow.original.port,
          path: String(decoding: path, as: UTF8.self), query: parts.query.map { input.string($0) }),
        prefix: match.prefix)
      var edit = action.effects.responseEdit
      _ = edit.set("location", location)
      return self.answerLocally(HTTPLocalAnswer(redirect.status, "redirect"), edit: edit)
    }
    let isV4 = self.flow.original.address.isV4
    var share: RoutingTable.Share?
    let pick = action.pick(using: &self.loop.random) { backend in
      share = table.share(of: backend.upstream, at: route, isV4: isV4)
      return share != nil
    }
    switch pick {
    case .refused(let refusal): self.answerLocally(HTTPLocalAnswer(refusal))
    case .backend(let index):
      let effects = action.backends[index].effects
      var direction = Direction(share: share, effects: effects)
      direction.requestTimeout = action.rule.requestTimeoutMilliseconds
      direction.backendTimeout = action.rule.backendTimeoutMilliseconds
      direction.authority = effects.rewrite?.hostname.map { Array($0.utf8) }
      if let rewrite = effects.rewrite?.path {
        let changed = rewrite.applied(to: String(decoding: path, as: UTF8.self), prefix: match.prefix)
        direction.target = parts.target(Array(changed.utf8), input)
      } else if isRewritten {
        direction.target = parts.target(path, input)
      }
      self.forward(request, input, direction, table)
    }
  }

  // MARK: CORS

  /// Answers a preflight; of any other request of another origin it notes what its answer has to say.
  private func answersPreflight(_ cors: CORSPolicy, _ request: HTTP1RequestHead, _ input: Span<UInt8>) -> Bool {
    guard let origin = self.value(.origin, input) else { return false }
    guard input.string(request.method) == "OPTIONS", let method = self.value(.accessControlRequestMethod, input) else {
      for field in cors.answerFields(for: origin) { _ = self.answerEdit.set(field.name, field.value) }
      return false
    }
    var edit = HTTP1FieldEdit()
    let headers = self.value(.accessControlRequestHeaders, input)
    for field in cors.answer(to: .init(origin: origin, method: method, headers: headers)) {
      _ = edit.add(field.name, field.value)
    }
    self.answerLocally(HTTPLocalAnswer(204, "preflight"), edit: edit)
    return true
  }

  private func value(_ name: HTTPFieldName, _ input: Span<UInt8>) -> String? {
    guard self.server.present.contains(name) else { return nil }
    return self.server.fields.first { $0.name == name }.map { input.string($0.valueRange) }
  }

  // MARK: endpoints

  private func forward(
    _ request: HTTP1RequestHead, _ input: Span<UInt8>, _ direction: Direction, _ table: RoutingTable
  ) {
    self.loop.renewPassage()
    self.requestBytes.removeAll(keepingCapacity: true)
    HTTP1Writer.request(
      request, self.server.fields, present: self.server.present, input,
      edit: direction.effects?.requestEdit ?? HTTP1FieldEdit(), passage: self.loop.passage, target: direction.target,
      authority: direction.authority, to: &self.requestBytes)
    if let effects = direction.effects {
      // CORS of the rule has the last word.
      self.answerEdit = effects.responseEdit.followed(by: self.answerEdit)
    }
    self.exchange.begin(
      isReplayable: request.framing.isEmpty && Self.isIdempotent(request.method, input),
      requestTimeout: direction.requestTimeout, backendTimeout: direction.backendTimeout, now: self.loop.now)
    self.attempts = ConnectAttempts(table: table, original: self.flow.original)
    if let share = direction.share {
      self.perform(self.attempts.begin(in: share, now: self.loop.now, using: &self.loop.random))
    } else {
      self.perform(self.attempts.begin(now: self.loop.now, using: &self.loop.random))
    }
  }

  /// RFC 9110 section 9.2.2, of the methods that are used.
  private static func isIdempotent(_ method: Range<Int>, _ input: Span<UInt8>) -> Bool {
    switch (method.count, input[method.lowerBound]) {
    case (3, 0x47), (4, 0x48), (7, 0x4f), (5, 0x54), (6, 0x44): true  // GET, HEAD, OPTIONS, TRACE, DELETE
    case (3, 0x50): input[method.lowerBound + 1] == 0x55  // PUT
    default: false
    }
  }

  func perform(_ action: ConnectAttempts.Action) {
    switch action {
    case .refuse(let refusal): self.answerLocally(HTTPLocalAnswer(refusal))
    case .dial(let choice, _): self.dial(choice)
    }
  }

  /// A connection of the pool, or a new one.
  func dial(_ choice: RoutingTable.Choice) {
    self.choice = choice
    let key = UpstreamPool.Key(
      workload: self.flow.sourceWorkload, namespaceCookie: self.flow.namespaceCookie, target: choice.target)
    while self.exchange.mayReuse, let idle = self.loop.takeIdle(key) {
      guard idle.machine.isIdle, !self.exchange.mustBeSure || idle.isQuiet else {
        idle.close()
        continue
      }
      idle.take(for: self)
      self.upstream = idle
      return self.send(to: idle)
    }
    let fresh = HTTPUpstream(
      number: self.loop.nextNumber(), key: key, flow: self.flow, user: self, loop: self.loop)
    self.loop.add(fresh)
    self.upstream = fresh
    fresh.begin(client: self.client)
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
    self.perform(self.attempts.failed(now: self.loop.now, using: &self.loop.random))
    self.pump()
  }

  /// The head; the body follows as it comes.
  private func send(to upstream: HTTPUpstream) {
    guard let request = self.server.request else { return }
    _ = upstream.machine.begin(isHead: request.isHead, upgrades: request.upgrades)
    upstream.output.bytes += self.requestBytes
    self.exchange.sent(isReused: upstream.hasServed)
    if !self.exchange.keepsRequest { self.requestBytes.removeAll(keepingCapacity: true) }
    if self.requestHasEnded { upstream.machine.requestEnded() }
    self.reached()
  }

  // MARK: the body

  func forwardBody(_ input: Span<UInt8>, _ range: Range<Int>) {
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
