/// Responses, interim ones, and trailers.
extension HTTPBridge {
  /// HTTP/1.1 to HTTP/2. Nil: 101, which HTTP/2 has not.
  package static func response(
    _ response: HTTP1ResponseHead, _ fields: [HTTP1Field], _ input: Span<UInt8>, edit: HTTP1FieldEdit,
    via: [UInt8] = []
  ) -> FieldBlock? {
    guard response.status != 101 else { return nil }
    var block = Self.status(response.status)
    Self.responseFields(
      HTTPFieldPlace.all(fields), input, response.status, removed: response.nominated,
      nominated: response.nominatedOthers, edit: edit, via: via, version: "1.1 ", to: &block)
    if let length = response.contentLength { block.add(contentLength: length) }
    return block
  }

  /// HTTP/2 to HTTP/2. Nil: not a response.
  package static func response(_ head: HTTP2Head, edit: HTTP1FieldEdit, via: [UInt8] = []) -> FieldBlock? {
    guard case .response(let status) = head.start else { return nil }
    var block = Self.status(status)
    let bytes = head.block.bytes
    Self.responseFields(
      HTTPFieldPlace.all(head), bytes.span, status, removed: [], nominated: [], edit: edit, via: via, version: "2 ",
      to: &block)
    if let length = head.contentLength, status >= 200, status != 204 { block.add(contentLength: length) }
    return block
  }

  /// What to ask an `HTTP1ServerConnection` for before the head is written. `ends`: there is no content.
  package static func framing(_ head: HTTP2Head, ends: Bool) -> HTTP1Framing {
    if ends { return .length(head.contentLength ?? 0) }
    return head.contentLength.map { .length($0) } ?? .chunked
  }

  /// HTTP/2 to HTTP/1.1. False: not a final response, and nothing is written.
  package static func response(
    _ head: HTTP2Head, plan: HTTP1ServerConnection.AnswerPlan, edit: HTTP1FieldEdit, via: [UInt8] = [],
    to output: inout [UInt8]
  ) -> Bool {
    guard case .response(let status) = head.start, status >= 200 else { return false }
    var lines = Self.lines(head, status, edit: edit, via: via)
    if plan.closes { lines.add("connection", "close".utf8) }
    if plan.tellsKeepAlive { lines.add("connection", "keep-alive".utf8) }
    switch plan.framing {
    case .length(let length): lines.add(contentLength: length)
    case .chunked: lines.add("transfer-encoding", "chunked".utf8)
    case .untilClose: break
    // HEAD and 304: the length of what is not sent.
    case .none: if let length = head.contentLength, status != 204 { lines.add(contentLength: length) }
    }
    output += lines.bytes
    output.append("\r\n")
    return true
  }

  /// HTTP/2 to HTTP/1.1: 100, 102 to 199. False: not one of them.
  package static func interim(_ head: HTTP2Head, to output: inout [UInt8]) -> Bool {
    guard case .response(let status) = head.start, status < 200, status != 101 else { return false }
    output += Self.lines(head, status, edit: HTTP1FieldEdit(), via: []).bytes
    output.append("\r\n")
    return true
  }

  /// HTTP/1.1 to HTTP/2. Nil: none that may pass, the stream ends with its data.
  package static func trailers(_ trailers: [HTTP1Field], _ input: Span<UInt8>) -> FieldBlock? {
    var block = FieldBlock()
    block.add(
      HTTPFieldPlace.all(trailers), input, removed: .forbiddenInTrailers, others: [], nominated: [])
    return block.fields.isEmpty ? nil : block
  }

  /// HTTP/2 to HTTP/2.
  package static func trailers(_ head: HTTP2Head) -> FieldBlock? {
    var block = FieldBlock()
    let bytes = head.block.bytes
    block.add(HTTPFieldPlace.all(head), bytes.span, removed: .forbiddenInTrailers, others: [], nominated: [])
    return block.fields.isEmpty ? nil : block
  }

  /// HTTP/2 to HTTP/1.1: the last chunk. `trailers` nil: there were none.
  package static func lastChunk(_ trailers: HTTP2Head?, to output: inout [UInt8]) {
    output.append("0\r\n")
    if let trailers {
      var lines = HTTP1Lines()
      let bytes = trailers.block.bytes
      lines.add(HTTPFieldPlace.all(trailers), bytes.span, removed: .forbiddenInTrailers, others: [], nominated: [])
      output += lines.bytes
    }
    output.append("\r\n")
  }

  static func status(_ status: UInt16) -> FieldBlock {
    var block = FieldBlock()
    var digits: [UInt8] = []
    digits.append(decimal: UInt64(status))
    block.add(":status", digits)
    return block
  }

  /// The status line and the fields that pass.
  private static func lines(_ head: HTTP2Head, _ status: UInt16, edit: HTTP1FieldEdit, via: [UInt8]) -> HTTP1Lines {
    var lines = HTTP1Lines()
    lines.bytes.append("HTTP/1.1 ")
    lines.bytes.append(decimal: UInt64(status))
    lines.bytes.append(HTTPBytes.space)
    lines.bytes.append(Self.reason(status))
    lines.bytes.append("\r\n")
    let bytes = head.block.bytes
    Self.responseFields(
      HTTPFieldPlace.all(head), bytes.span, status, removed: [], nominated: [], edit: edit, via: via, version: "2 ",
      to: &lines)
    lines.end()
    return lines
  }

  private static func responseFields(
    _ places: [HTTPFieldPlace], _ input: Span<UInt8>, _ status: UInt16, removed: HTTPFieldSet,
    nominated: [Range<Int>], edit: HTTP1FieldEdit, via: [UInt8], version: String, to sink: inout some HTTPFieldSink
  ) {
    // Rules are about the answer, not about what comes before it.
    let isFinal = status >= 200
    sink.add(
      places, input, removed: removed.union(.hopByHop).union(isFinal ? edit.removed : []),
      others: isFinal ? edit.removedOthers : [], nominated: nominated)
    guard isFinal else { return }
    sink.add(edit)
    if !via.isEmpty { sink.add("via", Array(version.utf8) + via) }
  }

  /// HTTP/2 has none. Nobody may rely on it; people like to read it.
  private static func reason(_ status: UInt16) -> StaticString {
    switch status {
    case 100: "Continue"
    case 103: "Early Hints"
    case 200: "OK"
    case 201: "Created"
    case 202: "Accepted"
    case 204: "No Content"
    case 206: "Partial Content"
    case 301: "Moved Permanently"
    case 302: "Found"
    case 303: "See Other"
    case 304: "Not Modified"
    case 307: "Temporary Redirect"
    case 308: "Permanent Redirect"
    case 400: "Bad Request"
    case 401: "Unauthorized"
    case 403: "Forbidden"
    case 404: "Not Found"
    case 405: "Method Not Allowed"
    case 409: "Conflict"
    case 429: "Too Many Requests"
    case 500: "Internal Server Error"
    case 502: "Bad Gateway"
    case 503: "Service Unavailable"
    case 504: "Gateway Timeout"
    default: ""
    }
  }
}
