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

  /// A connection that waits, for an exchange that may use one, or a new one that has still to dial.
  func upstream(
    _ key: UpstreamPool.Key, _ flow: AcceptedFlow, for user: any HTTPUpstreamUser, _ exchange: HTTPExchange
  ) -> (upstream: HTTPUpstream, isFresh: Bool) {
    while exchange.mayReuse, let idle = self.takeIdle(key) {
      guard idle.machine.isIdle, !exchange.mustBeSure || idle.isQuiet else {
        idle.close()
        continue
      }
      idle.take(for: user)
      return (idle, false)
    }
    let fresh = HTTPUpstream(number: self.nextNumber(), key: key, flow: flow, user: user, loop: self)
    self.add(fresh)
    return (fresh, true)
  }

  /// A place for a request on a connection that has room, or on a new one that has still to dial.
  func leg(
    _ request: FieldBlock, isWhole: Bool, to key: UpstreamPool.Key, _ flow: AcceptedFlow, for user: any HTTP2LegUser,
    _ exchange: HTTPExchange
  ) -> (leg: HTTP2Leg, isFresh: Bool) {
    if exchange.mayReuse, let upstream = self.http2Upstreams[key]?.first(where: { $0.hasRoom }) {
      return (HTTP2Leg(request, isWhole: isWhole, on: upstream, user: user), false)
    }
    return (HTTP2Leg(request, isWhole: isWhole, on: self.freshHTTP2Upstream(key, flow), user: user), true)
  }

  func freshHTTP2Upstream(_ key: UpstreamPool.Key, _ flow: AcceptedFlow) -> HTTP2Upstream {
    let fresh = HTTP2Upstream(number: self.nextNumber(), key: key, flow: flow, loop: self)
    self.add(fresh)
    self.http2Upstreams[key, default: []].append(fresh)
    return fresh
  }

  func forget(_ upstream: HTTP2Upstream) {
    self.http2Upstreams[upstream.key]?.removeAll { $0 === upstream }
    if self.http2Upstreams[upstream.key]?.isEmpty == true { self.http2Upstreams[upstream.key] = nil }
  }

  func closeOldIdle(all: Bool) {
    guard self.pool.count > 0, all || self.now > self.http.upstreamIdleTimeout else { return }
    for number in self.pool.takeOld(since: all ? self.now : self.now - self.http.upstreamIdleTimeout) {
      (self.connections[number] as? HTTPUpstream)?.close()
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
