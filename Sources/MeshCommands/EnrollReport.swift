/// What `martlet enroll` and `unenroll` did, or would do.
struct EnrollReport: Codable, Sendable, Hashable {
  struct Step: Codable, Sendable, Hashable {
    enum Action: String, Codable, Sendable, Hashable {
      case write
      /// It is there as it should be.
      case keep
      case remove
      case run
    }

    var action: Action
    /// A file, or a command.
    var object: String
    var content: String?

    init(_ action: Action, _ object: String, content: String? = nil) {
      self.action = action
      self.object = object
      self.content = content
    }
  }

  var unit: String
  /// NAMESPACE/NAME.
  var workload: String?
  var dryRun: Bool
  var steps: [Step] = []
  /// What the reader should know.
  var notes: [String] = []

  init(unit: String, dryRun: Bool) {
    self.unit = unit
    self.dryRun = dryRun
  }

  var text: String {
    var text = ""
    for step in self.steps {
      text += (self.dryRun ? "would " : "") + "\(step.action.rawValue) \(step.object)\n"
      if self.dryRun, let content = step.content {
        text += content.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map { "    \($0)\n" }
          .joined()
      }
    }
    return text + self.notes.map { "note: \($0)\n" }.joined()
  }
}
