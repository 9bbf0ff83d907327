import MeshBase
import MeshHTTP
import MeshRouting
import MeshSnapshot

/// Where a request goes, and what is changed of it and of its answer.
struct HTTPDirection {
  /// All attempts stay within it.
  var share: RoutingTable.Share
  /// What the backend is spoken to with; else HTTP/1.1.
  var speaksHTTP2: Bool
  var requestEdit = HTTP1FieldEdit()
  var answerEdit = HTTP1FieldEdit()
  /// Instead of what came.
  var target: [UInt8]?
  var authority: [UInt8]?
  var requestTimeout: UInt32?
  var backendTimeout: UInt32?
  /// Nil: nobody asks for a second attempt.
  var retry: HTTPRetryDraft?
  /// What pays for one.
  var allowance: RetryAllowance
  /// By which the endpoints are found in a newer table, should they be asked for again; nil: they are the port's.
  var backend: HTTPUpstreams.Target?
  /// What of the request chooses the endpoint, where its port is balanced so.
  var key: UInt64?
  /// On purpose.
  var faults = HTTPFaults.Drawn.none

  /// - own: the rule's; where it says nothing, the policy of the port that was called may.
  init(
    to share: RoutingTable.Share, speaksHTTP2: Bool, at route: RoutingTable.Route, retry own: HTTPRetry? = nil,
    backendTimeout: UInt32? = nil
  ) {
    self.share = share
    self.speaksHTTP2 = speaksHTTP2
    self.allowance = RetryAllowance(of: route)
    if let settings = route.traffic?.retries {
      self.retry = settings.rule(over: own).map { HTTPRetryDraft($0, settings) }
      self.backendTimeout = settings.attemptMilliseconds(backendTimeout)
    } else {
      self.retry = own.map { HTTPRetryDraft($0, nil) }
      self.backendTimeout = backendTimeout
    }
  }
  /// Which get a copy.
  var mirrors: [HTTPMirrorTarget] = []
  /// Nil: the rule has no sessions.
  var session: HTTPSessionDraft?
}

/// What becomes of a request whose head is whole.
enum HTTPVerdict {
  case forward(HTTPDirection)
  case answer(HTTPLocalAnswer, edit: HTTP1FieldEdit = HTTP1FieldEdit())
}

/// The places of a request in the bytes of its head, of either version.
struct HTTPRequestPlaces {
  var method: Range<Int>
  /// Nil: HTTP/1.0 without.
  var authority: Range<Int>?
  var target: Range<Int>
}

extension RelayLoop {
  /// By the table that holds now. The request's fields are in `routed`.
  func direct(
    _ request: HTTPRequestPlaces, of flow: AcceptedFlow, in input: Span<UInt8>, for account: inout RequestAccount
  ) -> HTTPVerdict {
    if self.accessLog != nil { account.note(request, self.routed.fields, in: input) }
    guard let table = self.table else { return .answer(HTTPLocalAnswer(RoutingRefusal.notReady)) }
    guard let route = table.route(to: flow.original) else {
      return .answer(HTTPLocalAnswer(RoutingRefusal.noServicePort))
    }
    account.asked(at: route, &self.requests)
    if self.strain.now >= .shed { return .answer(.overloaded) }
    if self.isCall(input) { account.isGRPC = true }
    self.httpScratch.faults = route.faults?.drawn(for: self.routed, in: input, using: &self.random) ?? .none
    if self.httpScratch.faults.delay == nil, let status = self.httpScratch.faults.abort {
      self.counters.aborted &+= 1
      return .answer(.aborted(status))
    }
    var path = self.path
    self.path = []
    defer { self.path = path }
    let parts = HTTPTargetParts(request.target, input)
    var form = CanonicalPath.Form.same
    if !parts.isAsterisk {
      form = CanonicalPath.form(of: input.extracting(parts.path), into: &path)
      if case .refused(let refusal) = form { return .answer(HTTPLocalAnswer(refusal)) }
    }
    if form == .same { path.replace(with: input.extracting(parts.path)) }
    self.routed.query = parts.query
    guard let rules = route.http?.table(forClientsIn: self.namespace(of: flow.sourceWorkload)) else {
      return self.directByPort(form == .rewritten ? parts.target(path, input) : nil, of: flow, at: route, table, input)
    }
    return self.direct(
      request, of: flow, in: input, path: path, parts, isRewritten: form == .rewritten, by: rules, at: route, table,
      for: &account)
  }

