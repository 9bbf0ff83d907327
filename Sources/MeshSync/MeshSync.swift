/// # MeshSync: who has told whom what
///
/// The two ends of a delta session between control plane and agent, as machines: events in, one action out; no bytes, no
/// sockets, no clock, no logger. The protocol is delta xDS (envoy.service.discovery.v3) with a lane for each kind of
/// entry. Floor 3: imports MeshBase and MeshSnapshot only. `MeshWire` gives the machines bytes and time.
///
/// Read in this order: `EntryKind+Order`, `SystemVersion`, `Catalogue`, `SessionMessages`, `ServerSession`,
/// `ClientSession`, `Backoff`; `WorkloadStatus`, `StatusReporter`, `StatusLedger`.
///
/// ```
///  agent                                              control plane
///    │ subscribe *, initial versions   (each kind)  ─►  │
///    │  ◄─ config, policies   ── ack ─►                 │   upserts: what is referred to first,
///    │  ◄─ workloads          ── ack ─►                 │   the next kind after the ack
///    │  ◄─ endpoints          ── ack ─►                 │
///    │  ◄─ services           ── ack ─►                 │   now the agent is complete
///    │  ◄─ removed endpoints, workloads, policies       │   removals: what refers first
/// ```
///
/// Invariants:
/// - One response is in flight in each lane. A lane sends what is newest at that moment, so a slow agent gets fewer and
///   larger responses, never a queue.
/// - An ack carries the nonce, a nack the nonce, the reason and the rejected names; neither changes a subscription.
/// - What an agent rejected counts as not held: it is not sent again until its content changes, or on a new stream.
/// - Removals are explicit, also for names that went while the agent was away, and come only after every upsert of the
///   kinds that refer to them.
/// - Nothing is sent before the control plane has a complete catalogue, and the agent takes no removal before it has
///   heard every kind to its end on this stream.
/// - An agent never goes back to an older epoch or revision.
package enum MeshSync {}
