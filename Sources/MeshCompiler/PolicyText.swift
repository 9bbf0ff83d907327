import MeshBase
import MeshSnapshot

/// The texts of a policy: principals, namespaces, address blocks, ports. A text that could never match anything is
/// refused.
enum PolicyText {
  /// `*` (any identity), `prefix*`, `*suffix`, or exact.
  private static func match(_ text: String, _ field: Field) -> StringMatch? {
    if text == "*" { return .present }
    let body: Substring
    let result: StringMatch
    if text.hasSuffix("*") {
      body = text.dropLast()
      result = .prefix(String(body))
    } else if text.hasPrefix("*") {
      body = text.dropFirst()
      result = .suffix(String(body))
    } else {
      body = text[...]
      result = .exact(text)
    }
    guard !body.isEmpty, !body.contains("*") else {
      field.fail(
        "\(quotedForMessage(text)) can never match: '*' stands at one end only", next: "use prefix*, *suffix or *")
      return nil
    }
    return result
  }

  /// Without the scheme, `trustDomain/ns/NAMESPACE/sa/ACCOUNT`.
  static func principals(_ field: Field?) -> [StringMatch] {
    (field?.texts() ?? []).compactMap { field, text in
      if text.hasPrefix("spiffe://") {
        field.fail(
          "principals are written without the scheme", next: "write \(quotedForMessage(String(text.dropFirst(9))))")
        return nil
      }
      guard let match = Self.match(text, field) else { return nil }
      if case .exact = match, SPIFFEID("spiffe://" + text) == nil {
        field.fail(
          "\(quotedForMessage(text)) is no principal", next: "write trustDomain/ns/NAMESPACE/sa/ACCOUNT")
        return nil
      }
      guard text.utf8.allSatisfy(Self.isPrincipalByte) else {
        field.fail(
          "\(quotedForMessage(text)) can never match: a principal has lower case letters, digits, '.', '-', '_', '/'",
          next: "write trustDomain/ns/NAMESPACE/sa/ACCOUNT")
        return nil
      }
      return match
    }
  }

  private static func isPrincipalByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."),
      UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "/"), UInt8(ascii: "*"):
      true
    default: false
    }
  }

  static func namespaces(_ field: Field?) -> [StringMatch] {
    (field?.texts() ?? []).compactMap { field, text in
      guard let match = Self.match(text, field) else { return nil }
      let body = text.filter { $0 != "*" }
      let isValid =
        if case .exact = match { ResourceName.isLabel(body) } else {
          body.utf8.count <= 63 && body.utf8.allSatisfy { Self.isPrincipalByte($0) && !"./_".utf8.contains($0) }
        }
      guard isValid else {
        field.fail("\(quotedForMessage(text)) can never match a namespace", next: "use lower case letters, digits, '-'")
        return nil
      }
      return match
    }
  }

  static func blocks(_ field: Field?) -> [IPPrefix] {
    (field?.texts() ?? []).compactMap { field, text in
      guard let prefix = IPPrefix(text) else {
        field.fail("\(quotedForMessage(text)) is no address or block", next: "write one like 10.0.0.0/8 or fd00::7")
        return nil
      }
      return prefix
    }
  }

  /// Istio writes ports as texts: `"80"`.
  static func ports(_ field: Field?) -> [UInt16] {
    (field?.texts() ?? []).compactMap { field, text in
      guard let port = UInt16(strictDecimal: text), port > 0 else {
        field.fail("\(quotedForMessage(text)) is no port", next: "write a number from 1 to 65535 in quotes")
        return nil
      }
      return port
    }
  }
}

extension StringMatch {
  /// Everything that `other` matches is matched by this.
  func covers(_ other: StringMatch) -> Bool {
    switch (self, other) {
    case (.present, _): true
    case (_, .present): false
    case (.exact(let a), .exact(let b)): a == b
    case (.exact, _): false
    case (.prefix(let a), .exact(let b)), (.prefix(let a), .prefix(let b)): b.hasPrefix(a)
    case (.prefix, .suffix): false
    case (.suffix(let a), .exact(let b)), (.suffix(let a), .suffix(let b)): b.hasSuffix(a)
    case (.suffix, .prefix): false
    }
  }

  func matches(_ text: String) -> Bool { self.covers(.exact(text)) }
}

extension SourceMatch {
  /// Why no source can match, if that can be seen from the fields alone.
  var contradiction: String? {
    func isExcluded(_ values: [StringMatch], _ excluded: [StringMatch]) -> Bool {
      !values.isEmpty && values.allSatisfy { value in excluded.contains { $0.covers(value) } }
    }
    if isExcluded(self.principals, self.notPrincipals) { return "notPrincipals excludes every principal" }
    if isExcluded(self.namespaces, self.notNamespaces) { return "notNamespaces excludes every namespace" }
    if !self.serviceAccounts.isEmpty, self.serviceAccounts.allSatisfy({ self.notServiceAccounts.contains($0) }) {
      return "notServiceAccounts excludes every service account"
    }
    if !self.ipBlocks.isEmpty,
      self.ipBlocks.allSatisfy({ block in self.notIPBlocks.contains { $0.contains(block) } })
    {
      return "notIpBlocks excludes every block"
    }
    // Exact principals name their namespace.
    let named = self.principals.map { match -> String? in
      if case .exact(let text) = match { SPIFFEID("spiffe://" + text)?.namespace } else { nil }
    }
    if !named.isEmpty, named.allSatisfy({ $0 != nil }) {
      let possible = named.compactMap { $0 }.filter { name in
        (self.namespaces.isEmpty || self.namespaces.contains { $0.matches(name) })
          && !self.notNamespaces.contains { $0.matches(name) }
      }
      if possible.isEmpty { return "no principal is of an allowed namespace" }
    }
    return nil
  }
}
