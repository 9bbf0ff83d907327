package import MeshSnapshot

extension PathRewrite {
  /// The path instead of `path`, of which a rule's prefix matched the first `prefix` bytes (`HTTPRouteTable.Match`). An element boundary
  /// has one slash, whichever side brings it (the table of `ReplacePrefixMatch`). Without a matched prefix there is
  /// nothing to replace.
  package func applied(to path: String, prefix: Int?) -> String {
    switch self {
    case .full(let replacement): return replacement.hasPrefix("/") ? replacement : "/" + replacement
    case .prefix(let replacement):
      guard let prefix, prefix <= path.utf8.count else { return path }
      var result = Substring(replacement)
      while result.hasSuffix("/") { result.removeLast() }
      let rest = String(decoding: Array(path.utf8.dropFirst(prefix)), as: UTF8.self)
      let joined = result + rest
      return joined.hasPrefix("/") ? String(joined) : "/" + joined
    }
  }
}

extension HTTPRedirect {
  /// What the request was, to redirect it. `host` without a port; `port` is the service's.
  package struct Origin: Sendable {
    package var scheme: String
    package var host: String
    package var port: UInt16
    package var path: String
    package var query: String?

    package init(scheme: String, host: String, port: UInt16, path: String, query: String?) {
      self.scheme = scheme
      self.host = host
      self.port = port
      self.path = path
      self.query = query
    }
  }

  /// The value of `Location`. The port is the filter's; else a given scheme's own; else the service's. The scheme's own is not written.
  package func location(for origin: Origin, prefix: Int?) -> String {
    let scheme = (self.scheme ?? origin.scheme).lowercased()
    let port = self.port ?? (self.scheme == nil ? origin.port : Self.wellKnownPort(scheme) ?? origin.port)
    let path = self.path?.applied(to: origin.path, prefix: prefix) ?? origin.path
    let suffix = Self.wellKnownPort(scheme) == port ? "" : ":\(port)"
    return "\(scheme)://\(self.hostname ?? origin.host)\(suffix)\(path)\(origin.query.map { "?" + $0 } ?? "")"
  }

  private static func wellKnownPort(_ scheme: String) -> UInt16? {
    switch scheme {
    case "http": 80
    case "https": 443
    default: nil
    }
  }
}
