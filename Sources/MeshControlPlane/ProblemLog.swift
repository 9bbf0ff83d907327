package import MeshCompiler

/// Which problems are news: each is reported once when it appears, and once when it is gone.
package struct ProblemLog: Sendable {
  private var known: Set<Problem> = []

  package init() {}

  package mutating func update(_ problems: [Problem]) -> (appeared: [Problem], gone: [Problem]) {
    let now = Set(problems)
    defer { self.known = now }
    return (now.subtracting(self.known).sorted(), self.known.subtracting(now).sorted())
  }
}
