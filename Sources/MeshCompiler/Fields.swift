import Yams

/// A map whose field names are fixed: each is asked for by name, and `finish` reports those that nobody asked for.
struct Fields {
  let owner: Field
  private let entries: [(name: String, key: Node, value: Node)]
  private var isKnown: [Bool]
  private var known: [String] = []

  init(_ mapping: Node.Mapping, of owner: Field) {
    self.owner = owner
    var entries: [(name: String, key: Node, value: Node)] = []
    for (key, value) in mapping {
      guard case .scalar(let scalar) = key else {
        owner.fail("a key that is no text", next: "use a plain text key")
        continue
      }
      entries.append((scalar.string, key, value))
    }
    self.entries = entries
    self.isKnown = Array(repeating: false, count: entries.count)
  }

  var isEmpty: Bool { self.entries.isEmpty }

  private func path(_ name: String) -> String {
    self.owner.path.isEmpty ? name : "\(self.owner.path).\(name)"
  }

  private mutating func take(_ name: String) -> Field? {
    guard let index = self.entries.firstIndex(where: { $0.name == name }) else { return nil }
    self.isKnown[index] = true
    let entry = self.entries[index]
    return Field(node: entry.value, path: self.path(name), sink: self.owner.sink, fallback: self.owner.position)
  }

  /// The field, if it is there. One without a value is a problem, because what its author meant is not known.
  mutating func optional(_ name: String) -> Field? {
    self.known.append(name)
    guard let field = self.take(name) else { return nil }
    if field.isNull {
      field.fail("the field has no value", next: "remove it or give it one")
      return nil
    }
    return field
  }

  /// The field, with a value or without one.
  mutating func value(_ name: String) -> Field? {
    self.known.append(name)
    return self.take(name)
  }

  mutating func required(_ name: String) -> Field? {
    let before = self.owner.sink.errors
    if let field = self.optional(name) { return field }
    if self.owner.sink.errors == before {
      self.owner.fail("\(name) is missing", next: "add \(self.path(name))")
    }
    return nil
  }

  /// Fields that carry nothing for the mesh: any value, none included.
  mutating func accept(_ names: String...) {
    for name in names { _ = self.take(name) }
  }

  /// A field that is accepted with these texts only, because they say what happens anyway.
  mutating func accept(_ name: String, only values: [String], because reason: String) {
    self.known.append(name)
    guard let field = self.take(name), !field.isNull else { return }
    guard let text = field.text() else { return }
    guard values.contains(text) else {
      return field.fail(
        "\(quotedForMessage(text)) is not supported: \(reason)", next: "use \(values.joined(separator: " or "))")
    }
  }

  /// Fields that exist in the schema and would change what happens, but not here.
  mutating func refuse(_ names: [String], because reason: String, next: String = "remove the field") {
    for name in names {
      if let field = self.take(name) { field.fail("not supported: \(reason)", next: next) }
    }
  }

  /// Reports every field that was not asked for.
  func finish() {
    for (index, entry) in self.entries.enumerated() where !self.isKnown[index] {
      let field = Field(node: entry.key, path: self.path(entry.name), sink: self.owner.sink)
      let like = self.known.first { $0.lowercased() == entry.name.lowercased() }
      field.fail(
        "unknown field",
        next: like.map { "did you mean \($0)?" } ?? "known here: \(self.known.sorted().joined(separator: ", "))")
    }
  }
}
