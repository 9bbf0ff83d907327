package import MeshSnapshot

/// GEP-1767: who may read answers from another origin. A preflight is answered by the proxy; an origin that is not allowed gets no
/// CORS fields, and the browser refuses it.
extension CORSPolicy {
  package struct Preflight: Sendable {
    package var origin: String
    /// `Access-Control-Request-Method`.
    package var method: String
    /// `Access-Control-Request-Headers`.
    package var headers: String?

    package init(origin: String, method: String, headers: String?) {
      self.origin = origin
      self.method = method
      self.headers = headers
    }
  }

  /// Fields of a 204.
  package func answer(to preflight: Preflight) -> [HeaderField] {
    guard var fields = self.originFields(for: preflight.origin) else { return [] }
    if let methods = self.list(self.methods, requested: preflight.method) {
      fields.append(HeaderField(name: "access-control-allow-methods", value: methods))
    }
    if let headers = self.list(self.headers, requested: preflight.headers) {
      fields.append(HeaderField(name: "access-control-allow-headers", value: headers))
    }
    fields += self.exposure
    fields.append(HeaderField(name: "access-control-max-age", value: String(self.maxAgeSeconds)))
    return fields
  }

  /// Fields to set on the answer to a request from the origin, in place of the backend's.
  package func answerFields(for origin: String) -> [HeaderField] {
    guard var fields = self.originFields(for: origin) else { return [] }
    fields += self.exposure
    return fields
  }

  /// Browsers read it of answers only; Gateway API wants it of preflights as well.
  private var exposure: [HeaderField] {
    guard !self.exposedHeaders.isEmpty else { return [] }
    return [HeaderField(name: "access-control-expose-headers", value: self.exposedHeaders.joined(separator: ", "))]
  }

  /// With credentials a browser takes no `*`: the origin itself is named.
  private func originFields(for origin: String) -> [HeaderField]? {
    guard self.origins.contains(where: { Self.matches(origin, $0) }), Self.isOrigin(origin) else { return nil }
    let isAnyone = self.origins.contains("*") && !self.allowsCredentials
    var fields = [HeaderField(name: "access-control-allow-origin", value: isAnyone ? "*" : origin)]
    if self.allowsCredentials {
      fields.append(HeaderField(name: "access-control-allow-credentials", value: "true"))
    }
    if !isAnyone { fields.append(HeaderField(name: "vary", value: "Origin")) }
    return fields
  }

  private func list(_ allowed: [String], requested: String?) -> String? {
    guard !allowed.isEmpty else { return nil }
    guard allowed.contains("*") else { return allowed.joined(separator: ", ") }
    guard self.allowsCredentials else { return "*" }
    return requested.flatMap { $0.utf8.allSatisfy { $0 > 0x1f && $0 < 0x7f } ? $0 : nil }
  }

  /// It is sent back, so it may hold nothing but what an origin holds.
  private static func isOrigin(_ origin: String) -> Bool {
    !origin.isEmpty && origin.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f }
  }

  /// `https://*.example.com` matches any number of labels, at least one; the port has to be equal.
  static func matches(_ origin: String, _ pattern: String) -> Bool {
    if pattern == "*" { return true }
    let (origin, pattern) = (Array(origin.lowercased().utf8), Array(pattern.lowercased().utf8))
    guard let star = pattern.firstIndex(of: UInt8(ascii: "*")) else { return origin == pattern }
    let (head, tail) = (pattern[..<star], pattern[(star + 1)...])
    guard origin.count > head.count + tail.count, origin.starts(with: head),
      origin.suffix(tail.count).elementsEqual(tail)
    else { return false }
    return origin[head.count..<origin.count - tail.count].allSatisfy {
      switch $0 {
      case 0x30...0x39, 0x61...0x7a, 0x2d, 0x2e, 0x5f: true
      default: false
      }
    }
  }
}
