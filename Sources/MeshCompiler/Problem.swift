package import MeshBase

/// A place in a file: line and column count from 1; the path names the field, `spec.rules[1].from[0]`.
package struct FieldPosition: Hashable, Sendable {
  package var line: Int
  package var column: Int
  package var path: String

  package init(line: Int, column: Int, path: String = "") {
    self.line = line
    self.column = column
    self.path = path
  }

  /// The same place in a file whose lines begin `lines` further down.
  func shifted(by lines: Int) -> FieldPosition {
    FieldPosition(line: self.line + lines, column: self.column, path: self.path)
  }
}

/// What is wrong with a resource, where, and what to do. An error means that the object (or the part that the message
/// names) is not in force as written; a warning means that it is, and that the result may surprise.
package struct Problem: Hashable, Sendable, CustomStringConvertible {
  package enum Severity: String, Hashable, Sendable, Comparable {
    case error
    case warning

    package static func < (a: Severity, b: Severity) -> Bool { a == .error && b == .warning }
  }

  package var severity: Severity
  package var file: String
  package var position: FieldPosition
  /// `Service shop/web`, or `document` where the object could not be read.
  package var object: String
  package var message: String
  /// What the reader can do.
  package var next: String?

  package init(
    _ severity: Severity, file: String, position: FieldPosition, object: String, message: String, next: String? = nil
  ) {
    self.severity = severity
    self.file = file
    self.position = position
    self.object = object
    self.message = message
    self.next = next
  }

  package var description: String {
    let path = self.position.path.isEmpty ? "" : "\(self.position.path): "
    return "\(self.file):\(self.position.line):\(self.position.column): \(self.severity.rawValue): \(self.object): "
      + path + self.message + (self.next.map { "; \($0)" } ?? "")
  }

  package var error: MeshError {
    MeshError(
      .invalid, self.object,
      (self.position.path.isEmpty ? "" : "\(self.position.path): ") + self.message,
      cause: "\(self.file):\(self.position.line):\(self.position.column)", next: self.next)
  }
}

extension Problem: Comparable {
  /// By place, so that a reader goes through a file once.
  package static func < (a: Problem, b: Problem) -> Bool {
    (a.file, a.position.line, a.position.column, a.position.path, a.message)
      < (b.file, b.position.line, b.position.column, b.position.path, b.message)
  }
}
