import MeshBase
import Yams

/// What one document holds: resources that are right, places of those that are not, and problems. Lines count within the
/// document, so that a document which only moved in its file is not read again.
struct DecodedDocument {
  /// An object that was meant but cannot be used.
  struct Broken: Hashable {
    /// Nil if even the name cannot be read.
    var key: ResourceKey?
    /// What a policy that cannot be read stands for: see `PolicyStandIn`.
    var standIn: PolicyStandIn?
    var position: FieldPosition
    /// It may be a policy, and neither `key` nor `standIn` says of what: leaving it out may let in what it forbids.
    var isUnaccounted = false
  }

  var resources: [Resource] = []
  var broken: [Broken] = []
  var problems: [Problem] = []

  static let maximumItems = 16_384

  init(_ document: YAMLDocument, file: String) {
    let sink = ProblemSink(file: file)
    switch document.compose() {
    case .failure(let finding):
      let position = FieldPosition(line: finding.line, column: finding.column)
      sink.add(.error, position, finding.message, next: finding.next)
      let guess = PolicyGuess(document.bytes)
      self.broken.append(
        Broken(key: nil, standIn: guess.standIn, position: position, isUnaccounted: !guess.isCertain))
    case .success(let node):
      self.decode(Field(node: node, path: "", sink: sink), isItem: false)
    }
    self.problems = sink.problems
  }

  private mutating func decode(_ field: Field, isItem: Bool) {
    field.sink.object = "document"
    let errors = field.sink.errors
    guard var top = field.fields() else { return self.unaccounted(field) }
    let version = top.required("apiVersion")?.text()
    guard let kindField = top.required("kind"), let kindName = kindField.text() else { return self.unaccounted(field) }
    if kindName == "List", version == "v1", !isItem {
      return self.decodeList(&top)
    }
    guard let kind = ResourceKind(rawValue: kindName) else {
      field.sink.object = kindName.isEmpty ? "document" : "\(quotedForMessage(kindName))"
      let like = ResourceKind.allCases.first { $0.rawValue.lowercased() == kindName.lowercased() }
      kindField.fail(
        "unknown kind \(quotedForMessage(kindName))",
        next: like.map { "did you mean \($0.rawValue)?" }
          ?? "known kinds: \(ResourceKind.allCases.map(\.rawValue).joined(separator: ", "))")
      // Another tool's object is none of ours; one of the policies' group, or a list, may hold what must not be lost.
      let mayBePolicy = version?.hasPrefix("security.istio.io/") ?? true
      self.broken.append(
        Broken(
          key: nil, standIn: nil, position: field.position, isUnaccounted: mayBePolicy || kindName == "List"))
      return
    }
    field.sink.object = kind.rawValue
    if let version, !kind.versions.contains(version) {
      kindField.fail(
        "\(kind.rawValue) has no apiVersion \(quotedForMessage(version))",
        next: "use \(kind.versions.joined(separator: " or "))")
    }
    var decoder = ResourceDecoder(kind: kind, field: field, errorsBefore: errors)
    let resource = decoder.decode(&top)
    top.finish()
    if field.sink.errors == errors, let resource {
      self.resources.append(resource)
    } else {
      self.broken.append(
        Broken(
          key: decoder.key, standIn: decoder.standIn, position: field.position,
          isUnaccounted: kind.isProtective && decoder.namespace == nil))
    }
  }

  /// Nothing tells what this is.
  private mutating func unaccounted(_ field: Field) {
    self.broken.append(Broken(key: nil, standIn: nil, position: field.position, isUnaccounted: true))
  }

  private mutating func decodeList(_ top: inout Fields) {
    top.accept("metadata")
    guard let items = top.required("items")?.list(allowEmpty: true) else {
      return self.unaccounted(top.owner)
    }
    top.finish()
    guard items.count <= Self.maximumItems else {
      top.owner.fail("\(items.count) items in one list", next: "at most \(Self.maximumItems): split the file")
      return self.unaccounted(top.owner)
    }
    for item in items { self.decode(item, isItem: true) }
  }
}

/// What holds in the place of an AuthorizationPolicy or a PeerAuthentication that cannot be read and of which no last good version
/// is known: every connection to the workloads that it selects is refused; in the place of the second, every one in plaintext
/// from outside. If its selector cannot be read, these are all workloads of its namespace (of the mesh, if that is the root
/// namespace).
struct PolicyStandIn: Hashable {
  var kind: ResourceKind
  var namespace: String
  /// Without a readable name the stand-in is called `unreadable-policy`.
  var name: String
  var selector: [String: String]

  static let unreadableName = "unreadable-policy"

  init(kind: ResourceKind = .authorizationPolicy, namespace: String, name: String, selector: [String: String]) {
    self.kind = kind
    self.namespace = namespace
    self.name = name
    self.selector = selector
  }
}

/// What can be told of a document that is no YAML from its lines `kind: …`, `name: …` and `namespace: …`.
struct PolicyGuess {
  /// If it looks like a policy. One whose namespace cannot be found is taken for one of `default`, as one without a
  /// namespace is.
  private(set) var standIn: PolicyStandIn?
  /// The document is one object of a known kind, and no other namespace than the stand-in's occurs in it.
  private(set) var isCertain = false

  init(_ bytes: [UInt8]) {
    var name: String?
    var namespaces: [String] = []
    var policies: [ResourceKind] = []
    /// Values of `kind:` at the beginning of a line.
    var kinds: [String] = []
    for line in bytes.split(whereSeparator: {
      $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: ",") || $0 == UInt8(ascii: "{") || $0 == UInt8(ascii: "}")
    }) {
      let noise: [UInt8] = Array(" \t\r\"'-".utf8)
      let text = String(decoding: line.drop { noise.contains($0) }, as: UTF8.self)
      guard let colon = text.firstIndex(of: ":") else { continue }
      let key = text[..<colon].filter { !" \"'".contains($0) }
      let value = text[text.index(after: colon)...].prefix { $0 != "#" }.filter { !" \t\r\"'".contains($0) }
      switch key {
      case "kind":
        if let kind = ResourceKind(rawValue: value), kind.isProtective { policies.append(kind) }
        if line.starts(with: "kind:".utf8) { kinds.append(value) }
      case "name" where name == nil && ResourceName.isSubdomain(value): name = value
      case "namespace": namespaces.append(value)
      default: break
      }
    }
    let usable = namespaces.first { ResourceName.isLabel($0) }
    if !policies.isEmpty {
      // Whatever it may be, the stand-in of the first kind forbids no less.
      self.standIn = PolicyStandIn(
        kind: policies.min() ?? .authorizationPolicy, namespace: usable ?? "default",
        name: name ?? PolicyStandIn.unreadableName, selector: [:])
      self.isCertain = policies.count == 1 && kinds.count <= 1 && Set(namespaces).count == 1 && usable != nil
    } else if let kind = kinds.first, kinds.count == 1 {
      self.isCertain = ResourceKind(rawValue: kind) != nil
    }
  }
}
