import MeshHTTP
import MeshNet
import MeshRouting
import MeshSnapshot
import MeshTelemetry

/// What holds for requests on this host: what its options say, and where they say nothing what the mesh says.
struct RequestSettings: Sendable, Equatable {
  private let fields: [ForwardingField]
  private let log: AccessLogOptions?
  private let base: HTTPConfiguration
  /// False: ports that speak HTTP are relayed as bytes.
  var parsesHTTP: Bool

  init(_ configuration: ProxyConfiguration) {
    self.fields = configuration.forwarding
    self.log = configuration.accessLog
    self.parsesHTTP = configuration.http != nil
    var base = configuration.http ?? .defaults
    // Between requests nothing flows either.
    base.idleTimeout = UInt64(clamping: (configuration.idleTimeoutSeconds ?? 0) * 1000)
    self.base = base
  }

  func http(_ mesh: ProxySettings) -> HTTPConfiguration {
    var http = self.base
    http.forwarding = HTTPForwarding(mesh.fields + self.fields)
    let limits = mesh.limits
    if let bytes = limits.headBytes {
      http.limits.headBytes = Int(bytes)
      http.http2.fieldListSize = Int(bytes)
    }
    if let count = limits.fieldCount {
      http.limits.fieldCount = Int(count)
      http.http2.fieldCount = Int(count)
    }
    if let time = limits.headMilliseconds {
      http.headTimeout = UInt64(time)
      http.http2.headTimeout = UInt64(time)
    }
    if let time = limits.stallMilliseconds { http.stallTimeout = UInt64(time) }
    if let time = limits.idleMilliseconds { http.idleTimeout = UInt64(time) }
    if let time = limits.upstreamIdleMilliseconds { http.upstreamIdleTimeout = UInt64(time) }
    return http
  }

  /// Nil: there is none.
  func accessLog(_ mesh: ProxySettings) -> AccessLogConfiguration? {
    AccessLogOptions.configuration(self.log, mesh.accessLog)
  }

  /// Of what the mesh says, where this host's options say otherwise: names of the options.
  func overridden(_ mesh: ProxySettings) -> [String] {
    var names: [String] = []
    if let log, let told = mesh.accessLog {
      let wanted = AccessLogOptions.configuration(nil, told)
      if log.target != .standardOutput { names.append("--access-log") }
      if let format = log.format, format != wanted?.format { names.append("--access-log-format") }
      if let filter = log.filter, filter != wanted?.filter { names.append("--access-log-filter") }
    }
    for field in mesh.fields {
      guard let own = self.fields.first(where: { $0.name == field.name }), own != field else { continue }
      names.append("--http-field \(own.name)=\(own.mode)")
    }
    return names
  }
}
