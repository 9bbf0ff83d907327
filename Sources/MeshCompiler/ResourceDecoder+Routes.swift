import MeshBase
import MeshSnapshot

// What routes of all kinds have in common.

extension ResourceDecoder {
  static let gatewayGroup = "gateway.networking.k8s.io"

  /// `parentRefs`, and what else stands at the top of every route's spec.
  func parents(_ spec: inout Fields) -> [RouteParent] {
    spec.accept("useDefaultGateways", only: ["None"], because: "the mesh has no gateways")
    guard let list = spec.required("parentRefs")?.list() else { return [] }
    Self.limit(list, 32)
    var parents: [RouteParent] = []
    var others: [(Field, String)] = []
    for field in list {
      guard var item = field.fields() else { continue }
      let group = item.optional("group")?.text() ?? Self.gatewayGroup
      let kind = item.optional("kind")?.text() ?? "Gateway"
      let isService = kind == "Service" && group.isEmpty
      if !isService {
        others.append((field, "\(quotedForMessage(kind)) of group \(quotedForMessage(group))"))
      }
      let parent = self.parent(&item)
      item.finish()
      guard isService, let parent else { continue }
      self.check(parent, beside: parents, field)
      parents.append(parent)
    }
    for (field, what) in others {
      let message = "the parent is a \(what), and the mesh has no gateways"
      let next = "write group: \"\" and kind: Service"
      // A route may serve the mesh and a gateway of somebody else.
      if others.count == list.count {
        field.fail(message, next: next)
      } else {
        field.warn(message, next: next)
      }
    }
    return parents
  }

  private func parent(_ item: inout Fields) -> RouteParent? {
    let namespace = self.namespaceOfReference(&item)
    let name = Self.serviceName(&item)
    let port = item.optional("port")?.port()
    let section = item.optional("sectionName").flatMap { Self.sectionName($0) }
    guard let namespace, let name, let service = ResourceName(namespace: namespace, name: name)
    else { return nil }
    return RouteParent(
      service: service, port: port, portName: section, position: item.owner.position)
  }

  /// References to one object have to say the same fields, differently.
  private func check(_ parent: RouteParent, beside others: [RouteParent], _ field: Field) {
    let same = others.filter { $0.service == parent.service }
    if same.contains(where: { $0.port == parent.port && $0.portName == parent.portName }) {
      field.fail("the same parent stands twice", next: "remove one of them")
    } else if same.contains(where: {
      ($0.port == nil) != (parent.port == nil) || ($0.portName == nil) != (parent.portName == nil)
    }) {
      field.fail(
        "the same Service stands twice, with port or sectionName only once",
        next: "write the same fields in both")
    }
  }

  /// The namespace of a reference: the route's own, where none is written.
  func namespaceOfReference(_ item: inout Fields) -> String? {
    guard let field = item.optional("namespace") else { return self.namespace }
    guard let text = field.text() else { return nil }
    guard ResourceName.isLabel(text) else {
      field.fail(
        "\(quotedForMessage(text)) is no namespace", next: "use lower case letters, digits and '-'")
      return nil
    }
    return text
  }

  static func serviceName(_ item: inout Fields) -> String? {
    guard let field = item.required("name"), let text = field.text() else { return nil }
    guard ResourceName.isSubdomain(text) else {
      field.fail(
        "\(quotedForMessage(text)) is no name of a Service",
        next: "write the Service's metadata.name")
      return nil
    }
    return text
  }

  /// Nil for an empty one, which means all.
  static func sectionName(_ field: Field) -> String? {
    guard let text = field.text(), !text.isEmpty else { return nil }
    guard ResourceName.isSubdomain(text) else {
      field.fail(
        "\(quotedForMessage(text)) is no name", next: "use lower case letters, digits, '-' and '.'")
      return nil
    }
    return text
  }

  /// Names of rules are unique in their route.
  static func ruleName(_ rule: inout Fields, _ seen: inout Set<String>) -> String {
    guard let field = rule.optional("name"), let name = Self.sectionName(field) else { return "" }
    if !seen.insert(name).inserted {
      field.fail(
        "a second rule named \(quotedForMessage(name))", next: "give each rule a name of its own")
    }
    return name
  }

  @discardableResult static func limit(_ list: [Field], _ maximum: Int) -> Bool {
    guard list.count > maximum else { return true }
    list[maximum].fail("\(list.count) items", next: "at most \(maximum)")
    return false
  }

  /// A list of at most `maximum`; empty where the field is missing.
  static func items(_ field: Field?, _ maximum: Int) -> [Field] {
    guard let list = field?.list(allowEmpty: true) else { return [] }
    self.limit(list, maximum)
    return list
  }

  /// One word of several; nil with a problem.
  static func word(_ field: Field, of words: [String]) -> String? {
    guard let text = field.text() else { return nil }
    guard words.contains(text) else {
      let like = words.first { $0.lowercased() == text.lowercased() }
      field.fail(
        "\(quotedForMessage(text)) is unknown",
        next: like.map { "did you mean \($0)?" } ?? "use \(Self.either(words))")
      return nil
    }
    return text
  }

  static func either(_ words: [String]) -> String {
    words.count < 2
      ? words.joined() : words.dropLast().joined(separator: ", ") + " or " + (words.last ?? "")
  }

  static func hostname(_ field: Field, allowsWildcard: Bool = false) -> String? {
    guard let text = field.text() else { return nil }
    let name = allowsWildcard && text.hasPrefix("*.") ? text.dropFirst(2) : text[...]
    guard ResourceName.isSubdomain(name) else {
      field.fail(
        "\(quotedForMessage(text)) is no name of a host",
        next:
          "use lower case letters, digits, '-' and '.'\(allowsWildcard ? ", with *. at the front" : "")"
      )
      return nil
    }
    guard IPAddress(text) == nil else {
      field.fail("an address stands where a name belongs", next: "write the name of a host")
      return nil
    }
    return text
  }

  /// `1h30m`, `250ms` (GEP-2257).
  static func milliseconds(_ field: Field) -> UInt32? {
    guard let text = field.text() else { return nil }
    guard let value = Self.milliseconds(of: text) else {
      field.fail(
        "\(quotedForMessage(text)) is no duration",
        next: "write one to four numbers with h, m, s or ms, as 1m30s")
      return nil
    }
    guard let milliseconds = UInt32(exactly: value) else {
      field.fail("longer than 49 days", next: "write a shorter time, or 0s for no limit")
      return nil
    }
    return milliseconds
  }

  static func milliseconds(of text: String) -> Int64? {
    var bytes = Array(text.utf8)[...]
    var total: Int64 = 0
    var parts = 0
    while !bytes.isEmpty {
      let digits = bytes.prefix { (0x30...0x39).contains($0) }
      let rest = bytes.dropFirst(digits.count)
      let unit = rest.prefix { !(0x30...0x39).contains($0) }
      let factors: [String: Int64] = ["h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1]
      guard (1...5).contains(digits.count),
        let factor = factors[String(decoding: unit, as: UTF8.self)]
      else {
        return nil
      }
      total += digits.reduce(0) { $0 * 10 + Int64($1 - 0x30) } * factor
      bytes = rest.dropFirst(unit.count)
      parts += 1
    }
    return (1...4).contains(parts) ? total : nil
  }
}
