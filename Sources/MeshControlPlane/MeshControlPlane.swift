/// # MeshControlPlane: from files to agents
///
/// The role of `martlet-control`: takes what the store compiled, keeps what must survive a restart, and serves it to
/// agents. Floor 6: services and wiring; what a resource means is `MeshCompiler`'s, how an agent is kept up to date is
/// `MeshSync`'s.
///
/// Read in this order: `Publication` (what is served, and what is not), `ProblemLog`, `StateDirectory`, `ControlPlane`,
/// `ReadyNotice`.
///
/// Invariants:
/// - An address is on disk before an agent hears of it, so a restart gives no service another address.
/// - The epoch grows with each start, whatever the clock does.
/// - A store without a single resource is never served: it cannot be told from a store that is not mounted.
package enum MeshControlPlane {}
