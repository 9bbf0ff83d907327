import MeshBase
import MeshHTTP
import MeshRouting

/// What is said of a client to upstreams.
struct HTTPClientWords {
  var forwardedFor: [UInt8] = []
  var forwarded: [UInt8] = []
}

/// What the proxy says of a request's way: who asked, under which number.
extension RelayLoop {
  var passage: HTTP1Passage { self.httpScratch.passage }

  /// Before a request's head is written.
  func renewPassage(of flow: AcceptedFlow) {
    let forwarding = self.http.forwarding
    if forwarding.tellsClient || forwarding.forwarded == .replace {
      let words = self.clientWords(of: flow)
      self.httpScratch.passage.forwardedFor = words.forwardedFor
      self.httpScratch.passage.forwarded = words.forwarded
    }
    if forwarding.addsRequestID { self.writeRequestID() }
    if forwarding.traceparent == .add { self.writeTraceparent() }
  }

  /// The address of the workload that called, of the family that it dialled: its socket's own is the loopback on which the proxy
  /// accepts. Nothing is said of a client that is no workload.
  private func clientWords(of flow: AcceptedFlow) -> HTTPClientWords {
    let isV4 = flow.original.address.isV4
    let key = UInt64(flow.sourceWorkload) << 1 | (isV4 ? 1 : 0)
    if let known = self.httpScratch.clients[key] { return known }
    var words = HTTPClientWords()
    guard self.callers.names[flow.sourceWorkload] != nil, self.table != nil else { return words }
    if let address = self.address(of: flow) {
      if self.http.forwarding.tellsClient { words.forwardedFor = Array(address.description.utf8) }
      if self.http.forwarding.forwarded == .replace { words.forwarded = HTTPForwarding.element(client: address) }
    }
    self.httpScratch.clients[key] = words
    return words
  }

  /// The same address, for what is balanced by it.
  func address(of flow: AcceptedFlow) -> IPAddress? {
    guard let caller = self.callers.names[flow.sourceWorkload], let addresses = self.table?.addresses(of: caller) else {
      return nil
    }
    return addresses.first { $0.isV4 == flow.original.address.isV4 } ?? addresses.first
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
}
