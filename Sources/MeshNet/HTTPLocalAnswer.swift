import MeshBase
import MeshHTTP
import MeshRouting
import MeshTelemetry

/// What the proxy answers by itself, and why: the reason goes to the client, a counter and the log, and does not change.
struct HTTPLocalAnswer: Equatable, Error {
  var status: UInt16
  var reason: String
  /// The same for metrics, in Envoy's words.
  var flags: ResponseFlags

  init(_ status: UInt16, _ reason: String, _ flags: ResponseFlags = []) {
    self.status = status
    self.reason = reason
    self.flags = flags
  }

  init(_ fault: HTTP1Fault) { self.init(fault.requestStatus, fault.rawValue, .downstreamProtocolError) }
  init(_ refusal: CanonicalPath.Refusal) { self.init(400, refusal.rawValue, .downstreamProtocolError) }

  init(_ refusal: HTTPRefusal) {
    let flags: ResponseFlags =
      switch refusal {
      case .noRoute: .noRoute
      case .noBackend, .invalidBackend: .noCluster
      case .noEndpoint: .noHealthyUpstream
      }
    self.init(UInt16(clamping: refusal.status), refusal.rawValue, flags)
  }

  /// A backend that does not resolve is the route's fault; all else may be well again soon.
  init(_ refusal: RoutingRefusal) {
    let flags: ResponseFlags =
      switch refusal {
      case .notReady, .noServicePort: .noRoute
      case .invalidBackend: .noCluster
      case .noEndpoint, .noTunnel: .noHealthyUpstream
      case .upstreamFailed, .connectTimeout: .upstreamConnectionFailure
      case .noLocalPort: [.upstreamConnectionFailure, .upstreamOverflow]
      case .overflow: .upstreamOverflow
      }
    self.init(refusal == .invalidBackend ? 500 : 503, refusal.rawValue, flags)
  }

  /// A failure on purpose.
  static func aborted(_ status: UInt16) -> HTTPLocalAnswer { .init(status, "fault_abort", .faultInjected) }

  /// What the upstream sent is no answer.
  static func badAnswer(_ fault: String) -> HTTPLocalAnswer { .init(502, fault, .upstreamProtocolError) }

  /// The client did not send the whole head, or the body, in time.
  static let headTimeout = HTTPLocalAnswer(408, "head_timeout", .streamIdleTimeout)
  static let bodyTimeout = HTTPLocalAnswer(408, "body_timeout", .streamIdleTimeout)
  /// `timeouts.request` and `timeouts.backendRequest` of the route.
  static let requestTimeout = HTTPLocalAnswer(504, "request_timeout", .durationTimeout)
  static let backendTimeout = HTTPLocalAnswer(504, "backend_timeout", .upstreamRequestTimeout)
  /// The upstream was silent for as long as a connection may be idle.
  static let upstreamIdle = HTTPLocalAnswer(504, "upstream_idle", .streamIdleTimeout)
  /// The upstream took the request and ended without an answer.
  static let upstreamClosed = HTTPLocalAnswer(502, "upstream_closed", .upstreamConnectionTermination)

  /// A shared connection's: it said that it did nothing of the request, more often than it was asked again.
  static let upstreamRefused = HTTPLocalAnswer(503, "upstream_refused", .upstreamRemoteReset)
  static let upstreamReset = HTTPLocalAnswer(502, "upstream_reset", .upstreamRemoteReset)
  /// Memory runs out, and this is new work.
  static let overloaded = HTTPLocalAnswer(503, "overloaded", .upstreamOverflow)
  /// What the upstream said cannot be said to this client.
  static let unsayable = HTTPLocalAnswer(502, "answer_unsayable", .upstreamProtocolError)
  /// `grpc-timeout` that is none.
  static let grpcTimeout = HTTPLocalAnswer(400, "grpc_timeout", .downstreamProtocolError)

  init(_ refusal: HTTPBridge.Refusal) {
    let status: UInt16 =
      switch refusal {
      case .upgrade, .connect, .method: 501
      case .authority: 400
      case .expectation: 417
      }
    self.init(status, "bridge_" + refusal.rawValue, .downstreamProtocolError)
  }

  /// The request's head cannot be written to the upstream.
  init(_ refusal: HTTP2SendRefusal) {
    self.init(
      refusal == .tooLarge ? 431 : 400, refusal == .tooLarge ? "fields_too_large" : "field_value",
      .downstreamProtocolError)
  }

  /// As gRPC has it.
  var call: GRPCStatus {
    self == .requestTimeout || self == .backendTimeout ? .deadlineExceeded : GRPCStatus(httpStatus: self.status)
  }

  /// Memory, or a limit of the port: which the client is told.
  var isOverload: Bool { self == .overloaded || self.reason == RoutingRefusal.overflow.rawValue }

  static let overloadField = (name: "x-martlet-overloaded", value: "true")

  /// With what the answer says of itself.
  func edit(_ edit: HTTP1FieldEdit) -> HTTP1FieldEdit {
    guard self.isOverload else { return edit }
    var edit = edit
    _ = edit.set(Self.overloadField.name, Self.overloadField.value)
    return edit
  }

  var phrase: StaticString {
    switch self.status {
    case 204: "No Content"
    case 301: "Moved Permanently"
    case 302: "Found"
    case 303: "See Other"
    case 307: "Temporary Redirect"
    case 308: "Permanent Redirect"
    case 400: "Bad Request"
    case 404: "Not Found"
    case 408: "Request Timeout"
    case 414: "URI Too Long"
    case 417: "Expectation Failed"
    case 431: "Request Header Fields Too Large"
    case 500: "Internal Server Error"
    case 501: "Not Implemented"
    case 502: "Bad Gateway"
    case 503: "Service Unavailable"
    case 504: "Gateway Timeout"
    case 505: "HTTP Version Not Supported"
    default: "Refused"
    }
  }

  /// Redirects and preflights are what a route wants; the others are worth a line.
  var isFailure: Bool { self.status >= 400 }
}
