package import MeshBase

/// Leads TLS connections to a service port by the name in their ClientHello (a TLSRoute). In a port the rules of older routes come
/// first; one that matches a name more specifically goes before.
package struct TLSRule: Hashable, Sendable {
  package var route: ResourceName
  /// Never empty; `*.` at the front allowed.
  package var hostnames: [String]
  package var backends: [Backend]

  package init(route: ResourceName, hostnames: [String], backends: [Backend]) {
    self.route = route
    self.hostnames = hostnames
    self.backends = backends
  }
}
