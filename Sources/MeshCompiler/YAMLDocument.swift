import MeshBase
import Yams

/// One YAML document of a file: the text between two `---` lines, hashed, so that only what changed is parsed again.
struct YAMLDocument: Hashable {
  static let maximumFileBytes = 1 << 20
  static let maximumDocuments = 16_384

  /// Lines of the file before this document's first.
  var firstLine: Int
  var bytes: [UInt8]

  /// Two independent 64-bit hashes and the length: chance does not make two documents of a directory equal.
  struct Hash: Hashable {
    var first: UInt64
    var second: UInt64
    var count: Int
  }

  var hash: Hash {
    var second: UInt64 = 0x9e37_79b9_7f4a_7c15
    for byte in self.bytes {
      second = (second ^ UInt64(byte)) &* 0xff51_afd7_ed55_8ccd
      second ^= second >> 29
    }
    return Hash(first: ContentVersion(of: self.bytes).value, second: second, count: self.bytes.count)
  }

  /// Splits at the lines that begin with `---`, which belong to the document that they open. (At column 0 it ends every
  /// scalar, so this needs no tokenizer.) Documents of blank lines and comments only are left out.
  static func split(_ file: [UInt8]) -> [YAMLDocument] {
    var documents: [YAMLDocument] = []
    var current = YAMLDocument(firstLine: 0, bytes: [])
    var hasContent = false
    var line = 0
    var start = 0
    func close() {
      if hasContent { documents.append(current) }
    }
    while start < file.count {
      let end = file[start...].firstIndex(of: UInt8(ascii: "\n")) ?? file.count
      let text = file[start..<end]
      if Self.isMarker(text) {
        close()
        current = YAMLDocument(firstLine: line, bytes: [])
        hasContent = Self.hasContent(text.dropFirst(3))
      } else if !hasContent {
        hasContent = Self.hasContent(text)
      }
      current.bytes += file[start..<min(end + 1, file.count)]
      line += 1
      start = end + 1
    }
    close()
    return documents
  }

  private static func isMarker(_ line: ArraySlice<UInt8>) -> Bool {
    guard line.starts(with: [UInt8(ascii: "-"), UInt8(ascii: "-"), UInt8(ascii: "-")]) else { return false }
    guard let after = line.dropFirst(3).first else { return true }
    return after == UInt8(ascii: " ") || after == UInt8(ascii: "\t") || after == UInt8(ascii: "\r")
  }

  private static func hasContent(_ line: ArraySlice<UInt8>) -> Bool {
    guard let first = line.first(where: { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\r") }) else { return false }
    return first != UInt8(ascii: "#")
  }

  /// The node tree, or why there is none.
  func compose() -> Result<Node, YAMLGuard.Finding> {
    if let finding = YAMLGuard.check(self.bytes) {
      return .failure(finding)
    }
    guard let text = String(validating: self.bytes, as: UTF8.self) else {
      return .failure(.init(line: 1, column: 1, message: "not UTF-8 text", next: "save the file as UTF-8"))
    }
    do {
      guard let node = try Parser(yaml: text, encoding: .utf8).singleRoot() else {
        return .failure(.init(line: 1, column: 1, message: "an empty document", next: "remove it"))
      }
      if let finding = Self.slipped(node, depth: 1) { return .failure(finding) }
      return .success(node)
    } catch {
      return .failure(Self.finding(error))
    }
  }

  /// What `YAMLGuard` should have found; its scanner and libyaml's are two programs, so the tree is looked at as well.
  private static func slipped(_ node: Node, depth: Int) -> YAMLGuard.Finding? {
    // A list at the column of its key nests deeper than its indentation.
    guard depth <= 2 * YAMLGuard.maximumDepth + 1, node.anchor == nil else {
      return .init(
        line: node.mark?.line ?? 1, column: node.mark?.column ?? 1,
        message: "an anchor, or a nesting, that the first check let slip", next: "write the value plainly")
    }
    switch node {
    case .scalar: return nil
    case .alias:
      return .init(line: 1, column: 1, message: "an alias that the first check let slip", next: "write it out")
    case .sequence(let nodes):
      return nodes.lazy.compactMap { Self.slipped($0, depth: depth + 1) }.first
    case .mapping(let pairs):
      for (key, value) in pairs {
        if let finding = Self.slipped(key, depth: depth + 1) ?? Self.slipped(value, depth: depth + 1) { return finding }
      }
      return nil
    }
  }

  private static func finding(_ error: any Error) -> YAMLGuard.Finding {
    func at(_ mark: Mark, _ message: String, _ next: String) -> YAMLGuard.Finding {
      .init(line: max(mark.line, 1), column: max(mark.column, 1), message: message, next: next)
    }
    let next = "correct the YAML; `martlet dryrun -f FILE` shows what would be served"
    switch error as? YamlError {
    case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
      .composer(_, let problem, let mark, _):
      return at(mark, "no YAML: \(problem)", next)
    case .duplicatedKeysInMapping(let keys, let context):
      return at(context.mark, "key \(keys.joined(separator: ", ")) stands twice in one map", "remove one of them")
    case .reader(let problem, _, _, _):
      return .init(line: 1, column: 1, message: "no YAML: \(problem)", next: next)
    default:
      return .init(line: 1, column: 1, message: "no YAML: \(error)", next: next)
    }
  }
}
