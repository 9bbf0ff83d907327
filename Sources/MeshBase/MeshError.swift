/// The one shape of an error: what went wrong with which object, why, and what to do next.
package struct MeshError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What sort of failure it is; it decides exit statuses and whether trying again makes sense.
  package enum Code: String, Sendable {
    /// The caller's input is not valid.
    case invalid
    /// The named object does not exist.
    case notFound
    /// Another owner holds the object.
    case conflict
    /// The other side cannot be reached now.
    case unavailable
    /// A limit is reached: a full map, no descriptors left.
    case exhausted
    /// The kernel or the system lacks what is needed.
    case unsupported
    /// The system refused: permission.
    case denied
    /// A defect of ours, or a failure with no better name.
    case `internal`
  }

  package var code: Code
  /// The object: a resource, file, map, program, socket.
  package var object: String
  package var message: String
  /// What the layer below said.
  package var cause: String?
  /// What the reader can do.
  package var next: String?

  package init(_ code: Code, _ object: String, _ message: String, cause: String? = nil, next: String? = nil) {
    self.code = code
    self.object = object
    self.message = message
    self.cause = cause
    self.next = next
  }

  package var description: String {
    "\(self.object): \(self.message)" + (self.cause.map { ": \($0)" } ?? "") + (self.next.map { "; \($0)" } ?? "")
  }
}
