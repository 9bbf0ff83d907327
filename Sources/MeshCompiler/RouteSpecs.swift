package import MeshBase
package import MeshSnapshot

/// What a route is attached to.
package struct RouteParent: Hashable, Sendable {
  package var service: ResourceName
  /// Both given: the port with this number and this name. Neither: every port that the route can serve.
  package var port: UInt16?
  package var portName: String?
  package var position: FieldPosition
}

/// What a route leads to.
package struct RouteReference: Hashable, Sendable {
  package enum Use: Hashable, Sendable {
    case backend
    case mirror
  }

  package var service: ResourceName
  package var port: UInt16
  package var use: Use
  /// Not a Service: `Kind of group "group"`.
  package var otherKind: String?
  package var position: FieldPosition
}

/// An HTTPRoute or a GRPCRoute. Its rules are those that are distributed, but for what only the whole tells: which of its
/// references resolve, and which clients they are for.
package struct RequestRouteSpec: Hashable, Sendable {
  package var parents: [RouteParent]
  /// In them every reference to a Service counts as valid.
  package var rules: [HTTPRule]
  /// Every backend and mirror of the rules.
  package var references: [RouteReference]
}

package struct TCPRouteSpec: Hashable, Sendable {
  package struct BackendRef: Hashable, Sendable {
    package var service: ResourceName
    package var port: UInt16
    package var weight: UInt32
    package var position: FieldPosition
  }

  package var parents: [RouteParent]
  package var backends: [BackendRef]
}

/// Passes TLS connections on by the name in their ClientHello.
package struct TLSRouteSpec: Hashable, Sendable {
  package var parents: [RouteParent]
  package var hostnames: [String]
  package var backends: [TCPRouteSpec.BackendRef]
}

/// Lets routes of other namespaces lead to Services of its own.
package struct ReferenceGrantSpec: Hashable, Sendable {
  package struct From: Hashable, Sendable {
    package var kind: ResourceKind
    package var namespace: String
  }

  package var from: [From]
  /// Nil: every Service.
  package var services: [String]?
}
