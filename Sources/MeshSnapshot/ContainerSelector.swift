/// Which container a workload is, in the words of the engine that runs it.
package enum ContainerSelector: Hashable, Sendable {
  /// The id, or at least twelve digits of its beginning.
  case id(String)
  case name(String)
  /// It bears all of them. Of several containers one is the workload, as long as it runs.
  case labels([String: String])

  package static let maximumLabels = 16

  /// Lower case hexadecimal digits, as podman and docker write them.
  package static func isID(_ text: String) -> Bool {
    (12...64).contains(text.utf8.count)
      && text.utf8.allSatisfy {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
      }
  }

  /// The whole id of an OCI container: at most 255 of letters, digits, `_`, `+`, `-`, `.` (runc, libcontainer, validateID).
  package static func isRuntimeID(_ text: String) -> Bool {
    (1...255).contains(text.utf8.count) && text != "." && text != ".."
      && text.utf8.allSatisfy { Self.isAlphanumeric($0) || "_+-.".utf8.contains($0) }
  }

  /// `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, at most 255 (libpod/define/config.go, NameRegex).
  package static func isName(_ text: String) -> Bool {
    guard let first = text.utf8.first, Self.isAlphanumeric(first), text.utf8.count <= 255 else { return false }
    return text.utf8.allSatisfy { Self.isAlphanumeric($0) || "_.-".utf8.contains($0) }
  }

  package static func isLabel(_ key: String, _ value: String) -> Bool {
    !key.isEmpty && key.utf8.count <= 255 && value.utf8.count <= 4096
      && (key + value).utf8.allSatisfy { $0 >= 32 && $0 != 127 }
  }

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"):
      true
    default: false
    }
  }

  /// Nil: what is known of the container does not tell. `id` is the whole one.
  package func matches(id: String, name: String?, labels: [String: String]?) -> Bool? {
    switch self {
    case .id(let prefix): id.hasPrefix(prefix)
    case .name(let wanted): name.map { $0 == wanted }
    case .labels(let wanted): labels.map { labels in wanted.allSatisfy { labels[$0.key] == $0.value } }
    }
  }
}

extension ContainerSelector: CustomStringConvertible {
  package var description: String {
    switch self {
    case .id(let id): "with id \(id)"
    case .name(let name): "named \(name)"
    case .labels(let labels):
      "with " + labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ", ")
    }
  }
}
