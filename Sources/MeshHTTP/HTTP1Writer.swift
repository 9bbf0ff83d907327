/// What a rule changes in the fields of a message, made once per rule: names to take away, lines to add. A field that is set is
/// taken away and added.
package struct HTTP1FieldEdit: Hashable, Sendable {
  package private(set) var removed: HTTPFieldSet = []
  /// Names that this code does not know, in lower case.
  package private(set) var removedOthers: [[UInt8]] = []
  package private(set) var lines: [UInt8] = []

  /// Framing and the connection are not a rule's.
  private static let untouchable: HTTPFieldSet = HTTPFieldSet.hopByHop.union([.host, .expect])

  package init() {}

  /// False: the name or the value is none, or is the connection's. Nothing is changed then.
  package mutating func add(_ name: String, _ value: String) -> Bool {
    guard let known = Self.known(name), value.utf8.allSatisfy({ HTTPBytes.isValue($0) }) else { return false }
    guard !Self.untouchable.contains(known) else { return false }
    self.lines += Array(name.utf8)
    self.lines.append(": ")
    self.lines += Array(value.utf8)
    self.lines.append("\r\n")
    return true
  }

  package mutating func remove(_ name: String) -> Bool {
    guard let known = Self.known(name), !Self.untouchable.contains(known) else { return false }
    if known == .other {
      self.removedOthers.append(name.utf8.map { HTTPBytes.lower($0) })
    } else {
      self.removed.insert(known)
    }
    return true
  }

  package mutating func set(_ name: String, _ value: String) -> Bool {
    let before = self
    if self.remove(name), self.add(name, value) { return true }
    self = before
    return false
  }

  /// Both, `next` behind this one.
  package func followed(by next: HTTP1FieldEdit) -> HTTP1FieldEdit {
    if next.isEmpty { return self }
    if self.isEmpty { return next }
    var both = self
    both.removed = self.removed.union(next.removed)
    both.removedOthers += next.removedOthers
    both.lines = self.linesKept(by: next) + next.lines
    return both
  }

  package var isEmpty: Bool { self.lines.isEmpty && self.removed == [] && self.removedOthers.isEmpty }

  /// The lines whose names `next` does not take away.
  private func linesKept(by next: HTTP1FieldEdit) -> [UInt8] {
    var kept: [UInt8] = []
    var at = 0
    let lines = self.lines.span
    while at < lines.count {
      var nameEnd = at
      while nameEnd < lines.count, lines[nameEnd] != HTTPBytes.colon { nameEnd += 1 }
      var end = nameEnd
      while end < lines.count, lines[end] != HTTPBytes.lineFeed { end += 1 }
      end = min(end + 1, lines.count)
      let name = HTTPFieldNames.shared.find(lines, at..<nameEnd)
      let goes =
        name == .other
        ? next.removedOthers.contains { lines.matches(at..<nameEnd, $0) } : next.removed.contains(name)
      if !goes { kept.append(lines, at..<end) }
      at = end
    }
    return kept
  }

  private static func known(_ name: String) -> HTTPFieldName? {
    let bytes = Array(name.utf8)
    guard !bytes.isEmpty, bytes.allSatisfy({ HTTPBytes.isToken($0) }) else { return nil }
    return HTTPFieldNames.shared.find(bytes.span, 0..<bytes.count)
  }
}

/// What the proxy itself says of a request's way. Each can be left out: empty.
package struct HTTP1Passage: Hashable, Sendable {
  /// The name in `Via`.
  package var via: [UInt8] = []
  /// The client's address, for `X-Forwarded-For`, behind what is there.
  package var forwardedFor: [UInt8] = []
  /// For a request that has none of its own.
  package var forwardedProto: [UInt8] = []
  /// A request without `X-Forwarded-Host` gets one: the host as the client asked for it.
  package var tellsHost = false
  /// What of the client's own does not pass.
  package var removed: HTTPFieldSet = []
  /// A whole element for `Forwarded` (RFC 7239).
  package var forwarded: [UInt8] = []
  /// For a request that has none of its own.
  package var requestID: [UInt8] = []
  package var traceparent: [UInt8] = []

  package init() {}
}

