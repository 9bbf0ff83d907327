import MeshBase
import MeshSnapshot

/// One kind of one session.
///
/// A name is pending if what the agent will hold after the response in flight differs from the catalogue. What the agent
/// rejected stays out of `held` with its new version, keeps its old one there (the agent keeps its last good), and is
/// pending again when its content changes.
struct ServerLane: Sendable {
  struct InFlight: Sendable, Equatable {
    var nonce: String
    var upserts: [String: ContentVersion]
    var removals: Set<String>
    var isPartial: Bool
  }

  var isSubscribed = false
  var held: [String: ContentVersion] = [:]
  private(set) var rejected: [String: ContentVersion] = [:]
  /// Names whose last content was rejected. They hold nothing up: an entry that is bad again and again must not keep the
  /// kinds that refer to its kind from the agent.
  private var suspects: Set<String> = []
  private(set) var inFlight: InFlight?
  /// Pending names.
  private(set) var upserts: Set<String> = []
  private(set) var removals: Set<String> = []
  /// The agent has answered the response that ended the first round of upserts.
  private(set) var isComplete = false

  var canSend: Bool { self.isSubscribed && self.inFlight == nil }

  /// Kinds that refer to this one may be brought.
  var hasBroughtAll: Bool {
    self.isSubscribed && self.isComplete && self.upserts.isSubset(of: self.suspects)
      && (self.inFlight?.upserts.keys.allSatisfy { self.suspects.contains($0) } ?? true)
  }

  /// What this kind refers to may be removed.
  var hasFinished: Bool {
    self.hasBroughtAll && self.removals.isEmpty && (self.inFlight?.removals.isEmpty ?? true)
  }

  var isSettled: Bool {
    self.isComplete && self.inFlight == nil && self.upserts.isEmpty && self.removals.isEmpty
  }

  /// Compares one name with the catalogue.
  mutating func consider(_ name: String, _ item: Catalogue.Item?) {
    guard self.isSubscribed else { return }
    self.upserts.remove(name)
    self.removals.remove(name)
    guard item?.isWithheld != true else { return }
    let assumed: ContentVersion?
    if let inFlight = self.inFlight, inFlight.removals.contains(name) {
      assumed = nil
    } else {
      assumed = self.inFlight?.upserts[name] ?? self.held[name]
    }
    if let rejected = self.rejected[name], rejected != item?.version { self.rejected[name] = nil }
    guard item?.version != assumed else { return }
    if let item {
      if self.rejected[name] != item.version { self.upserts.insert(name) }
    } else {
      self.removals.insert(name)
    }
  }

  mutating func considerAll(_ items: [String: Catalogue.Item]) {
    self.upserts.removeAll(keepingCapacity: true)
    self.removals.removeAll(keepingCapacity: true)
    for (name, item) in items { self.consider(name, item) }
    for name in Set(self.held.keys).union(self.inFlight?.upserts.keys ?? [:].keys) where items[name] == nil {
      self.consider(name, nil)
    }
  }

  /// Pending names in order, until their size is reached; at least one.
  func nextUpserts(
    _ items: [String: Catalogue.Item], size limit: Int
  ) -> (versions: [String: ContentVersion], names: [String]) {
    var versions: [String: ContentVersion] = [:]
    var names: [String] = []
    var size = 0
    for name in self.upserts.sorted() {
      guard let item = items[name] else { continue }
      if !names.isEmpty, size + item.size > limit { break }
      size += item.size
      versions[name] = item.version
      names.append(name)
    }
    return (versions, names)
  }

  mutating func sent(_ response: InFlight) {
    self.upserts.subtract(response.upserts.keys)
    self.removals.subtract(response.removals)
    self.inFlight = response
  }

  /// An ack or nack. An answer to any other than the response in flight is stale and means nothing.
  mutating func answered(_ nonce: String, _ refusal: Refusal?, _ items: [String: Catalogue.Item]?) {
    guard let response = self.inFlight, response.nonce == nonce else { return }
    self.inFlight = nil
    if !response.isPartial { self.isComplete = true }
    let refused: Set<String>
    if let refusal, refusal.rejections.isEmpty {
      refused = Set(response.upserts.keys)
    } else {
      refused = Set(refusal?.rejections.map(\.name) ?? [])
    }
    for (name, version) in response.upserts {
      if refused.contains(name) {
        self.rejected[name] = version
        self.suspects.insert(name)
      } else {
        self.suspects.remove(name)
        self.held[name] = version
        self.rejected[name] = nil
      }
    }
    // A removal that the agent refused is not repeated on this stream: the next one begins with what it holds.
    for name in response.removals { self.held[name] = nil }
    // What was refused may have changed, or gone, while the answer was under way.
    for name in refused where response.upserts[name] != nil { self.consider(name, items?[name]) }
  }
}
