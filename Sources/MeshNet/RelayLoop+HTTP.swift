import Logging
import MeshBase
import MeshHTTP
import MeshRouting
import MeshSnapshot

/// What the HTTP connections of one loop share, so that a request makes no array of its own.
struct HTTPScratch {
  /// The canonical path of a request while it is routed.
  var path: [UInt8] = []
  /// The request as routes see it.
  var routed = HTTPRequestHead(method: 0..<0, host: 0..<0, query: nil, fields: [])
  /// What it meets with on purpose.
  var faults = HTTPFaults.Drawn.none
  /// What the proxy says of the next request's way.
  var passage = HTTP1Passage()
  /// By source workload and family.
  var clients: [UInt64: HTTPClientWords] = [:]
  /// Lines in the log.
  var lines = RateBudget(perSecond: 10, burst: 50)
  var unsaid = 0
  /// Requests that ended in this turn, for the access log.
  var ended: [AccessLog.Entry] = []
}

extension RelayLoop {
  var path: [UInt8] {
    get { self.httpScratch.path }
    _modify { yield &self.httpScratch.path }
  }

  var routed: HTTPRequestHead {
    get { self.httpScratch.routed }
    _modify { yield &self.httpScratch.routed }
  }

  /// Whether the requests of a connection are looked at. Where the kernel chose the endpoint, nobody dialled a service port.
  func speaksHTTP(_ flow: AcceptedFlow) -> Bool {
    guard flow.chosen == nil, let route = self.table?.route(to: flow.original) else { return false }
    return route.appProtocol.needsProxy
      || route.http?.table(forClientsIn: self.namespace(of: flow.sourceWorkload)) != nil
  }

  func takeIdle(_ key: UpstreamPool.Key) -> HTTPUpstream? {
    guard let number = self.pool.take(key) else { return nil }
    return self.connections[number] as? HTTPUpstream
  }

  func terms(_ share: RoutingTable.Share?) -> UpstreamTerms {
    UpstreamTerms(share?.traffic?.pool, idle: self.http.upstreamIdleTimeout)
  }

  /// A connection that waits, for an exchange that may use one.
  func idleUpstream(
    _ key: UpstreamPool.Key, _ share: RoutingTable.Share?, _ exchange: HTTPExchange
  ) -> HTTPUpstream? {
    while exchange.mayReuse, let idle = self.takeIdle(key) {
      if idle.isFit(now: self.now), !exchange.mustBeSure || idle.isQuiet {
        idle.terms = self.terms(share)
        return idle
      }
      idle.close()
    }
    return nil
  }

  /// A new one that has still to dial.
  /// - user: nil: it is to wait for a request.
  func freshUpstream(
    _ key: UpstreamPool.Key, _ flow: AcceptedFlow, _ share: RoutingTable.Share,
    _ permit: consuming UpstreamRecord.Permit, for user: (any HTTPUpstreamUser)?
  ) -> HTTPUpstream {
    let fresh = HTTPUpstream(
      number: self.nextNumber(), key: key, flow: flow, share.record, self.terms(share), permit, user: user, loop: self)
    self.add(fresh)
    return fresh
  }

  /// One that has room for another request, for an exchange that may use one.
  func sharedHTTP2Upstream(
    _ key: UpstreamPool.Key, _ share: RoutingTable.Share?, _ exchange: HTTPExchange
  ) -> HTTP2Upstream? {
    guard exchange.mayReuse, let upstream = self.http2Upstreams[key]?.first(where: { $0.hasRoom }) else { return nil }
    upstream.terms = self.terms(share)
    return upstream
  }

  /// A new one that has still to dial.
  func freshHTTP2Upstream(
    _ key: UpstreamPool.Key, _ flow: AcceptedFlow, _ share: RoutingTable.Share,
    _ permit: consuming UpstreamRecord.Permit
  ) -> HTTP2Upstream {
    let fresh = HTTP2Upstream(
      number: self.nextNumber(), key: key, flow: flow, share, self.terms(share), permit, loop: self)
    self.add(fresh)
    self.http2Upstreams[key, default: []].append(fresh)
    return fresh
  }

  func forget(_ upstream: HTTP2Upstream) {
    self.http2Upstreams[upstream.key]?.removeAll { $0 === upstream }
    if self.http2Upstreams[upstream.key]?.isEmpty == true { self.http2Upstreams[upstream.key] = nil }
  }

  func closeOldIdle(all: Bool) {
    guard self.pool.count > 0 else { return }
    for number in self.pool.takeOld(now: all ? .max : self.now) { (self.connections[number] as? HTTPUpstream)?.close() }
  }

  /// With a new table: connections to endpoints that nothing leads to any more end with the requests that they have.
  func closeOrphans() {
    guard let table = self.table else { return }
    for number in self.pool.takeOrphans({ table.leads(to: $0) }) {
      (self.connections[number] as? HTTPUpstream)?.close()
    }
    for (key, upstreams) in self.http2Upstreams where !table.leads(to: key.target) {
      for upstream in upstreams { upstream.orphaned() }
    }
  }

  /// Counts an answer of the proxy's own, and says why, but not more often than a log bears.
  func note(_ answer: HTTPLocalAnswer, _ flow: AcceptedFlow) {
    guard answer.isFailure else { return }
    self.count(answer.reason)
    self.say(
      "request answered by the proxy", flow, [LogKey.reason: "\(answer.reason)", "status": "\(answer.status)"])
  }

  /// A line about what a workload was not given, but not more often than a log bears.
  func say(_ message: Logger.Message, _ flow: AcceptedFlow, _ words: Logger.Metadata) {
    guard self.httpScratch.lines.spend(now: self.now) else {
      self.httpScratch.unsaid += 1
      return
    }
    var metadata = words
    metadata[LogKey.destination] = "\(flow.original)"
    metadata[LogKey.source] = "\(self.caller(flow.sourceWorkload))"
    if self.httpScratch.unsaid > 0 { metadata["unsaid"] = "\(self.httpScratch.unsaid)" }
    self.httpScratch.unsaid = 0
    self.logger.notice(message, metadata: metadata)
  }
}
