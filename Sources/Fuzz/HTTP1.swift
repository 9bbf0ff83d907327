import MeshHTTP

/// A client's stream to a server, and an upstream's to a client.
func fuzzHTTP1(_ bytes: [UInt8], cut: Int) {
  let size = 1 + cut % 37
  let whole = Served(bytes, size: 0)
  let cutUp = Served(bytes, size: size)
  expect(whole.told == cutUp.told, "a request depends on where it was cut:", "\(whole.told)\n\(cutUp.told)")
  // Nobody behind reads another request out of it, and none more or less.
  let again = Served(whole.forwarded, size: 0)
  expect(!again.isRefused, "what is forwarded is refused:", text(whole.forwarded))
  expect(
    again.targets == whole.forwardedTargets, "what is forwarded are other requests:",
    "\(whole.forwardedTargets)\n\(again.targets)\n\(text(whole.forwarded))")

  for isHead in [false, true] {
    let answer = Called(bytes, size: 0, isHead: isHead)
    expect(answer.told == Called(bytes, size: size, isHead: isHead).told, "an answer depends on where it was cut")
    let again = Called(answer.forwarded, size: 0, isHead: isHead)
    expect(!answer.isWhole || again.isWhole, "what is passed on is not whole:", text(answer.forwarded))
  }
}

func text(_ bytes: some Sequence<UInt8>) -> String {
  bytes.map { (0x20..<0x7f).contains($0) ? String(UnicodeScalar($0)) : "\\x" + String($0, radix: 16) }.joined()
}

/// What a server made of a stream, and what a proxy would write of it.
private struct Served {
  var told: [String] = []
  var targets: [[UInt8]] = []
  var isRefused = false
  var forwarded: [UInt8] = []
  /// Of the requests that came whole.
  var forwardedTargets: [[UInt8]] = []

  init(_ bytes: [UInt8], size: Int) {
    var connection = HTTP1ServerConnection()
    var buffer: [UInt8] = []
    var pending: [UInt8] = []
    for piece in pieces(of: bytes, size: size) {
      buffer += piece
      turns: while true {
        let step = connection.receive(buffer.span)
        expect((0...buffer.count).contains(step.consumed), "more is consumed than there is")
        switch step.event {
        case .needsInput: if step.consumed == 0 { break turns }
        case .waits: break turns
        case .request:
          guard let request = connection.request else { break turns }
          self.targets.append(Array(buffer[request.target]))
          self.told.append("request \(text(buffer[request.method])) \(text(buffer[request.target]))")
          for field in connection.fields {
            self.told.append("\(text(buffer[field.nameRange]))=\(text(buffer[field.valueRange]))")
          }
          pending = []
          HTTP1Writer.request(
            request, connection.fields, present: connection.present, buffer.span, edit: HTTP1FieldEdit(),
            passage: HTTP1Passage(), to: &pending)
        case .body(let range):
          self.note(body: buffer[range])
          if connection.request?.framing == .chunked { HTTP1Writer.chunkBegin(range.count, to: &pending) }
          pending += buffer[range]
          if connection.request?.framing == .chunked { HTTP1Writer.chunkEnd(to: &pending) }
        case .requestEnd(let from):
          self.told.append("end \(connection.trailers.count)")
          if connection.request?.framing == .chunked {
            HTTP1Writer.lastChunk(connection.trailers, buffer.span.extracting(from..<buffer.count), to: &pending)
          }
          if let target = self.targets.last, connection.request?.upgrades == false {
            // One without `Host`, of HTTP/1.0, goes on with an empty one.
            if connection.request?.authority != nil {
              self.forwarded += pending
              self.forwardedTargets.append(target)
            }
          }
          _ = connection.answer(status: 200, framing: .length(0))
          _ = connection.answerEnded()
        case .refused(let fault):
          self.told.append("refused \(fault.rawValue)")
          self.isRefused = true
          return
        case .closed: return
        case .tunnel: break turns
        }
        buffer.removeFirst(step.consumed)
      }
    }
  }

  private mutating func note(body: ArraySlice<UInt8>) {
    if let last = self.told.last, last.hasPrefix("body ") {
      self.told[self.told.count - 1] = last + text(body)
    } else {
      self.told.append("body " + text(body))
    }
  }
}

/// The same of an answer to one request.
private struct Called {
  var told: [String] = []
  var forwarded: [UInt8] = []
  var isWhole = false

  init(_ bytes: [UInt8], size: Int, isHead: Bool) {
    var connection = HTTP1ClientConnection()
    _ = connection.begin(isHead: isHead)
    connection.requestEnded()
    var server = HTTP1ServerConnection()
    let request = Array("\(isHead ? "HEAD" : "GET") / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
    let head = server.receive(request.span)
    _ = server.receive(request.span.extracting(head.consumed..<request.count))
    var plan: HTTP1ServerConnection.AnswerPlan?
    var buffer: [UInt8] = []
    for piece in pieces(of: bytes, size: size) {
      buffer += piece
      turns: while true {
        let step = connection.receive(buffer.span)
        expect((0...buffer.count).contains(step.consumed), "more is consumed than there is")
        switch step.event {
        case .needsInput: if step.consumed == 0 { break turns }
        case .interim(let status): self.told.append("interim \(status)")
        case .response:
          guard let response = connection.response else { break turns }
          self.told.append("response \(response.status)")
          plan = server.answer(status: response.status, framing: response.framing)
          if let plan {
            HTTP1Writer.response(
              response, connection.fields, buffer.span, plan: plan, edit: HTTP1FieldEdit(), to: &self.forwarded)
          }
        case .body(let range):
          if let last = self.told.last, last.hasPrefix("body ") {
            self.told[self.told.count - 1] = last + text(buffer[range])
          } else {
            self.told.append("body " + text(buffer[range]))
          }
          if plan?.framing == .chunked { HTTP1Writer.chunkBegin(range.count, to: &self.forwarded) }
          self.forwarded += buffer[range]
          if plan?.framing == .chunked { HTTP1Writer.chunkEnd(to: &self.forwarded) }
        case .responseEnd(let from, _):
          // Whether it is reusable hangs on what has come behind it by then.
          self.told.append("end \(connection.trailers.count)")
          if plan?.framing == .chunked {
            HTTP1Writer.lastChunk(
              connection.trailers, buffer.span.extracting(from..<buffer.count), to: &self.forwarded)
          }
          self.isWhole = plan != nil
          return
        case .refused(let fault):
          self.told.append("refused \(fault.rawValue)")
          return
        case .closed, .tunnel: return
        }
        buffer.removeFirst(step.consumed)
      }
    }
  }
}
