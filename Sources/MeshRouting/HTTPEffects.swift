import MeshBase
package import MeshHTTP
package import MeshSnapshot

/// The filters of a rule and a backend, folded into what is done to a request and its answer.
package struct HTTPEffects: Sendable {
  package struct Mirror: Sendable {
    package let mirror: HTTPMirror
    /// Number of its endpoints, for `RoutingTable.share(of:at:isV4:)`. Nil: the reference does not resolve.
    package let upstream: Int?
  }

  package private(set) var request = HeaderChanges()
  package private(set) var response = HeaderChanges()
  /// The same, as HTTP/1.1 writes them.
  package let requestEdit: HTTP1FieldEdit
  package let responseEdit: HTTP1FieldEdit
  package private(set) var redirect: HTTPRedirect?
  package private(set) var rewrite: HTTPRewrite?
  package private(set) var mirrors: [Mirror] = []
  package private(set) var cors: CORSPolicy?

  init(_ filters: [HTTPFilter], _ upstreams: inout HTTPUpstreams) {
    for filter in filters {
      switch filter {
      case .requestHeaders(let edit): self.request.append(edit)
      case .responseHeaders(let edit): self.response.append(edit)
      case .redirect(let redirect): self.redirect = self.redirect ?? redirect
      case .rewrite(let rewrite): self.rewrite = rewrite
      case .mirror(let mirror):
        let upstream = mirror.backend.isValid ? upstreams.number(of: mirror.backend) : nil
        self.mirrors.append(Mirror(mirror: mirror, upstream: upstream))
      case .cors(let policy): self.cors = policy
      }
    }
    self.requestEdit = self.request.edit
    self.responseEdit = self.response.edit
  }
}

/// Edits of fields as one pass over them: those that `drops` are left out, then `added` is written.
package struct HeaderChanges: Sendable, Equatable {
  package struct Field: Sendable, Equatable {
    package let name: [UInt8]
    package let value: [UInt8]
  }

  private var dropped: [[UInt8]] = []
  package private(set) var added: [Field] = []

  package init() {}

  package var isEmpty: Bool { self.dropped.isEmpty && self.added.isEmpty }

  /// Within one edit names are taken away first, then set, then added.
  package mutating func append(_ edit: HeaderEdit) {
    for name in edit.remove + edit.set.map(\.name) where Self.isTouchable(name) {
      let bytes = Array(name.lowercased().utf8)
      self.added.removeAll { $0.name == bytes }
      if !self.dropped.contains(bytes) { self.dropped.append(bytes) }
    }
    for field in edit.set + edit.add where Self.isTouchable(field.name) && Self.isValue(field.value) {
      self.added.append(Field(name: Array(field.name.lowercased().utf8), value: Array(field.value.utf8)))
    }
  }

  fileprivate var edit: HTTP1FieldEdit {
    var edit = HTTP1FieldEdit()
    for name in self.dropped { _ = edit.remove(String(decoding: name, as: UTF8.self)) }
    for field in self.added {
      _ = edit.add(String(decoding: field.name, as: UTF8.self), String(decoding: field.value, as: UTF8.self))
    }
    return edit
  }

  package func drops(_ name: Span<UInt8>) -> Bool {
    for dropped in self.dropped where name.equalsFoldingCase(dropped) { return true }
    return false
  }

  private static func isTouchable(_ name: String) -> Bool {
    HTTPText.isToken(name) && !HeaderEdit.untouchable.contains(name.lowercased())
  }

  /// Nothing that would end the field.
  private static func isValue(_ value: String) -> Bool {
    value.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 }
  }
}

extension HTTPMirror {
  /// Whether this request is mirrored.
  package func takes(using random: inout some RandomNumberGenerator) -> Bool {
    guard self.denominator > 0 else { return false }
    return UInt32.random(in: 0..<self.denominator, using: &random) < self.numerator
  }
}
