/// # MeshRouting: where a connection goes, and a request
///
/// A resolved snapshot, compiled to a flat table that the node proxy looks up, and the rules for trying endpoints. Pure:
/// randomness and time come in as values.
///
/// Read in this order: `RoutingTable` (what is looked up), `RoutingTable+Build` (how it is made of entries),
/// `ConnectAttempts` (what to do when an endpoint cannot be reached). For requests: `HTTPRoutes` (a service port's tables),
/// `HTTPRouteTable` (the order of rules, and a look-up on bytes), `HTTPRouteTable+Build`, `HTTPRouteAction` (a backend by
/// weight, or a refusal with its status), `HTTPEffects` (filters folded), `HTTPRedirect+Location`, `HTTPCORS`.
///
/// Who of the endpoints: `EndpointGroup` and its `choose` (balancers as rejection sampling over `EndpointView`, which says who is
/// left out), `UpstreamRecord` and `EndpointRecord` (numbers that all tables and loops share), `UpstreamHealth` (ejections),
/// `PendingQueue` and `UpstreamRecord+Pending` (who waits for a connection).
///
/// A driver, of a request: `share` → `share.record.admit(.requests)` and `route.record.countRequest` → `ConnectAttempts` with
/// `share.keys?.hash(of:)` → for each endpoint `choice.attempt()`, then on the ticket `answerBegan` at the first byte and `ended`
/// at the last, or when it failed → for a retry `record.admit(.retries)` and `route.record.affordsRetry`. Permits and tickets
/// count while they live and cannot be copied. `RoutingTable.tick` once a second.
///
/// A request: `CanonicalPath.form` (MeshBase) → `HTTPRoutes.table(forClientsIn:)` → `match` → the action's
/// `effects` (redirect, CORS) → `pick` → the backend's `effects`, and `RoutingTable.share(of:at:isV4:)` → `ConnectAttempts`.
/// `RoutingTable.route(to:)` gives the `HTTPRoutes` of what was dialled; they are compiled anew only if their service changed.
///
/// Invariants: a table never changes; a choice falls on a ready endpoint or is a refusal with a reason, never a guess; a
/// backend that does not resolve keeps its share of the connections and refuses it (Gateway API, HTTPBackendRef). A
/// look-up of a request makes no String, and takes time linear in its bytes; `HTTPRouteReferenceTests` holds the table against
/// the specification's text.
package enum MeshRouting {}
