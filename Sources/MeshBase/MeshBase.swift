/// # MeshBase: the words of the mesh
///
/// Addresses, prefixes, names, SPIFFE identities, content versions, paths and expressions that requests are matched with,
/// the shape of an error. Floor 1: imports nothing,
/// neither Foundation nor NIO, and holds no pointers.
///
/// Read in this order: `IPAddress`, `IPPrefix`, `ResourceName`, `SPIFFEID`, `ContentVersion`, `MeshError`, `MeshPort`,
/// `CanonicalPath` (the one form of a request's path), `LinearRegex`.
///
/// Invariants: every value that exists is valid (parsers return nil, initialisers are checked); every `description` is
/// canonical, so that equal values print equally and a printed value parses back to itself.
package enum MeshBase {
  /// The version of every binary of this tree.
  package static let version = "0.1.0"
}
