import MeshHTTP
import MeshRouting
import MeshSnapshot
import MeshTelemetry

/// Whoever has a request on its way to an endpoint: performs what its `HTTPDispatch` says.
protocol HTTPDispatcher: HTTPUpstreamUser, HTTP2LegUser {
  var loop: RelayLoop { get }
  var flow: AcceptedFlow { get }
  var dispatch: HTTPDispatch { get set }

  /// The head is on its way: the body may follow.
  func requestSent()
  /// The next attempt begins with the first byte of the request.
  func rewind()
  /// Deadlines are others now, and what waited may go on, when whoever called is done.
  func moved()
  func answerLocally(_ local: HTTPLocalAnswer, edit: HTTP1FieldEdit)
  /// What has gone to the client must not look whole.
  func cutShort()
  /// Whether it waits where there may be no more connections.
  var mayQueue: Bool { get }
}

extension HTTPDispatcher {
  var mayQueue: Bool { true }

  var account: RequestAccount {
    get { self.dispatch.account }
    _modify { yield &self.dispatch.account }
  }

  // MARK: to an endpoint

  func perform(_ action: ConnectAttempts.Action?) {
    switch action {
    case nil: self.moved()
    case .refuse(let refusal): self.perform(self.dispatch.refused(refusal, now: self.loop.now), [])
    case .dial(let choice, _): self.dial(choice)
    }
  }

  /// On a connection that has room, or a new one, if there may be one more.
  private func dial(_ choice: RoutingTable.Choice) {
    self.dispatch.chosen(choice, in: self.loop)
    var key = UpstreamPool.Key(
      workload: self.flow.sourceWorkload, namespaceCookie: self.flow.namespaceCookie, target: choice.target)
    switch self.loop.passage(of: self.flow, to: choice) {
    case .direct: break
    case .tunnel(let tunnel): key.tunnel = tunnel
    case .refused(let refusal): return self.unreachable(as: refusal, wasTried: false)
    }
    let isTaken =
      if let block = self.dispatch.block {
        self.goOnStream(block, key)
      } else {
        self.goOnConnection(key)
      }
    guard isTaken else { return self.unreachable(as: .overflow, wasTried: false) }
    if let share = self.dispatch.share, share.traffic?.pool.warmConnections != nil {
      self.loop.warm(share, isHTTP2: self.dispatch.block != nil, of: self.flow, client: self.client)
    }
    self.moved()
  }

  private func goOnConnection(_ key: UpstreamPool.Key) -> Bool {
    guard let share = self.dispatch.share else { return false }
    // Who waits comes first.
    let mustQueue = share.traffic?.limits.connections != nil && share.record.isWaitedFor
    if !mustQueue, let idle = self.loop.idleUpstream(key, share, self.dispatch.exchange) {
      self.go(on: idle)
      return true
    }
    guard self.dispatch.waits() else { return false }
    guard let permit = share.record.admitConnection(share.traffic?.limits) else {
      return self.queueUp(for: key, isHTTP2: false, share)
    }
    self.dial(key, share, permit)
    return true
  }

  func go(on idle: HTTPUpstream) {
    idle.take(for: self)
    self.dispatch.way = .http1(idle)
    self.upstreamOpened(idle)
  }

  func dial(
    _ key: UpstreamPool.Key, _ share: RoutingTable.Share, _ permit: consuming UpstreamRecord.Permit
  ) {
    let fresh = self.loop.freshUpstream(key, self.flow, share, permit, for: self)
    self.dispatch.way = .http1(fresh)
    fresh.begin(client: self.client)
  }

  private func goOnStream(_ block: FieldBlock, _ key: UpstreamPool.Key) -> Bool {
    guard let share = self.dispatch.share else { return false }
    let shared = self.loop.sharedHTTP2Upstream(key, share, self.dispatch.exchange)
    guard shared?.stands == true || self.dispatch.waits() else { return false }
    if let shared {
      self.go(block, on: shared, isFresh: false)
      return true
    }
    guard let permit = share.record.admitConnection(share.traffic?.limits) else {
      return self.queueUp(for: key, isHTTP2: true, share)
    }
    self.go(block, on: self.loop.freshHTTP2Upstream(key, self.flow, share, permit), isFresh: true)
    return true
  }

