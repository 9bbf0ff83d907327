import MeshBase
import MeshSnapshot

/// Texts that a proxy writes into a message, or compares with one: none may hold what would end a line or a field.
extension FieldPath {
  static let valueLimit = 4096

  func list<Message, Value>(
    _ messages: [Message], _ value: (Message, FieldPath) throws(MeshError) -> Value
  ) throws(MeshError) -> [Value] {
    var result: [Value] = []
    result.reserveCapacity(messages.count)
    for (index, message) in messages.enumerated() { result.append(try value(message, self[index])) }
    return result
  }

  func atMostOne<Message, Value>(
    _ messages: [Message], _ value: (Message, FieldPath) throws(MeshError) -> Value
  ) throws(MeshError) -> Value? {
    guard messages.count <= 1 else { throw self.error("more than one") }
    guard let message = messages.first else { return nil }
    return try value(message, self)
  }

  func token(_ text: String) throws(MeshError) -> String {
    guard HTTPText.isToken(text), text.utf8.count <= 256 else { throw self.error("not a token of HTTP") }
    return text
  }

  func headerName(_ text: String) throws(MeshError) -> String {
    guard HTTPText.isToken(text), text.utf8.count <= 256, !text.utf8.contains(where: { (0x41...0x5a).contains($0) })
    else { throw self.error("no name of a header in lower case") }
    return text
  }

  /// Of a header, a query parameter, or of what replaces a path. May be empty.
  func value(_ text: String) throws(MeshError) -> String {
    text.isEmpty ? "" : try self.text(text, limit: Self.valueLimit)
  }

  func path(_ text: String) throws(MeshError) -> String {
    guard text.utf8.first == UInt8(ascii: "/") else { throw self.error("not a path, which begins with /") }
    return try self.value(text)
  }

  func scheme(_ text: String) throws(MeshError) -> String {
    guard text == "http" || text == "https" else { throw self.error("neither http nor https") }
    return text
  }

  func hostname(_ text: String, allowsWildcard: Bool = false) throws(MeshError) -> String {
    let name = allowsWildcard && text.hasPrefix("*.") ? text.dropFirst(2) : text[...]
    guard ResourceName.isSubdomain(name) else { throw self.error("no name of a host") }
    return text
  }
}
