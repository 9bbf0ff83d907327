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
  var passage = HTTP1Passage()
  /// Lines in the log.
  var lines = RateBudget(perSecond: 10, burst: 50)
  var unsaid = 0
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

  var passage: HTTP1Passage { self.httpScratch.passage }

  /// Whether the requests of a connection are looked at. Where the kernel chose the endpoint, nobody dialled a service port.
  func speaksHTTP(_ flow: AcceptedFlow) -> Bool {
    guard flow.chosen == nil, let route = self.table?.route(to: flow.original) else { return false }
    return route.appProtocol.isParsed(isRouted: route.http != nil)
  }

  func takeIdle(_ key: UpstreamPool.Key) -> HTTPUpstream? {
    guard let number = self.pool.take(key) else { return nil }
    return self.connections[number] as? HTTPUpstream
  }

  func closeOldIdle() {
    guard self.pool.count > 0, self.now > self.http.upstreamIdleTimeout else { return }
    for number in self.pool.takeOld(since: self.now - self.http.upstreamIdleTimeout) {
      (self.connections[number] as? HTTPUpstream)?.close()
    }
  }

  /// What the proxy says of the next request's way.
  func renewPassage() {
    self.httpScratch.passage.via = self.http.via
    if self.http.addsRequestID { self.writeRequestID() }
    if self.http.addsTraceparent { self.writeTraceparent() }
  }

  /// A UUID of version 4 (RFC 9562).
  private func writeRequestID() {
    let (high, low) = (self.random.next(), self.random.next())
    self.httpScratch.passage.requestID.removeAll(keepingCapacity: true)
    for digit in 0..<32 {
      if digit == 8 || digit == 12 || digit == 16 || digit == 20 { self.httpScratch.passage.requestID.append(0x2d) }
      let nibble =
        switch digit {
        case 12: UInt8(4)
        case 16: UInt8(8 | low >> 60 & 3)
        default: UInt8((digit < 16 ? high : low) >> UInt64(60 - 4 * (digit & 15)) & 15)
        }
      self.httpScratch.passage.requestID.append(Self.hexadecimal(nibble))
    }
  }

  /// `00-<trace>-<span>-01` of W3C Trace Context.
  private func writeTraceparent() {
    self.httpScratch.passage.traceparent.removeAll(keepingCapacity: true)
    self.httpScratch.passage.traceparent.append(contentsOf: "00-".utf8)
    for word in 0..<3 {
      if word == 2 { self.httpScratch.passage.traceparent.append(0x2d) }
      // An id of zeros is none.
      let bits = self.random.next() | 1
      for digit in 0..<16 {
        self.httpScratch.passage.traceparent.append(Self.hexadecimal(UInt8(bits >> UInt64(60 - 4 * digit) & 15)))
      }
    }
    self.httpScratch.passage.traceparent.append(contentsOf: "-01".utf8)
  }

  private static func hexadecimal(_ nibble: UInt8) -> UInt8 { nibble < 10 ? 0x30 + nibble : 0x57 + nibble }

  /// Counts an answer of the proxy's own, and says why, but not more often than a log bears.
  func note(_ answer: HTTPLocalAnswer, _ flow: AcceptedFlow) {
    guard answer.isFailure else { return }
    self.count(answer.reason)
    guard self.httpScratch.lines.spend(now: self.now) else {
      self.httpScratch.unsaid += 1
      return
    }
    var metadata: Logger.Metadata = [
      LogKey.reason: "\(answer.reason)", "status": "\(answer.status)", LogKey.destination: "\(flow.original)",
      LogKey.source: "\(self.caller(flow.sourceWorkload))",
    ]
    if self.httpScratch.unsaid > 0 { metadata["unsaid"] = "\(self.httpScratch.unsaid)" }
    self.httpScratch.unsaid = 0
    self.logger.notice("request answered by the proxy", metadata: metadata)
  }
}
