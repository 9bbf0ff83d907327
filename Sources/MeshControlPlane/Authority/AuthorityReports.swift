import FoundationEssentials
import MeshBase
import MeshTelemetry
import MeshWire
import NIOHTTP1

/// What `api.sock` says of the authority and does with it: for root and the control plane's own user.
struct AuthorityReports {
  static let paths: [String: HTTPMethod] = [
    "/v1/ca": .GET, "/v1/ca/rotate": .POST, "/v1/ca/abort": .POST, "/v1/ca/revoke": .POST, "/v1/tokens": .POST,
  ]

  let authority: AuthorityOffice
  let identities: IdentityOffice

  func answer(_ request: ReportRequest, _ writer: ReportWriter) async throws {
    let target = request.target
    do {
      if target.path == "/v1/tokens" { return try await writer.send(json: try self.token(target)) }
      try self.change(target)
      try await writer.send(json: try self.authority.report(refused: self.identities.refused))
    } catch let error as MeshError {
      try await writer.send(error)
    }
  }

  private func change(_ target: RequestTarget) throws(MeshError) {
    switch target.path {
    case "/v1/ca/rotate":
      let spread = try target.number("spread", in: 0...30 * 86_400)
      try self.authority.rotate(spread: spread.map(Double.init), now: .now)
    case "/v1/ca/abort": try self.authority.abortRotation()
    case "/v1/ca/revoke":
      guard let serial = target.query["serial"].flatMap({ Self.bytes(hex: $0) }) else {
        throw MeshError(.invalid, "serial", "is not the number of a certificate: 2 to 40 hex digits")
      }
      if let node = target.query["node"] { try self.identities.putOut(node: node) }
      try self.authority.revoke(serial: serial, now: .now)
    default: break
    }
  }

  private func token(_ target: RequestTarget) throws(MeshError) -> TokenReport {
    guard let node = target.query["node"] else { throw MeshError(.invalid, "token", "needs node") }
    let seconds = try target.number("seconds", in: 1...30 * 86_400) ?? 3600
    return try self.identities.createToken(node: node, lifetime: Double(seconds), now: .now)
  }

  /// Nil for anything but 2 to 40 hex digits, two a byte.
  private static func bytes(hex text: String) -> [UInt8]? {
    let digits = text.utf8.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
    guard digits.count == text.utf8.count, (2...40).contains(digits.count), digits.count.isMultiple(of: 2) else {
      return nil
    }
    return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
  }
}
