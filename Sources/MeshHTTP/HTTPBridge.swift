/// Heads from one version of HTTP into another: the same decisions as `HTTP1Writer`'s on what is passed on.
///
/// Framing and the connection are each version's own: `Connection` and what it names, `Transfer-Encoding`, `Upgrade`, `Trailer`
/// end here. `Host` and `:authority` are one thing, `TE` is passed on as `trailers` or not at all, `Content-Length` is written
/// from what was parsed. An upgrade cannot pass: its client needs an upstream of HTTP/1.1.
package enum HTTPBridge {
  /// Why a request cannot be said in the other version.
  package enum Refusal: String, Error, Hashable, Sendable {
    case upgrade, connect, authority, method, expectation
  }

  /// HTTP/1.1 to HTTP/2.
  package static func request(
    _ request: HTTP1RequestHead, _ fields: [HTTP1Field], _ input: Span<UInt8>, edit: HTTP1FieldEdit,
    passage: HTTP1Passage, target: [UInt8]? = nil, authority: [UInt8]? = nil
  ) throws(Refusal) -> FieldBlock {
    guard !request.upgrades else { throw .upgrade }
    guard authority != nil || request.authority != nil else { throw .authority }
    var block = FieldBlock()
    block.add(":method", Self.copy(input, request.method))
    block.add(":scheme", "http".utf8)
    block.add(":authority", authority ?? Self.copy(input, request.authority ?? 0..<0))
    block.add(":path", target ?? Self.copy(input, request.target))
    Self.requestFields(
      HTTPFieldPlace.all(fields), input, removed: request.nominated, nominated: request.nominatedOthers, edit: edit,
      passage: passage, host: request.authority, via: "1.1 ", expects: request.expectsContinue, to: &block)
    if fields.contains(where: { $0.name == .te && Self.lists(input, $0.valueRange, "trailers") }) {
      block.add("te", "trailers".utf8)
    }
    if case .length(let length) = request.framing { block.add(contentLength: length) }
    return block
  }

  /// HTTP/2 to HTTP/1.1. `ends`: there is no content. The framing is that of the content that follows.
  package static func request(
    _ head: HTTP2Head, ends: Bool, edit: HTTP1FieldEdit, passage: HTTP1Passage, target: [UInt8]? = nil,
    authority: [UInt8]? = nil, to output: inout [UInt8]
  ) throws(Refusal) -> HTTP1Framing {
    guard case .request(let method, _, let host, let path) = head.start else { throw .connect }
    let places = HTTPFieldPlace.all(head)
    let bytes = head.block.bytes
    // Methods in other letters are refused of clients of HTTP/1.1 as well.
    guard bytes[method].allSatisfy({ HTTPBytes.isMethod($0) }), !bytes.span.matches(method, "pri") else {
      throw .method
    }
    let expects = try Self.expects(places, bytes.span, ends: ends)
    output += bytes[method]
    output.append(HTTPBytes.space)
    output += target ?? Array(bytes[path])
    output.append(" HTTP/1.1\r\nhost: ")
    output += authority ?? Array(bytes[host])
    output.append("\r\n")
    var lines = HTTP1Lines()
    Self.requestFields(
      places, bytes.span, removed: [], nominated: [], edit: edit, passage: passage, host: host, via: "2 ",
      expects: expects, to: &lines)
    if places.contains(where: { $0.known == .te }) {
      lines.add("te", "trailers".utf8)
      lines.add("connection", "te".utf8)
    }
    lines.end()
    let framing = Self.framing(head, method: bytes[method], ends: ends)
    switch framing {
    case .length(let length): lines.add(contentLength: length)
    case .chunked: lines.add("transfer-encoding", "chunked".utf8)
    case .none, .untilClose: break
    }
    output += lines.bytes
    output.append("\r\n")
    return framing
  }

  /// HTTP/2 to HTTP/2.
  package static func request(
    _ head: HTTP2Head, ends: Bool, edit: HTTP1FieldEdit, passage: HTTP1Passage, target: [UInt8]? = nil,
    authority: [UInt8]? = nil
  ) throws(Refusal) -> FieldBlock {
    guard case .request(let method, let scheme, let host, let path) = head.start else { throw .connect }
    let places = HTTPFieldPlace.all(head)
    let bytes = head.block.bytes
    let expects = try Self.expects(places, bytes.span, ends: ends)
    var block = FieldBlock()
    block.add(":method", bytes[method])
    block.add(":scheme", bytes[scheme])
    block.add(":authority", authority ?? Array(bytes[host]))
    block.add(":path", target ?? Array(bytes[path]))
    Self.requestFields(
      places, bytes.span, removed: [], nominated: [], edit: edit, passage: passage, host: host, via: "2 ",
      expects: expects, to: &block)
    if places.contains(where: { $0.known == .te }) { block.add("te", "trailers".utf8) }
    if let length = head.contentLength { block.add(contentLength: length) }
    return block
  }

  private static func requestFields(
    _ places: [HTTPFieldPlace], _ input: Span<UInt8>, removed: HTTPFieldSet, nominated: [Range<Int>],
    edit: HTTP1FieldEdit, passage: HTTP1Passage, host: Range<Int>?, via: String, expects: Bool,
    to sink: inout some HTTPFieldSink
  ) {
    var removed = removed.union(.hopByHop).union([.host, .expect]).union(HTTP1Writer.identity).union(edit.removed)
      .union(passage.removed)
    var kept = HTTPKeptPassage()
    for place in places { kept.see(place.known, place.value, input, removed: &removed) }
    kept.end(removed: &removed)
    var chain: [UInt8] = []
    if kept.chain, !passage.forwardedFor.isEmpty {
      // One field: many look at the first of several only.
      removed.insert(.xForwardedFor)
      for place in places where place.known == .xForwardedFor && !place.value.isEmpty {
        chain.append(input, place.value)
        chain.append(", ")
      }
    }
    sink.add(places, input, removed: removed, others: edit.removedOthers, nominated: nominated)
    sink.add(edit)
    sink.add("x-forwarded-for", chain + passage.forwardedFor)
    if !kept.proto { sink.add("x-forwarded-proto", passage.forwardedProto) }
    if passage.tellsHost, !kept.host, let host { sink.add("x-forwarded-host", Self.copy(input, host)) }
    sink.add("forwarded", passage.forwarded)
    if !passage.via.isEmpty { sink.add("via", Array(via.utf8) + passage.via) }
    if !kept.requestID { sink.add("x-request-id", passage.requestID) }
    if !kept.trace { sink.add("traceparent", passage.traceparent) }
    // Once: there are servers that refuse it twice.
    if expects { sink.add("expect", "100-continue".utf8) }
  }

  /// Whether somebody waits for 100. Nothing but 100-continue can be expected (row H1-18).
  private static func expects(
    _ places: [HTTPFieldPlace], _ input: Span<UInt8>, ends: Bool
  ) throws(Refusal) -> Bool {
    var expects = false
    for place in places where place.known == .expect {
      guard input.matches(place.value, "100-continue") else { throw .expectation }
      expects = true
    }
    return expects && !ends
  }

  private static func framing(_ head: HTTP2Head, method: ArraySlice<UInt8>, ends: Bool) -> HTTP1Framing {
    if let length = head.contentLength { return .length(length) }
    guard ends else { return .chunked }
    // Of these a length is awaited, also where there is nothing (RFC 9110 section 8.6).
    return ["POST", "PUT", "PATCH"].contains { method.elementsEqual($0.utf8) } ? .length(0) : .none
  }

  static func copy(_ input: Span<UInt8>, _ range: Range<Int>) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.append(input, range)
    return bytes
  }

  /// Whether a list has this element. What stands behind a semicolon is about it.
  private static func lists(_ input: Span<UInt8>, _ value: Range<Int>, _ element: StaticString) -> Bool {
    var at = value.lowerBound
    while at < value.upperBound {
      while at < value.upperBound, HTTPBytes.isBlank(input[at]) || input[at] == HTTPBytes.comma { at += 1 }
      let start = at
      while at < value.upperBound, HTTPBytes.isToken(input[at]) { at += 1 }
      if input.matches(start..<at, element) { return true }
      while at < value.upperBound, input[at] != HTTPBytes.comma { at += 1 }
    }
    return false
  }
}
