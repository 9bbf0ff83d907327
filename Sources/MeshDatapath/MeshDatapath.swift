/// # MeshDatapath: entries to what the kernel looks up
///
/// Pure values and decisions; the agent's drivers carry them out. Floor 4: imports CMeshABI (layouts only), MeshBase,
/// MeshSnapshot, MeshPolicy.
///
/// Read in this order: `LocalWorkload` and `ResolvedSnapshot` (what the control plane said plus what this node knows),
/// `AccessDecision` (what policy says between two parties on this node), `Identifiers` (names to numbers),
/// `Plan` and `MapChanges` (what to write, in which order), `DatapathPlanner` (desired tables and their difference),
/// `ConnectionCut` (which connections end after a change), `Explanation` (the same decisions in words).
///
/// Invariants:
/// - Numeric ids exist on one node only; they are never 0 and not reused within 60 s.
/// - Steps of a plan are make-before-break: what a row refers to is written before the row, and deleted after it.
/// - At most two policy generations are alive.
/// - A missing row is a refusal, never a pass.
package enum MeshDatapath {}
