/// # MeshNet: connections
///
/// Accepts on handed-over listeners, asks the kernel what the application dialled, dials an endpoint with a socket of the
/// source's namespace, and copies bytes both ways until both ends are done.
///
/// Read in this order: `AcceptedFlow` (what a connection is), `RelayMachine` (the life of a relay), `UpstreamStock`
/// (sockets of other namespaces), then the drivers: `RelayLoop` (what one event loop knows), `RelayConnection` (one
/// connection), `RelayHandler` (the bytes), `Relay` (all loops and listeners).
///
/// Invariants: a connection and its upstream live on one loop and touch nothing else; the table of a loop is replaced by
/// a message to that loop; a failure on one side is an RST on the other, never a clean end; a descriptor has one owner.
package enum MeshNet {}