/// Writes heads, chunk frames and local answers. Field lines that stay are copied as they came, several at once.
package enum HTTP1Writer {
  /// What nobody but the mesh says of a client (rows HN-02, H1-32).
  static let identity: HTTPFieldSet = [.xForwardedClientCert, .l5dClientID, .forwarded]

  /// `target`: what a rule rewrote the target to; `authority`: another host than the client's. Nil: as it came.
  package static func request(
    _ request: HTTP1RequestHead, _ fields: [HTTP1Field], present: HTTPFieldSet, _ input: Span<UInt8>,
    edit: HTTP1FieldEdit, passage: HTTP1Passage, target: [UInt8]? = nil, authority: [UInt8]? = nil,
    to output: inout [UInt8]
  ) {
    output.append(input, request.method)
    output.append(HTTPBytes.space)
    if let target { output += target } else { output.append(input, request.target) }
    output.append(" HTTP/1.1\r\nhost: ")
    if let authority {
      output += authority
    } else if let authority = request.authority {
      output.append(input, authority)
    }
    output.append("\r\n")

    var removed = HTTPFieldSet.hopByHop.union([.host, .expect]).union(Self.identity).union(edit.removed)
      .union(request.nominated).union(passage.removed)
    var kept = HTTPKeptPassage()
    if !present.isDisjoint(with: HTTPKeptPassage.names) {
      for field in fields { kept.see(field.name, field.valueRange, input, removed: &removed) }
      kept.end(removed: &removed)
    }
    // One field: many look at the first of several only.
    let joins = kept.chain && !passage.forwardedFor.isEmpty
    if joins { removed.insert(.xForwardedFor) }
    Self.fields(
      fields, input, removed: removed, others: edit.removedOthers, nominated: request.nominatedOthers, to: &output)
    output += edit.lines
    if joins {
      output.append("x-forwarded-for: ")
      for field in fields where field.name == .xForwardedFor && !field.valueRange.isEmpty {
        output.append(input, field.valueRange)
        output.append(", ")
      }
      output += passage.forwardedFor
      output.append("\r\n")
    } else {
      Self.line("x-forwarded-for: ", passage.forwardedFor, to: &output)
    }
    if !kept.proto { Self.line("x-forwarded-proto: ", passage.forwardedProto, to: &output) }
    if passage.tellsHost, !kept.host, let host = request.authority {
      output.append("x-forwarded-host: ")
      output.append(input, host)
      output.append("\r\n")
    }
    Self.line("forwarded: ", passage.forwarded, to: &output)
    Self.line("via: 1.1 ", passage.via, to: &output)
    if !kept.requestID { Self.line("x-request-id: ", passage.requestID, to: &output) }
    if !kept.trace { Self.line("traceparent: ", passage.traceparent, to: &output) }
    // Once: there are servers that refuse it twice.
    if request.expectsContinue { output.append("expect: 100-continue\r\n") }
    if request.upgrades { output.append("connection: upgrade\r\nupgrade: websocket\r\n") }
    Self.framing(request.framing, to: &output)
    output.append("\r\n")
  }

  package static func response(
    _ response: HTTP1ResponseHead, _ fields: [HTTP1Field], _ input: Span<UInt8>, plan: HTTP1ServerConnection.AnswerPlan,
    edit: HTTP1FieldEdit, via: [UInt8] = [], to output: inout [UInt8]
  ) {
    Self.statusLine(response.status, to: &output)
    output.append(input, response.reason)
    output.append("\r\n")
    let removed = HTTPFieldSet.hopByHop.union(edit.removed).union(response.nominated)
    Self.fields(
      fields, input, removed: removed, others: edit.removedOthers, nominated: response.nominatedOthers, to: &output)
    output += edit.lines
    if response.status != 101 { Self.line("via: 1.1 ", via, to: &output) }
    if response.status == 101 { output.append("connection: upgrade\r\nupgrade: websocket\r\n") }
    if plan.closes { output.append("connection: close\r\n") }
    if plan.tellsKeepAlive { output.append("connection: keep-alive\r\n") }
    if plan.framing == .none, let length = response.contentLength {
      // HEAD and 304: the length of what is not sent.
      Self.framing(.length(length), to: &output)
    } else {
      Self.framing(plan.framing, to: &output)
    }
    output.append("\r\n")
  }

  /// 100, 102 to 199.
  package static func interim(
    _ response: HTTP1ResponseHead, _ fields: [HTTP1Field], _ input: Span<UInt8>, to output: inout [UInt8]
  ) {
    Self.statusLine(response.status, to: &output)
    output.append(input, response.reason)
    output.append("\r\n")
    Self.fields(
      fields, input, removed: HTTPFieldSet.hopByHop.union(response.nominated), others: [],
      nominated: response.nominatedOthers, to: &output)
    output.append("\r\n")
  }

  /// An answer of the proxy's own. `reason` is a phrase of visible ASCII; `text` is the content, in ASCII, of a line or none;
  /// an answer to HEAD says how long it would be.
  package static func answer(
    _ status: UInt16, _ reason: StaticString, text: String = "", isHead: Bool = false, closes: Bool,
    edit: HTTP1FieldEdit = HTTP1FieldEdit(), to output: inout [UInt8]
  ) {
    Self.statusLine(status, to: &output)
    output.append(reason)
    output.append("\r\n")
    output += edit.lines
    if status != 204, status >= 200 {
      let count = text.utf8.count
      if count > 0 { output.append("content-type: text/plain\r\n") }
      Self.framing(.length(count == 0 ? 0 : UInt64(count) + 1), to: &output)
    }
    output.append(closes ? "connection: close\r\n\r\n" : "\r\n")
    guard !isHead, status != 204, status >= 200, !text.isEmpty else { return }
    output.append(contentsOf: text.utf8)
    output.append(HTTPBytes.lineFeed)
  }

  /// Before the bytes of a piece of a body. An empty piece is none: it would be the end.
  package static func chunkBegin(_ count: Int, to output: inout [UInt8]) {
    output.append(hexadecimal: UInt64(max(0, count)))
    output.append("\r\n")
  }

  /// Behind them.
  package static func chunkEnd(to output: inout [UInt8]) { output.append("\r\n") }

  /// The last chunk and the trailers that may pass.
  package static func lastChunk(_ trailers: [HTTP1Field], _ input: Span<UInt8>, to output: inout [UInt8]) {
    output.append("0\r\n")
    for field in trailers where !HTTPFieldSet.forbiddenInTrailers.contains(field.name) {
      if field.name == .other, Self.isReserved(input, field.nameRange) { continue }
      output.append(input, field.lineRange)
    }
    output.append("\r\n")
  }

  private static func statusLine(_ status: UInt16, to output: inout [UInt8]) {
    output.append("HTTP/1.1 ")
    output.append(decimal: UInt64(status))
    output.append(HTTPBytes.space)
  }

  private static func framing(_ framing: HTTP1Framing, to output: inout [UInt8]) {
    switch framing {
    case .none, .untilClose: break
    case .length(let count):
      output.append("content-length: ")
      output.append(decimal: count)
      output.append("\r\n")
    case .chunked: output.append("transfer-encoding: chunked\r\n")
    }
  }

  private static func line(_ name: StaticString, _ value: [UInt8], to output: inout [UInt8]) {
    guard !value.isEmpty else { return }
    output.append(name)
    output += value
    output.append("\r\n")
  }

  private static func fields(
    _ fields: [HTTP1Field], _ input: Span<UInt8>, removed: HTTPFieldSet, others: [[UInt8]], nominated: [Range<Int>],
    to output: inout [UInt8]
  ) {
    var run = 0..<0
    for field in fields {
      var goes = removed.contains(field.name)
      if !goes, field.name == .other {
        goes = Self.isReserved(input, field.nameRange)
        for name in others where !goes { goes = input.matches(field.nameRange, name) }
        for name in nominated where !goes { goes = input.matches(field.nameRange, name) }
      }
      guard !goes else { continue }
      let line = field.lineRange
      if run.upperBound == line.lowerBound {
        run = run.lowerBound..<line.upperBound
      } else {
        output.append(input, run)
        run = line
      }
    }
    output.append(input, run)
  }

  /// Families of names by which proxies tell each other who somebody is.
  static func isReserved(_ input: Span<UInt8>, _ name: Range<Int>) -> Bool {
    guard name.count > 8, input[name.lowerBound] | 0x20 == 0x78 else { return false }
    return input.starts(name, with: "x-envoy-") || input.starts(name, with: "x-spiffe-")
      || input.starts(name, with: "x-martlet-")
  }
}
