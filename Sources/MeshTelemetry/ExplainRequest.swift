package import MeshBase

/// The request that `explain` is asked about, beside the connection.
package struct ExplainRequest: Sendable, Hashable {
  package struct Header: Sendable, Hashable {
    package var name: String
    package var value: String
  }

  /// A query has room for so many.
  private static let mostHeaders = 10

  package var method: String
  /// With `?` and the query, if there is one.
  package var path: String
  /// Nil: what is dialled.
  package var host: String?
  package var headers: [Header]

  /// `headers`: NAME=VALUE.
  package init(
    method: String? = nil, path: String? = nil, host: String? = nil, headers: [String] = []
  ) throws(MeshError) {
    self.method = method ?? "GET"
    self.path = path ?? "/"
    self.host = host
    self.headers = []
    guard Self.isToken(self.method) else { throw MeshError(.invalid, "method", "\"\(self.method)\" is none") }
    guard self.path.hasPrefix("/"), Self.isText(self.path) else {
      throw MeshError(.invalid, "path", "\"\(self.path)\" does not begin with /, or has a space")
    }
    if let host, host.isEmpty || !Self.isText(host) { throw MeshError(.invalid, "host", "\"\(host)\" is none") }
    guard headers.count <= Self.mostHeaders else {
      throw MeshError(.invalid, "header", "more than \(Self.mostHeaders) are given")
    }
    for header in headers {
      let parts = header.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2, Self.isToken(parts[0]), parts[1].utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
        throw MeshError(.invalid, "header", "\"\(header)\" is not NAME=VALUE")
      }
      self.headers.append(Header(name: String(parts[0]), value: String(parts[1])))
    }
  }

  /// Of the query of `/v1/explain`: `method`, `path`, `host`, `header0`, `header1` and so on. Nil: no request is asked about.
  package init?(query: [String: String]) throws(MeshError) {
    var headers: [String] = []
    while let header = query["header\(headers.count)"] { headers.append(header) }
    let (method, path, host) = (query["method"], query["path"], query["host"])
    guard method != nil || path != nil || host != nil || !headers.isEmpty else { return nil }
    try self.init(method: method, path: path, host: host, headers: headers)
  }

  package var query: [(String, String?)] {
    [("method", self.method), ("path", self.path), ("host", self.host)]
      + self.headers.enumerated().map { ("header\($0)", "\($1.name)=\($1.value)") }
  }

  private static func isToken(_ text: some StringProtocol) -> Bool {
    !text.isEmpty
      && text.utf8.allSatisfy { byte in
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
      }
  }

  private static func isText(_ text: String) -> Bool { text.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7f } }
}