  func go(_ block: FieldBlock, on upstream: HTTP2Upstream, isFresh: Bool) {
    let leg = HTTP2Leg(block, isWhole: self.dispatch.isWhole, on: upstream, user: self)
    self.dispatch.way = .http2(leg)
    leg.begin(isFresh: isFresh, client: self.client)
  }

  func upstreamOpened(_ upstream: HTTPUpstream) {
    guard self.dispatch.isOn(upstream) else { return upstream.close() }
    self.dispatch.send(to: upstream)
    self.requestSent()
    self.moved()
  }

  func legOpened(_ leg: HTTP2Leg) {
    guard self.dispatch.isOn(leg) else { return leg.close() }
    self.dispatch.sent(on: leg)
    self.requestSent()
    self.moved()
  }

  func upstreamUnreachable(_ upstream: HTTPUpstream) {
    if self.dispatch.isOn(upstream) { self.unreachable(as: upstream.dial.refusal, wasTried: upstream.dial.wasTried) }
  }

  func legUnreachable(_ leg: HTTP2Leg) {
    guard self.dispatch.isOn(leg) else { return }
    let key = leg.upstream.key
    if leg.upstream.refusal == .overflow, self.dispatch.phase == .dialling, let share = self.dispatch.share {
      self.dispatch.way = .none
      if self.queueUp(for: key, isHTTP2: true, share) { return self.moved() }
    }
    self.unreachable(as: leg.upstream.refusal, wasTried: leg.upstream.dial.wasTried)
  }

  private func unreachable(as refusal: RoutingRefusal, wasTried: Bool) {
    guard let action = self.dispatch.unreachable(as: refusal, wasTried: wasTried, in: self.loop) else { return }
    self.perform(action)
    self.moved()
  }

  // MARK: when it fails

  func upstreamFailed(_ fault: HTTP1Fault?) {
    self.perform(
      self.dispatch.upstreamFailed(fault, now: self.loop.now),
      fault == nil ? .upstreamConnectionTermination : .upstreamProtocolError)
  }

  /// - flags: of a cut.
  func perform(_ action: HTTPExchange.Action, _ flags: ResponseFlags) {
    self.dropWay()
    switch action {
    case .none: break
    case .replay:
      self.rewind()
      if let choice = self.dispatch.choice { self.dial(choice) }
    case .rest: self.moved()
    case .start:
      guard let first = self.dispatch.start(of: self.flow, in: self.loop) else {
        self.loop.counters.aborted &+= 1
        return self.answerLocally(self.dispatch.aborted, edit: HTTP1FieldEdit())
      }
      self.perform(first)
    case .retry:
      guard let again = self.dispatch.again(of: self.flow, in: self.loop) else {
        return self.answerLocally(.upstreamClosed, edit: HTTP1FieldEdit())
      }
      self.rewind()
      self.perform(again)
    case .answer(let local): self.answerLocally(local, edit: HTTP1FieldEdit())
    case .cut:
      self.dispatch.account.flags.formUnion(flags)
      self.cutShort()
    }
  }

  func dropWay() {
    if let place = self.dispatch.place.take() { self.loop.leave(place) }
    let way = self.dispatch.way
    self.dispatch.way = .none
    switch way {
    case .none: break
    case .http1(let upstream): upstream.close()
    case .http2(let leg): leg.close()
    }
  }

  // MARK: mirrors

  /// - head: as it is sent to one; nil: it cannot be.
  func beginMirrors(_ targets: [HTTPMirrorTarget], _ head: (HTTPMirrorTarget) -> HTTPMirrorCall.Head?) {
    for target in targets {
      guard let head = head(target) else {
        self.loop.noteMirror(.unsayable, of: self.flow)
        continue
      }
      let isWhole = self.dispatch.isWhole
      let call = self.loop.mirror(
        head, to: target, isHead: self.dispatch.isHead, isWhole: isWhole, of: self.flow, from: self)
      if let call, !isWhole { self.dispatch.mirrors.append(call) }
    }
  }

  func endMirrors(_ end: HTTPMirrorEnd) {
    for mirror in self.dispatch.mirrors { mirror.ended(end) }
    self.dispatch.mirrors = []
  }

  /// The rest of the body is nobody's.
  func abandonMirrors() {
    for mirror in self.dispatch.mirrors { mirror.abandon() }
    self.dispatch.mirrors = []
  }
}
