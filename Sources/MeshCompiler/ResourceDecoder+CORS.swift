import MeshBase
import MeshSnapshot

extension RequestRouteDecoder {
  /// GEP-1767.
  static func cors(_ field: Field) -> CORSPolicy? {
    guard var item = field.fields() else { return nil }
    func list(_ name: String, _ maximum: Int, _ read: (Field) -> String?) -> [String] {
      guard let field = item.optional(name) else { return [] }
      var result: [String] = []
      for field in ResourceDecoder.items(field, maximum) {
        guard let text = read(field) else { continue }
        if result.contains(text) {
          field.fail("\(quotedForMessage(text)) stands twice", next: "remove one of them")
        }
        result.append(text)
      }
      if result.contains("*"), result.count > 1, name != "exposeHeaders" {
        field.fail(
          "* stands beside others, which it holds already", next: "write * alone, or remove it")
      }
      return result
    }
    let origins = list("allowOrigins", 64) { Self.origin($0) }
    let allowsCredentials = item.optional("allowCredentials").map { $0.flag() } ?? false
    let methods = list("allowMethods", 9) { ResourceDecoder.word($0, of: Self.methods + ["*"]) }
    let headers = list("allowHeaders", 64) { Self.token($0) }
    let exposed = list("exposeHeaders", 64) { Self.token($0) }
    let age = item.optional("maxAge").map { $0.number(1...Int64(Int32.max)) } ?? 5
    item.finish()
    if origins.isEmpty { field.warn("no origin is allowed", next: "add allowOrigins") }
    guard let allowsCredentials, let age else { return nil }
    return CORSPolicy(
      origins: origins, allowsCredentials: allowsCredentials, methods: methods, headers: headers,
      exposedHeaders: exposed, maxAgeSeconds: UInt32(clamping: age))
  }

  /// `scheme://host[:port]`, with `*` for the host or for its first label; or `*` alone.
  private static func origin(_ field: Field) -> String? {
    guard let text = field.text() else { return nil }
    if text == "*" { return text }
    let wanted = "write https://shop.example.com, https://*.example.com:8443, or *"
    let parts = text.split(separator: "://", maxSplits: 1, omittingEmptySubsequences: false)
    guard text.utf8.count <= 253, parts.count == 2, ["http", "https"].contains(parts[0]) else {
      field.fail("\(quotedForMessage(text)) is no origin", next: wanted)
      return nil
    }
    let authority = parts[1].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    var host = authority[0]
    if host.hasPrefix("*.") { host = host.dropFirst(2) }
    let isHost =
      host == "*" && !authority[0].hasPrefix("*.")
      || !host.isEmpty
        && host.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
          !label.isEmpty
            && label.utf8.allSatisfy {
              switch $0 {
              case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "-"): true
              default: false
              }
            }
        }
    let isPort =
      authority.count == 1 || (UInt16(strictDecimal: String(authority[1])).map { $0 > 0 } ?? false)
    guard isHost, isPort else {
      field.fail("\(quotedForMessage(text)) is no origin", next: wanted)
      return nil
    }
    return text
  }
}
