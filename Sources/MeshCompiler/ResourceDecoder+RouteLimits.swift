import MeshBase
import MeshSnapshot

// Time limits, retries and session persistence of a rule.

extension RequestRouteDecoder {
  static func timeouts(_ field: Field, _ rule: inout HTTPRule) {
    guard var item = field.fields() else { return }
    rule.requestTimeoutMilliseconds = item.optional("request").flatMap {
      ResourceDecoder.milliseconds($0)
    }
    let backendField = item.optional("backendRequest")
    rule.backendTimeoutMilliseconds = backendField.flatMap { ResourceDecoder.milliseconds($0) }
    item.finish()
    if let backendField, let request = rule.requestTimeoutMilliseconds, request > 0,
      let backend = rule.backendTimeoutMilliseconds, backend > request
    {
      backendField.fail(
        "longer than the request's own timeout, which ends first",
        next: "write at most timeouts.request")
    }
  }

  /// As often as Istio tries; where no codes are given, only when the backend could not be reached.
  private static let defaultAttempts: Int64 = 2
  private static let defaultBackoffMilliseconds: UInt32 = 25

  static func retry(_ field: Field) -> HTTPRetry? {
    guard var item = field.fields() else { return nil }
    let retry = Self.retryRule(&item, isAsked: true)
    item.finish()
    return retry
  }

  /// `codes`, `attempts` and `backoff` among other fields. Nil where none of them is there, unless `isAsked`.
  static func retryRule(_ item: inout Fields, isAsked: Bool) -> HTTPRetry? {
    let codesField = item.optional("codes")
    let attemptsField = item.optional("attempts")
    let backoffField = item.optional("backoff")
    guard isAsked || codesField != nil || attemptsField != nil || backoffField != nil else { return nil }
    var codes: [UInt16] = []
    for field in codesField?.list(allowEmpty: true) ?? [] {
      guard let code = field.count(UInt16(400)...599) else { continue }
      if codes.contains(code) { field.fail("\(code) stands twice", next: "remove one of them") }
      codes.append(code)
    }
    let attempts = attemptsField.map { $0.number(1...100) } ?? Self.defaultAttempts
    let backoff = backoffField.map { ResourceDecoder.milliseconds($0) } ?? Self.defaultBackoffMilliseconds
    guard let attempts, let backoff else { return nil }
    return HTTPRetry(
      codes: codes, attempts: UInt32(clamping: attempts), backoffMilliseconds: backoff)
  }

  /// Of v1.6 (`cookie`, `header`), or of earlier versions (`sessionName`, `idleTimeout`, `cookieConfig`).
  func persistence(_ field: Field, _ rule: HTTPRule) -> SessionPersistence? {
    guard var item = field.fields() else { return nil }
    let type =
      item.optional("type").map { ResourceDecoder.word($0, of: ["Cookie", "Header"]) } ?? "Cookie"
    let absolute = item.optional("absoluteTimeout").flatMap { Self.seconds($0) }
    let idle = item.optional("idleTimeout").flatMap { Self.seconds($0) }
    var name = item.optional("sessionName").flatMap { Self.token($0) }
    var isPermanent = false
    let cookieFields = ["cookie", "cookieConfig"].compactMap { name in item.optional(name) }
    for cookieField in cookieFields {
      guard var cookie = cookieField.fields() else { continue }
      if let found = cookie.optional("name").flatMap({ Self.token($0) }) { name = found }
      cookie.accept("path", only: ["/"], because: "the cookie is for the whole service")
      let lifetime = cookie.optional("lifetimeType").flatMap {
        ResourceDecoder.word($0, of: ["Session", "Permanent"])
      }
      isPermanent = lifetime == "Permanent"
      cookie.finish()
      if isPermanent, absolute == nil {
        cookieField.fail("a permanent cookie without a lifetime", next: "add absoluteTimeout")
      }
      if type == "Header" {
        cookieField.fail("a cookie's fields beside type Header", next: "remove one of them")
      }
    }
    if let headerField = item.optional("header") {
      if var header = headerField.fields() {
        if let found = header.required("name").flatMap({ Self.token($0) }) { name = found }
        header.finish()
      }
      if type == "Cookie" {
        headerField.fail("a header's fields beside type Cookie", next: "write type: Header")
      }
    }
    item.finish()
    guard let type else { return nil }
    if type == "Header" {
      guard let name else {
        field.fail("a session in a header without the header's name", next: "add header.name")
        return nil
      }
      return SessionPersistence(
        name: name.lowercased(), kind: .header, absoluteTimeoutSeconds: absolute,
        idleTimeoutSeconds: idle)
    }
    // Each rule has a cookie of its own: what one chose means nothing to another.
    let own = ContentVersion(
      of: "\(rule.origin.kind.rawValue) \(rule.origin.name) \(rule.origin.rule)".utf8)
    return SessionPersistence(
      name: name ?? "martlet-\(own)", kind: .cookie(isPermanent: isPermanent),
      absoluteTimeoutSeconds: absolute,
      idleTimeoutSeconds: idle)
  }

  private static func seconds(_ field: Field) -> UInt32? {
    ResourceDecoder.milliseconds(field).map { $0 / 1000 + ($0 % 1000 > 0 ? 1 : 0) }
  }
}