  /// Without rules requests go where connections go.
  private func directByPort(
    _ target: [UInt8]?, of flow: AcceptedFlow, at route: RoutingTable.Route, _ table: RoutingTable, _ input: Span<UInt8>
  ) -> HTTPVerdict {
    switch table.share(to: flow.original, using: &self.random) {
    case .failure(let failure): return .answer(HTTPLocalAnswer(failure.refusal))
    case .success(let share):
      var direction = HTTPDirection(
        to: share, speaksHTTP2: self.speaksHTTP2(share, at: route, isCall: false, input), at: route)
      self.finish(&direction, of: flow, input)
      direction.target = target
      return .forward(direction)
    }
  }

  /// By the rules of the port's routes.
  private func direct(
    _ request: HTTPRequestPlaces, of flow: AcceptedFlow, in input: Span<UInt8>, path: [UInt8],
    _ parts: HTTPTargetParts, isRewritten: Bool, by rules: HTTPRouteTable, at route: RoutingTable.Route,
    _ table: RoutingTable, for account: inout RequestAccount
  ) -> HTTPVerdict {
    let host = HTTPTargetParts.host(of: request.authority, input)
    self.routed.method = request.method
    self.routed.host = host
    guard let match = rules.match(self.routed, in: input, path: path.span) else {
      return .answer(HTTPLocalAnswer(HTTPRefusal.noRoute))
    }
    let action = rules.actions[match.action]
    account.follows(action.rule.origin)
    var ofCORS = HTTP1FieldEdit()
    if let cors = action.effects.cors, let origin = self.routedValue("origin", input) {
      if let preflight = self.preflight(cors, origin, request, input) { return preflight }
      for field in cors.answerFields(for: origin) { _ = ofCORS.set(field.name, field.value) }
    }
    func redirected(_ redirect: HTTPRedirect, _ effects: HTTPEffects) -> HTTPVerdict {
      let location = redirect.location(
        for: HTTPRedirect.Origin(
          scheme: "http", host: input.string(host), port: flow.original.port,
          path: String(decoding: path, as: UTF8.self), query: parts.query.map { input.string($0) }),
        prefix: match.prefix)
      var edit = effects.responseEdit
      _ = edit.set("location", location)
      return .answer(HTTPLocalAnswer(redirect.status, "redirect"), edit: edit)
    }
    if let redirect = action.effects.redirect { return redirected(redirect, action.effects) }
    let isV4 = flow.original.address.isV4
    var ready: RoutingTable.Share?
    var session: HTTPSessionDraft?
    var pick: HTTPRouteAction.Pick?
    if let sessions = action.sessions {
      let found = self.session(sessions, of: action, table, in: input) { backend in
        backend.isValid ? table.share(of: backend.upstream, at: route, isV4: isV4) : nil
      }
      session = found.draft
      pick = found.place.map { .backend($0.index) }
      ready = found.place?.share
    }
    let picked =
      pick
      ?? action.pick(using: &self.random) { backend in
        ready = table.share(of: backend.upstream, at: route, isV4: isV4)
        return ready != nil || backend.effects.redirect != nil
      }
    if case .backend(let index) = picked, let redirect = action.backends[index].effects.redirect {
      return redirected(redirect, action.backends[index].effects)
    }
    switch (picked, ready) {
    case (.refused(let refusal), _): return .answer(HTTPLocalAnswer(refusal))
    case (.backend, nil): return .answer(HTTPLocalAnswer(HTTPRefusal.noEndpoint))
    case (.backend(let index), let share?):
      let effects = action.backends[index].effects
      account.asked(action.backends[index].service, &self.requests)
      let isCall = action.rule.origin.kind == .grpc
      var direction = HTTPDirection(
        to: share, speaksHTTP2: self.speaksHTTP2(share, at: route, isCall: isCall, input), at: route,
        retry: action.rule.retry, backendTimeout: action.rule.backendTimeoutMilliseconds)
      self.finish(&direction, of: flow, input)
      direction.session = session
      direction.requestEdit = effects.requestEdit
      // CORS of the rule has the last word.
      direction.answerEdit = effects.responseEdit.followed(by: ofCORS)
      direction.requestTimeout = action.rule.requestTimeoutMilliseconds
      direction.backend = route.http?.upstreams[action.backends[index].upstream]
      if !effects.mirrors.isEmpty {
        direction.mirrors = self.mirrors(effects.mirrors, at: route, of: flow) {
          self.speaksHTTP2($0, at: route, isCall: isCall, input)
        }
      }
      direction.authority = effects.rewrite?.hostname.map { Array($0.utf8) }
      if let rewrite = effects.rewrite?.path {
        let changed = rewrite.applied(to: String(decoding: path, as: UTF8.self), prefix: match.prefix)
        direction.target = parts.target(Array(changed.utf8), input)
      } else if isRewritten {
        direction.target = parts.target(path, input)
      }
      return .forward(direction)
    }
  }

