package import MeshBase
package import MeshSnapshot

/// A name of a response that the agent did not apply, and why.
package struct Rejection: Sendable, Hashable {
  package var name: String
  package var reason: String

  package init(name: String, reason: String) {
    self.name = name
    self.reason = reason
  }
}

/// The body of a nack.
package struct Refusal: Sendable, Equatable {
  package var message: String
  /// Empty, from a peer that does not say: every name of the response.
  package var rejections: [Rejection]

  package init(message: String, rejections: [Rejection]) {
    self.message = message
    self.rejections = rejections
  }
}

/// From the agent: a subscription (no nonce), an ack (nonce), or a nack (nonce and refusal).
package struct SessionRequest: Sendable, Equatable {
  package static let wildcard = "*"

  /// On the first request of a stream.
  package var node: String?
  package var kind: EntryKind
  package var subscribe: [String]
  package var unsubscribe: [String]
  /// What the agent holds; on the first request of a kind.
  package var initialVersions: [String: ContentVersion]
  package var nonce: String
  package var refusal: Refusal?

  package init(
    node: String? = nil, kind: EntryKind, subscribe: [String] = [], unsubscribe: [String] = [],
    initialVersions: [String: ContentVersion] = [:], nonce: String = "", refusal: Refusal? = nil
  ) {
    self.node = node
    self.kind = kind
    self.subscribe = subscribe
    self.unsubscribe = unsubscribe
    self.initialVersions = initialVersions
    self.nonce = nonce
    self.refusal = refusal
  }
}

/// What the control plane decides to send; the driver adds the content.
package struct ResponsePlan: Sendable, Equatable {
  package var kind: EntryKind
  package var nonce: String
  package var version: SystemVersion
  /// More upserts of the kind follow. Written as a `+` after the version.
  package var isPartial: Bool
  package var upserts: [String]
  package var removals: [String]

  package init(
    kind: EntryKind, nonce: String, version: SystemVersion, isPartial: Bool = false, upserts: [String] = [],
    removals: [String] = []
  ) {
    self.kind = kind
    self.nonce = nonce
    self.version = version
    self.isPartial = isPartial
    self.upserts = upserts
    self.removals = removals
  }

  package var systemVersionText: String { self.isPartial ? "\(self.version)+" : "\(self.version)" }
}

/// A response as the agent decoded it.
package struct SessionResponse: Sendable, Equatable {
  package var kind: EntryKind
  package var nonce: String
  package var version: SystemVersion
  package var isPartial: Bool
  package var upserts: [VersionedEntry]
  /// Resources that are no valid entry.
  package var failures: [Rejection]
  package var removals: [String]

  package init(
    kind: EntryKind, nonce: String, version: SystemVersion, isPartial: Bool = false, upserts: [VersionedEntry] = [],
    failures: [Rejection] = [], removals: [String] = []
  ) {
    self.kind = kind
    self.nonce = nonce
    self.version = version
    self.isPartial = isPartial
    self.upserts = upserts
    self.failures = failures
    self.removals = removals
  }

  /// Reads `epoch.revision`, with a `+` after it if more follows.
  package static func parse(systemVersion text: String) -> (version: SystemVersion, isPartial: Bool)? {
    let isPartial = text.hasSuffix("+")
    guard let version = SystemVersion(isPartial ? text.dropLast() : text[...]) else { return nil }
    return (version, isPartial)
  }
}
