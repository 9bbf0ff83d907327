import MeshBase
import MeshHTTP
import MeshSnapshot

/// What a check says over a connection that is there, and what it makes of the answer. Pure: bytes come in and go out; how long it
/// may take is its owner's to say.
///
/// The answerer is not trusted: of whatever it says no more than some is held, and all that is no proper answer is a failure.
struct ProbeExchange {
  enum Verdict: Equatable, Sendable {
    case success
    /// For people: `HTTP 503`, `NOT_SERVING`, `closed without an answer`.
    case failure(String)
  }

  /// Of all that is answered: then it is a failure.
  static let mostBytes = 65_536

  private enum Talk {
    case http(HTTP1Probe)
    case grpc(GRPCProbe)
    /// It cannot be asked.
    case unsayable
  }

  /// To be written, from its beginning; whoever writes takes away what is written.
  var output: [UInt8] = []
  private var talk: Talk
  private var input: [UInt8] = []
  private var taken = 0

  /// Nil where the connection suffices.
  /// - Parameters:
  ///   - endpoint: that is called, for Host where the check names none.
  ///   - now: milliseconds of a clock that never goes back, as in `receive`.
  init?(_ probe: ReadinessCheck.Probe, to endpoint: SocketEndpoint, now: UInt64) {
    switch probe {
    case .tcp: return nil
    case .http(let probe):
      let talk = HTTP1Probe(probe)
      self.talk = .http(talk)
      talk.begin(host: probe.host ?? endpoint.description, to: &self.output)
    case .grpc(let service):
      var talk = GRPCProbe()
      let isOpen = talk.begin(service, host: endpoint.description, now: now, to: &self.output)
      self.talk = isOpen ? .grpc(talk) : .unsayable
    }
  }

  /// Nil: nothing is decided yet.
  /// - Parameter ended: nothing comes after these bytes.
  mutating func receive(_ bytes: some Collection<UInt8>, ended: Bool = false, now: UInt64) -> Verdict? {
    self.taken += bytes.count
    guard self.taken <= Self.mostBytes else { return .failure("an answer that does not end") }
    self.input += bytes
    var verdict: Verdict?
    switch self.talk {
    case .http(var talk):
      verdict = talk.receive(&self.input, ended: ended)
      self.talk = .http(talk)
    case .grpc(var talk):
      verdict = talk.receive(&self.input, ended: ended, now: now, to: &self.output)
      self.talk = .grpc(talk)
    case .unsayable: verdict = .failure("cannot be asked")
    }
    return verdict ?? (ended ? .failure("closed without an answer") : nil)
  }
}

/// A GET of HTTP/1.1. The status decides, so that no body is read.
private struct HTTP1Probe {
  private let probe: ReadinessCheck.HTTPProbe
  private var connection: HTTP1ClientConnection

  init(_ probe: ReadinessCheck.HTTPProbe) {
    self.probe = probe
    var limits = HTTP1Limits()
    limits.headBytes = 16 * 1024
    // It is the workload's own answer, which nobody passes on.
    limits.allowsUnderscores = true
    self.connection = HTTP1ClientConnection(limits: limits)
    _ = self.connection.begin(isHead: false)
    self.connection.requestEnded()
  }

  func begin(host: String, to output: inout [UInt8]) {
    var lines = ["GET \(self.probe.path) HTTP/1.1", "host: \(host)"]
    for (name, value) in [("user-agent", "martlet-check"), ("accept", "*/*")]
    where !self.probe.headers.contains(where: { $0.name == name }) {
      lines.append("\(name): \(value)")
    }
    lines += self.probe.headers.map { "\($0.name): \($0.value)" }
    lines += ["connection: close", "", ""]
    output += lines.joined(separator: "\r\n").utf8
  }

  mutating func receive(_ input: inout [UInt8], ended: Bool) -> ProbeExchange.Verdict? {
    while true {
      let step = self.connection.receive(input.span, ended: ended)
      input.removeFirst(min(step.consumed, input.count))
      switch step.event {
      case .interim: continue
      case .response:
        guard let status = self.connection.response?.status else { return .failure("no answer of HTTP/1.1") }
        return self.probe.expected.contains { $0.contains(status) } ? .success : .failure("HTTP \(status)")
      case .refused(.truncated): return nil
      case .refused(let fault): return .failure("no answer of HTTP/1.1 (\(fault.rawValue))")
      case .needsInput, .body, .responseEnd, .tunnel, .closed: return nil
      }
    }
  }
}

/// A call of `grpc.health.v1.Health/Check` by HTTP/2 with prior knowledge.
private struct GRPCProbe {
  /// Of the answer's message: a status in one field.
  private static let mostMessage = 256

  private var connection: HTTP2Connection
  private var stream: UInt32 = 0
  private var sawHead = false
  private var message: [UInt8] = []

  init() {
    var limits = HTTP2Limits()
    limits.fieldListSize = 16 * 1024
    limits.allowsUnderscores = true
    limits.connectionWindow = 65_535
    self.connection = HTTP2Connection(.client, limits: limits)
  }

