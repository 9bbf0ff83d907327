/// Bounds of what the resolver holds and how long. Times in milliseconds.
package struct ResolverLimits: Hashable, Sendable {
  /// Questions that wait for upstreams, of all namespaces.
  package var questions: Int
  /// Questions of one namespace that wait for upstreams.
  package var questionsPerNamespace: Int
  /// Clients of one namespace that wait, many of them maybe for the same question.
  package var clientsPerNamespace: Int
  /// One attempt by UDP.
  package var datagramTimeout: UInt64
  /// One attempt by TCP, connecting included.
  package var streamTimeout: UInt64
  /// A question as a whole. Less than the five seconds after which resolvers ask again (resolv.conf(5)).
  package var questionTimeout: UInt64
  /// How long a question waits until it is said who is to be asked on behalf of its namespace. As long as the agent needs
  /// to say it, and not longer: some clients ask one question after another.
  package var holdTimeout: UInt64
  /// Attempts for a question, if there are fewer upstreams than that; else each upstream is asked once.
  package var attempts: Int
  /// Answers by UDP that match nothing, after which a question is asked by TCP, where nobody off the path can answer.
  package var mismatches: Int
  /// How long the upstream that answered is asked first, when those before it did not.
  package var preference: UInt64

  package init(
    questions: Int = 1024, questionsPerNamespace: Int = 256, clientsPerNamespace: Int = 1024,
    datagramTimeout: UInt64 = 1500, streamTimeout: UInt64 = 3000, questionTimeout: UInt64 = 4500,
    holdTimeout: UInt64 = 2000,
    attempts: Int = 3, mismatches: Int = 3, preference: UInt64 = 30_000
  ) {
    self.questions = questions
    self.questionsPerNamespace = questionsPerNamespace
    self.clientsPerNamespace = clientsPerNamespace
    self.datagramTimeout = datagramTimeout
    self.streamTimeout = streamTimeout
    self.questionTimeout = questionTimeout
    self.holdTimeout = holdTimeout
    self.attempts = attempts
    self.mismatches = mismatches
    self.preference = preference
  }
}

/// What the resolver did, since it began.
package struct ResolverCounters: Hashable, Sendable {
  /// Questions that were understood.
  package var questions: UInt64 = 0
  /// Answered from the mesh's names.
  package var mesh: UInt64 = 0
  /// Passed to an upstream.
  package var forwarded: UInt64 = 0
  /// Joined a question that was under way already.
  package var joined: UInt64 = 0
  /// An upstream's answer was passed on, to one client each.
  package var answered: UInt64 = 0
  /// What clients sent and is no message, or asks for what is not done here.
  package var refused: UInt64 = 0
  package var ignored: UInt64 = 0
  /// Refused because too many wait.
  package var overloaded: UInt64 = 0
  /// From another address than the one asked, or without the right id or question.
  package var mismatched: UInt64 = 0
  /// Answers of upstreams that could not be read.
  package var malformed: UInt64 = 0
  /// Attempts that ended without an answer.
  package var timeouts: UInt64 = 0
  package var failures: UInt64 = 0
  /// Asked again by TCP.
  package var streams: UInt64 = 0
  /// Sent to a client without records, because it takes less.
  package var truncated: UInt64 = 0
  /// Clients that an answer was not passed on to, because it held an address of the mesh.
  package var filtered: UInt64 = 0
  /// Clients that were told that nobody could be asked.
  package var exhausted: UInt64 = 0

  package init() {}

  /// Under stable names, those that are not zero.
  package var named: [(name: String, count: UInt64)] {
    [
      ("questions", self.questions), ("mesh", self.mesh), ("forwarded", self.forwarded), ("joined", self.joined),
      ("answered", self.answered), ("refused", self.refused), ("ignored", self.ignored),
      ("overloaded", self.overloaded), ("mismatched", self.mismatched), ("malformed", self.malformed),
      ("timeouts", self.timeouts), ("failures", self.failures), ("streams", self.streams),
      ("truncated", self.truncated), ("filtered", self.filtered), ("exhausted", self.exhausted),
    ].filter { $0.1 > 0 }
  }
}
