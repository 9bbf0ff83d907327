/// # MeshControlPlane: from files to agents
///
/// The role of `martlet-control`: takes what the store compiled and serves it to agents. Floor 6: services and wiring;
/// what a resource means is `MeshCompiler`'s, what is kept while a file is broken is `MeshStore`'s, how an agent is kept
/// up to date is `MeshSync`'s.
///
/// Read in this order: `ControlPlane`, `Publisher`, `ControlState`, `ControlReports`, `Snapshot+Status`, `StateDirectory`, `ResourceCheck`;
/// `Authority/AuthorityOffice` (who signs; `+Work`, `AuthorityDirectory`, `SigningFile`, `AuthorityClock`), `Authority/IdentityOffice` (who
/// gets a certificate), `Authority/AuthorityReports`.
///
/// Invariants:
/// - The epoch grows with each start, whatever the clock does.
/// - Nothing is served before the store has given a complete result; an empty or unreachable store gives none.
package enum MeshControlPlane {}