  /// What else becomes of a request that is passed on.
  private func finish(_ direction: inout HTTPDirection, of flow: AcceptedFlow, _ input: Span<UInt8>) {
    direction.faults = self.httpScratch.faults
    if let keys = direction.share.keys {
      direction.key = keys.hash(of: self.routed, input, source: self.address(of: flow))
    }
  }

  /// A GRPCRoute's backends do; else as the backend's port says, or the one that was dialled; where neither does, calls of gRPC
  /// need HTTP/2.
  private func speaksHTTP2(
    _ share: RoutingTable.Share, at route: RoutingTable.Route, isCall: Bool, _ input: Span<UInt8>
  ) -> Bool {
    if isCall { return true }
    switch share.appProtocol.needsProxy ? share.appProtocol : route.appProtocol {
    case .http2, .grpc: return true
    case .http: return share.appProtocol != .http && self.isCall(input)
    case .tcp, .tls: return self.isCall(input)
    }
  }

  /// Whether the request is one of gRPC.
  func isCall(_ input: Span<UInt8>) -> Bool {
    self.routedRange("content-type", input).map { input.starts($0, with: "application/grpc") } ?? false
  }

  /// Milliseconds of `grpc-timeout`; 0: there is none. Nil: it is no timeout.
  func callTimeout(_ input: Span<UInt8>) -> UInt32? {
    guard let range = self.routedRange("grpc-timeout", input) else { return 0 }
    let text = range.map { input[$0] }
    return GRPCTimeout.milliseconds(text).map { UInt32(clamping: max(1, $0)) }
  }

  // MARK: CORS

  /// The answer to a preflight; nil: it is none.
  private func preflight(
    _ cors: CORSPolicy, _ origin: String, _ request: HTTPRequestPlaces, _ input: Span<UInt8>
  ) -> HTTPVerdict? {
    guard input.string(request.method) == "OPTIONS",
      let method = self.routedValue("access-control-request-method", input)
    else { return nil }
    var edit = HTTP1FieldEdit()
    let headers = self.routedValue("access-control-request-headers", input)
    for field in cors.answer(to: .init(origin: origin, method: method, headers: headers)) {
      _ = edit.add(field.name, field.value)
    }
    return .answer(HTTPLocalAnswer(204, "preflight"), edit: edit)
  }

  private func routedRange(_ name: StaticString, _ input: Span<UInt8>) -> Range<Int>? {
    self.routed.fields.first { input.matches($0.name, name) }?.value
  }

  private func routedValue(_ name: StaticString, _ input: Span<UInt8>) -> String? {
    self.routedRange(name, input).map { input.string($0) }
  }
}
