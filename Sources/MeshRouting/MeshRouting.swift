/// # MeshRouting: where a connection goes
///
/// A resolved snapshot, compiled to a flat table that the node proxy looks up, and the rules for trying endpoints. Pure:
/// randomness and time come in as values.
///
/// Read in this order: `RoutingTable` (what is looked up), `RoutingTable+Build` (how it is made of entries),
/// `ConnectAttempts` (what to do when an endpoint cannot be reached).
///
/// Invariants: a table never changes; a choice falls on a ready endpoint or is a refusal with a reason, never a guess; a
/// backend that does not resolve keeps its share of the connections and refuses it (Gateway API, HTTPBackendRef).
package enum MeshRouting {}
