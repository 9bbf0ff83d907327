/// # MeshPolicy: what an authorization policy means
///
/// Pure decisions over `PolicyEntry`, used by the datapath tables, the node proxy and dry runs alike, so that they cannot
/// disagree. Floor 3: imports MeshBase and MeshSnapshot only.
///
/// Read in this order: `Reason`, `PolicySource`, `PolicyVerdict`, `PolicyEvaluation` (the meaning, rule by rule),
/// `SourceIndex` (which predicates a source satisfies), `SourceClasses` (sources that no predicate tells apart),
/// `NetworkClasses` (the same for addresses from outside), `PolicyTable` (the meaning as few rows for a four-step
/// look-up).
///
/// Invariants:
/// - `evaluate` is the meaning. `PolicyTable` equals it for every source and port (property tests).
/// - Every table has a row for (any class, any port): a look-up always ends in a verdict.
/// - What cannot be built (too many rows) is a table that refuses everything, never a shorter one.
package enum MeshPolicy {}
