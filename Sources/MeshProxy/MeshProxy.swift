/// # MeshProxy: the node proxy
///
/// Puts the parts together: the link to the agent brings entries and descriptors, entries become a table for every loop,
/// listeners and upstream sockets go to the relay. Without capabilities, without keys, without BPF; what it may do came
/// as a descriptor.
///
/// Read in this order: `ProxyConfiguration`, `Proxy` (the service), `ProxyListeners` and `ProxyNames` (what was handed over).
///
/// Invariants: the agent's death changes nothing for connections and listeners; a new agent finds its listeners in use;
/// upstream sockets of an earlier agent are never dialled, because its workload numbers may mean others now.
package enum MeshProxy {}
