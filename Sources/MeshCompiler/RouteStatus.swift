import MeshBase

/// How a route, or a policy, is in force: the conditions of Gateway API, for each Service that it names as its parent, or target.
package struct RouteStatus: Hashable, Sendable {
  package struct Condition: Hashable, Sendable {
    package var type: String
    package var isTrue: Bool
    package var reason: String
    package var message: String
  }

  package struct Parent: Hashable, Sendable {
    package var parent: RouteParent
    /// One port of it takes the route, or would, did it not have another of the kind.
    var isAccepted = false
    /// Why a port of it does not.
    var refusal: RouteRefusal?
    /// Why a reference does not resolve.
    var unresolved: RouteRefusal?
    /// Policies lead nowhere.
    var hasReferences = true

    package var conditions: [Condition] {
      let accepted =
        self.isAccepted
        ? Condition(type: "Accepted", isTrue: true, reason: "Accepted", message: self.refusal?.message ?? "")
        : self.condition("Accepted", self.refusal)
      guard self.hasReferences else { return [accepted] }
      return [
        accepted,
        self.unresolved.map { self.condition("ResolvedRefs", $0) }
          ?? Condition(type: "ResolvedRefs", isTrue: true, reason: "ResolvedRefs", message: ""),
      ]
    }

    private func condition(_ type: String, _ refusal: RouteRefusal?) -> Condition {
      Condition(
        type: type, isTrue: false,
        reason: refusal?.reason.rawValue ?? RouteRefusal.Reason.noMatchingParent.rawValue,
        message: refusal?.message ?? "")
    }
  }

  package var key: ResourceKey
  package var parents: [Parent]
  /// What is wrong with the object, because of which it is not in force as it is written. Nil: nothing.
  package var problem: String?

  init(_ key: ResourceKey, parents: [RouteParent], problem: String? = nil) {
    self.key = key
    self.parents = parents.map { Parent(parent: $0, hasReferences: key.kind.isRoute) }
    self.problem = problem
  }
}

/// Why a route is not attached, or a reference does not resolve.
struct RouteRefusal: Error, Hashable, Sendable {
  /// The words are Gateway API's; `Conflicted` is GEP-1294's, and GEP-713's as `TargetNotFound` is.
  enum Reason: String, Hashable, Sendable {
    case noMatchingParent = "NoMatchingParent"
    case notAllowedByListeners = "NotAllowedByListeners"
    case conflicted = "Conflicted"
    case backendNotFound = "BackendNotFound"
    case refNotPermitted = "RefNotPermitted"
    case invalidKind = "InvalidKind"
    case unsupportedProtocol = "UnsupportedProtocol"
    case targetNotFound = "TargetNotFound"
  }

  var reason: Reason
  var message: String
  var next: String

  init(_ reason: Reason, _ message: String, next: String) {
    self.reason = reason
    self.message = message
    self.next = next
  }
}
