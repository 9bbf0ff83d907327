import MeshHTTP
import Testing

/// What a stream made of a connection, cut-independent: ranges are resolved to bytes, pieces of a body are joined.
struct HTTP1Trace: Equatable, CustomStringConvertible {
  var lines: [String] = []
  /// Bytes that nobody consumed.
  var held = 0

  var description: String { self.lines.joined(separator: " | ") }

  mutating func body(_ bytes: some Collection<UInt8>) {
    let text = String(decoding: bytes, as: UTF8.self)
    if let last = self.lines.last, last.hasPrefix("body ") {
      self.lines[self.lines.count - 1] = last + text
    } else {
      self.lines.append("body " + text)
    }
  }
}

enum Feed: CaseIterable {
  case whole, byByte, thirds

  func pieces(of bytes: [UInt8]) -> [[UInt8]] {
    let size =
      switch self {
      case .whole: max(1, bytes.count)
      case .byByte: 1
      case .thirds: max(1, bytes.count / 3)
      }
    return stride(from: 0, to: bytes.count, by: size).map { Array(bytes[$0..<min($0 + size, bytes.count)]) }
  }
}

func fieldsText(_ fields: [HTTP1Field], _ bytes: ArraySlice<UInt8>) -> String {
  fields.map { field in
    let base = bytes.startIndex
    let name = bytes[base + field.nameRange.lowerBound..<base + field.nameRange.upperBound]
    let value = bytes[base + field.valueRange.lowerBound..<base + field.valueRange.upperBound]
    return String(decoding: name, as: UTF8.self) + "=" + String(decoding: value, as: UTF8.self)
  }.joined(separator: ",")
}

/// Gives a client's stream to a server connection. `answers`: each request is answered at its end at once.
func serve(
  _ bytes: [UInt8], feed: Feed, answers: Bool = true, ended: Bool = false, limits: HTTP1Limits = .defaults
) -> HTTP1Trace {
  var connection = HTTP1ServerConnection(limits: limits)
  var trace = HTTP1Trace()
  var buffer: [UInt8] = []
  let pieces = feed.pieces(of: bytes) + (ended ? [[]] : [])
  for (index, piece) in pieces.enumerated() {
    buffer += piece
    loop: while true {
      let step = connection.receive(buffer.span, ended: ended && index == pieces.count - 1)
      switch step.event {
      case .needsInput: if step.consumed == 0 { break loop }
      case .waits: break loop
      case .request:
        guard let request = connection.request else { break loop }
        trace.lines.append(
          "request " + String(decoding: buffer[request.method], as: UTF8.self) + " "
            + String(decoding: buffer[request.target], as: UTF8.self) + " "
            + fieldsText(connection.fields, buffer[0...]))
      case .body(let range): trace.body(buffer[range])
      case .requestEnd(let from):
        trace.lines.append("end " + fieldsText(connection.trailers, buffer[from...]))
        if answers, connection.answer(status: 200, framing: .length(0)) != nil {
          trace.lines.append("answered \(connection.answerEnded())")
        }
      case .refused(let fault): trace.lines.append("refused \(fault.rawValue) \(fault.requestStatus)")
      case .closed:
        trace.lines.append("closed")
        break loop
      case .tunnel(let range): trace.body(buffer[range])
      }
      buffer.removeFirst(step.consumed)
      if case .refused = step.event { break loop }
    }
  }
  trace.held = buffer.count
  return trace
}

/// Gives an upstream's stream to a client connection to which one request is open.
func call(
  _ bytes: [UInt8], feed: Feed, isHead: Bool = false, upgrades: Bool = false, requestEnds: Bool = true,
  ended: Bool = false
) -> HTTP1Trace {
  var connection = HTTP1ClientConnection()
  #expect(connection.begin(isHead: isHead, upgrades: upgrades) == true)
  if requestEnds { connection.requestEnded() }
  var trace = HTTP1Trace()
  var buffer: [UInt8] = []
  let pieces = feed.pieces(of: bytes) + (ended ? [[]] : [])
  for (index, piece) in pieces.enumerated() {
    buffer += piece
    loop: while true {
      let step = connection.receive(buffer.span, ended: ended && index == pieces.count - 1)
      switch step.event {
      case .needsInput: if step.consumed == 0 { break loop }
      case .interim(let status): trace.lines.append("interim \(status)")
      case .response:
        trace.lines.append(
          "response \(connection.response?.status ?? 0) " + fieldsText(connection.fields, buffer[0...]))
      case .body(let range), .tunnel(let range): trace.body(buffer[range])
      case .responseEnd(let from, let isReusable):
        trace.lines.append(
          "end " + fieldsText(connection.trailers, buffer[from...]) + (isReusable ? "reusable" : "close"))
      case .refused(let fault): trace.lines.append("refused \(fault.rawValue)")
      case .closed:
        trace.lines.append("closed")
        break loop
      }
      buffer.removeFirst(step.consumed)
      if case .refused = step.event { break loop }
    }
  }
  return trace
}

/// The same stream whole, in three pieces and byte by byte makes the same of a connection.
func served(
  _ text: String, answers: Bool = true, ended: Bool = false, limits: HTTP1Limits = .defaults,
  sourceLocation: SourceLocation = #_sourceLocation
) -> HTTP1Trace {
  servedBytes(Array(text.utf8), answers: answers, ended: ended, limits: limits, sourceLocation: sourceLocation)
}

func servedBytes(
  _ bytes: [UInt8], answers: Bool = true, ended: Bool = false, limits: HTTP1Limits = .defaults,
  sourceLocation: SourceLocation = #_sourceLocation
) -> HTTP1Trace {
  let traces = Feed.allCases.map { serve(bytes, feed: $0, answers: answers, ended: ended, limits: limits) }
  for trace in traces { #expect(trace.lines == traces[0].lines, sourceLocation: sourceLocation) }
  return traces[0]
}

/// Whether this is refused with this status, with no request told of before.
func expectRefusal(
  _ text: String, _ fault: HTTP1Fault, _ status: UInt16 = 400, sourceLocation: SourceLocation = #_sourceLocation
) {
  let trace = served(text, sourceLocation: sourceLocation)
  #expect(trace.lines == ["refused \(fault.rawValue) \(status)"], sourceLocation: sourceLocation)
}
