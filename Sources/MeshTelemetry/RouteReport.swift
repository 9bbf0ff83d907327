/// `GET /v1/httproutes` and its like of the control plane: a route or a policy with its conditions, in Kubernetes' shape.
package struct RouteReport: Codable, Sendable, Hashable {
  package struct Metadata: Codable, Sendable, Hashable {
    package var namespace: String
    package var name: String

    package init(namespace: String, name: String) {
      self.namespace = namespace
      self.name = name
    }
  }

  package struct ParentReference: Codable, Sendable, Hashable {
    package var group = ""
    package var kind = "Service"
    package var namespace: String
    package var name: String
    package var port: UInt16?
    package var sectionName: String?

    package init(namespace: String, name: String, port: UInt16? = nil, sectionName: String? = nil) {
      self.namespace = namespace
      self.name = name
      self.port = port
      self.sectionName = sectionName
    }
  }

  package struct Condition: Codable, Sendable, Hashable {
    /// `Accepted`, `ResolvedRefs`.
    package var type: String
    /// `True` or `False`.
    package var status: String
    /// One of Gateway API's words.
    package var reason: String
    package var message: String

    package init(type: String, status: String, reason: String, message: String) {
      self.type = type
      self.status = status
      self.reason = reason
      self.message = message
    }
  }

  package struct Parent: Codable, Sendable, Hashable {
    package var parentRef: ParentReference
    package var controllerName = "martlet.dev/control"
    package var conditions: [Condition]

    package init(parentRef: ParentReference, conditions: [Condition]) {
      self.parentRef = parentRef
      self.conditions = conditions
    }
  }

  /// Of a policy; GEP-713.
  package struct Ancestor: Codable, Sendable, Hashable {
    package var ancestorRef: ParentReference
    package var controllerName = "martlet.dev/control"
    package var conditions: [Condition]
  }

  package struct Status: Codable, Sendable, Hashable {
    /// Of a route.
    package private(set) var parents: [Parent]?
    /// Of a policy.
    package private(set) var ancestors: [Ancestor]?

    package init(parents: [Parent], isRoute: Bool) {
      if isRoute {
        self.parents = parents
      } else {
        self.ancestors = parents.map { Ancestor(ancestorRef: $0.parentRef, conditions: $0.conditions) }
      }
    }

    /// Whichever there are, as parents.
    package var targets: [Parent] {
      self.parents ?? (self.ancestors ?? []).map { Parent(parentRef: $0.ancestorRef, conditions: $0.conditions) }
    }
  }

  package var kind: String
  package var metadata: Metadata
  /// Without parents: the object cannot be used at all.
  package var status: Status
  /// Why the object is not in force as it is written.
  package var problem: String?

  package init(kind: String, metadata: Metadata, status: Status, problem: String? = nil) {
    self.kind = kind
    self.metadata = metadata
    self.status = status
    self.problem = problem
  }

  package var name: String { "\(self.metadata.namespace)/\(self.metadata.name)" }
}
