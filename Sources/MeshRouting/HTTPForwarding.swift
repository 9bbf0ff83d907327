package import MeshBase
package import MeshHTTP
package import MeshSnapshot

/// What the proxy does with the fields that tell a request's way: what came of the client, and what it says itself.
package struct HTTPForwarding: Sendable, Hashable {
  package enum Mode: String, Sendable, Hashable, CaseIterable {
    /// What the client says passes; the proxy says nothing.
    case keep
    /// The proxy says it where the client does not.
    case add
    /// The proxy's word behind those of the client, in one field.
    case append
    /// The proxy's word instead of the client's.
    case replace
    /// Nobody says it.
    case remove
  }

  /// The client's address.
  package private(set) var forwardedFor = Mode.append
  package private(set) var forwardedProto = Mode.add
  /// What the client asked for, where a rule may have rewritten it.
  package private(set) var forwardedHost = Mode.keep
  /// RFC 7239. A client's own never passes: what is behind takes it for the mesh's word.
  package private(set) var forwarded = Mode.remove
  package private(set) var requestID = Mode.add
  /// Kept, not added: a trace that nobody collects tells nothing.
  package private(set) var traceparent = Mode.keep
  /// The name in `Via`, of requests and answers. Empty: none is written; neither of the mesh's proxies is asked for by anyone.
  package private(set) var via = ""

  package static let defaults = HTTPForwarding([])

  /// Of a field that stands twice the last counts.
  package init(_ fields: [ForwardingField]) {
    for field in fields { self.set(field) }
  }

  private mutating func set(_ field: ForwardingField) {
    guard field.name != "via" else {
      self.via = field.mode == "off" ? "" : field.mode
      return
    }
    guard let mode = Mode(rawValue: field.mode) else { return }
    switch field.name {
    case "x-forwarded-for": self.forwardedFor = mode
    case "x-forwarded-proto": self.forwardedProto = mode
    case "x-forwarded-host": self.forwardedHost = mode
    case "forwarded": self.forwarded = mode
    case "x-request-id": self.requestID = mode
    case "traceparent": self.traceparent = mode
    default: break
    }
  }

  /// What is the same for every request; the client and the ids are the loop's to fill in.
  package var passage: HTTP1Passage {
    var passage = HTTP1Passage()
    passage.via = Array(self.via.utf8)
    if self.forwardedProto == .add || self.forwardedProto == .replace { passage.forwardedProto = Array("http".utf8) }
    passage.tellsHost = self.forwardedHost == .add || self.forwardedHost == .replace
    for (mode, name) in [
      (self.forwardedFor, HTTPFieldName.xForwardedFor), (self.forwardedProto, .xForwardedProto),
      (self.forwardedHost, .xForwardedHost), (self.requestID, .xRequestID), (self.traceparent, .traceparent),
    ] where mode == .replace || mode == .remove { passage.removed.insert(name) }
    return passage
  }

  package var tellsClient: Bool { self.forwardedFor == .append || self.forwardedFor == .replace }
  package var addsRequestID: Bool { self.requestID == .add || self.requestID == .replace }

  /// An element of `Forwarded`; an address with colons is quoted.
  package static func element(client: IPAddress) -> [UInt8] {
    Array((client.isV4 ? "for=\(client);proto=http" : "for=\"[\(client)]\";proto=http").utf8)
  }
}
