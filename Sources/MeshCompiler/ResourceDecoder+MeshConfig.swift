import MeshBase

extension ResourceDecoder {
  func meshConfig(_ top: inout Fields) -> MeshConfigSpec? {
    if let name = self.name, name != "mesh" {
      self.field.fail("a mesh has one MeshConfig, and its name is mesh", next: "set metadata.name to mesh")
    }
    var result = MeshConfigSpec.defaults
    guard let field = top.optional("spec") else { return result }
    guard var spec = field.fields() else { return nil }
    if let field = spec.optional("trustDomain"), let text = field.text() {
      if SPIFFEID.isTrustDomain(text) {
        result.trustDomain = text
      } else {
        field.fail(
          "\(quotedForMessage(text)) is no trust domain", next: "use lower case letters, digits, '.', '-', '_'")
      }
    }
    if let field = spec.optional("rootNamespace"), let text = field.text() {
      if ResourceName.isLabel(text) {
        result.rootNamespace = text
      } else {
        field.fail("\(quotedForMessage(text)) is no namespace", next: "use lower case letters, digits and '-'")
      }
    }
    if let field = spec.optional("vipRanges") { Self.vipRanges(field, &result) }
    if let field = spec.optional("connectTimeout"), let milliseconds = Self.duration(field) {
      result.connectTimeoutMilliseconds = milliseconds
    }
    result.proxy = Self.proxySettings(&spec)
    spec.finish()
    return result
  }

  private static func vipRanges(_ field: Field, _ result: inout MeshConfigSpec) {
    guard let texts = field.texts() else { return }
    result.vipRangeV4 = nil
    result.vipRangeV6 = nil
    for (field, text) in texts {
      guard let prefix = IPPrefix(text) else {
        field.fail("\(quotedForMessage(text)) is no range of addresses", next: "write one like 240.240.0.0/16")
        continue
      }
      let address = prefix.address
      guard !address.isUnspecified, !address.isLoopback, !address.isLinkLocal, !address.isMulticast else {
        field.fail(
          "\(prefix) cannot hold service addresses", next: "use a part of 240.0.0.0/4 or a unique local prefix")
        continue
      }
      guard prefix.mappedLength <= 120 else {
        field.fail(
          "\(prefix) holds fewer than 256 addresses", next: "use \(prefix.isV4 ? "/24" : "/120") or a shorter prefix")
        continue
      }
      if prefix.isV4 {
        if result.vipRangeV4 != nil { field.fail("a second IPv4 range", next: "give one for each family") }
        result.vipRangeV4 = prefix
      } else {
        if result.vipRangeV6 != nil { field.fail("a second IPv6 range", next: "give one for each family") }
        result.vipRangeV6 = prefix
      }
    }
  }

  /// Gateway API's duration (GEP-2257): up to four of `1h`, `2m`, `10s`, `500ms`. In milliseconds.
  static func duration(_ field: Field, in range: ClosedRange<UInt32> = 1...3_600_000) -> UInt32? {
    guard let text = field.text() else { return nil }
    guard let milliseconds = Self.milliseconds(of: text).flatMap({ UInt32(exactly: $0) }), range.contains(milliseconds)
    else {
      field.fail(
        "\(quotedForMessage(text)) is no duration from \(Self.text(range.lowerBound)) to \(Self.text(range.upperBound))",
        next: "write it like 10s, 500ms, 1m30s")
      return nil
    }
    return milliseconds
  }

  /// A duration in its largest whole unit.
  private static func text(_ milliseconds: UInt32) -> String {
    for (unit, factor) in [("h", 3_600_000), ("m", 60_000), ("s", 1000)] as [(String, UInt32)]
    where milliseconds > 0 && milliseconds.isMultiple(of: factor) {
      return "\(milliseconds / factor)\(unit)"
    }
    return "\(milliseconds)ms"
  }
}