  /// False: it cannot be said.
  mutating func begin(_ service: String, host: String, now: UInt64, to output: inout [UInt8]) -> Bool {
    self.connection.start(now: now, to: &output)
    var fields = FieldBlock()
    for (name, value) in [
      (":method", "POST"), (":scheme", "http"), (":path", "/grpc.health.v1.Health/Check"), (":authority", host),
      ("content-type", "application/grpc"), ("te", "trailers"), ("user-agent", "martlet-check"),
    ] { fields.append(name, value) }
    // HealthCheckRequest: the service is field 1.
    var request: [UInt8] = []
    if !service.isEmpty {
      request.append(0x0a)
      Self.append(varint: service.utf8.count, to: &request)
      request += service.utf8
    }
    let length = UInt32(clamping: request.count)
    let body = [0] + (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * $0)) } + request
    do {
      self.stream = try self.connection.open(fields, ends: false, to: &output)
      let grant = try self.connection.sendData(body.count, of: self.stream, ends: true, to: &output)
      guard grant.count == body.count, grant.ends else { return false }
    } catch { return false }
    output += body
    return true
  }

  private static func append(varint value: Int, to bytes: inout [UInt8]) {
    var value = value
    while value >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: value) | 0x80)
      value >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: value))
  }

  mutating func receive(
    _ input: inout [UInt8], ended: Bool, now: UInt64, to output: inout [UInt8]
  ) -> ProbeExchange.Verdict? {
    while true {
      let step = self.connection.receive(input.span, now: now, ended: ended, to: &output)
      let taken = min(step.consumed, input.count)
      let verdict = self.judge(step.event, input)
      input.removeFirst(taken)
      if let verdict { return verdict }
      if step.event == .needsInput, taken == 0 || input.isEmpty { return nil }
      if step.event == .closed { return nil }
    }
  }

  private mutating func judge(_ event: HTTP2Connection.Event, _ input: [UInt8]) -> ProbeExchange.Verdict? {
    switch event {
    case .head(self.stream, let head, let ends): return self.judge(head, ends: ends)
    case .data(self.stream, let range, let ends):
      self.message += input[range]
      guard self.message.count <= Self.mostMessage else { return .failure("no answer of a health service") }
      return ends ? .failure("an answer without grpc-status") : nil
    case .reset(self.stream, let code, _): return .failure("stream reset (\(code.rawValue))")
    case .refused(_, _, let reason): return .failure("no answer of HTTP/2 (\(reason.rawValue))")
    case .failed(_, let reason):
      return reason == .truncated ? nil : .failure("no answer of HTTP/2 (\(reason.rawValue))")
    case .goAway(let code): return code == .noError ? nil : .failure("refused by GOAWAY (\(code.rawValue))")
    case .head, .data, .reset, .needsInput, .writable, .settings, .pong, .closed: return nil
    }
  }

  private mutating func judge(_ head: HTTP2Head, ends: Bool) -> ProbeExchange.Verdict? {
    switch head.start {
    case .response(let status) where status < 200: return nil
    case .response(let status):
      guard status == 200 else { return .failure("HTTP \(status)") }
      self.sawHead = true
      return ends ? self.end(head) : nil
    case .trailers: return self.sawHead ? self.end(head) : .failure("no answer of a health service")
    case .request, .connect: return .failure("no answer of HTTP/2")
    }
  }

  private func end(_ head: HTTP2Head) -> ProbeExchange.Verdict {
    guard let code = GRPCStatus.told(by: head) else { return .failure("an answer without grpc-status") }
    guard code == 0 else {
      let name = GRPCStatus(rawValue: code).map { " (\($0))" } ?? ""
      return .failure("grpc-status \(code)\(name)")
    }
    switch Self.status(of: self.message) {
    case 1: return .success
    case 0: return .failure("UNKNOWN")
    case 2: return .failure("NOT_SERVING")
    case 3: return .failure("SERVICE_UNKNOWN")
    default: return .failure("no answer of a health service")
    }
  }

  /// `HealthCheckResponse.status`, field 1; 0 where it is not there. Nil: this is none.
  static func status(of message: [UInt8]) -> UInt64? {
    var bytes = message[...]
    let prefix = Array(bytes.prefix(5))
    guard prefix.count == 5, prefix[0] == 0 else { return nil }
    let length = prefix.dropFirst().reduce(0) { $0 << 8 | Int($1) }
    bytes = bytes.dropFirst(5)
    guard bytes.count == length else { return nil }
    var status: UInt64 = 0
    while !bytes.isEmpty {
      guard let tag = Self.varint(&bytes) else { return nil }
      switch tag & 7 {
      case 0:
        guard let value = Self.varint(&bytes) else { return nil }
        if tag >> 3 == 1 { status = value }
      case 2:
        guard let count = Self.varint(&bytes), count <= UInt64(bytes.count) else { return nil }
        bytes = bytes.dropFirst(Int(count))
      case 1, 5:
        let count = tag & 7 == 1 ? 8 : 4
        guard bytes.count >= count else { return nil }
        bytes = bytes.dropFirst(count)
      default: return nil
      }
    }
    return status
  }

  private static func varint(_ bytes: inout ArraySlice<UInt8>) -> UInt64? {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), through: 63, by: 7) {
      guard let byte = bytes.popFirst() else { return nil }
      value |= UInt64(byte & 0x7f) << shift
      if byte < 0x80 { return value }
    }
    return nil
  }
}
