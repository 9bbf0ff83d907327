/// # MeshDNS: names
///
/// DNS messages, the zone of mesh names, and the decisions of the resolver that stands between a workload and the host's
/// name servers. Floor 3: bytes and values in, actions out; no socket, no clock, no pointer.
///
/// Read in this order: `DNSName` (names), `DNSReader` and `DNSWriter` (bytes), `DNSMessage` (a whole message), `EDNS`,
/// `DNSQuery` (what a client asked), `DNSReply` (what an upstream answered), `MeshZone` (names of services and their
/// answers), `ResolverMachine` (who is asked, who is answered, when it is given up), `DNSStreamFraming` (messages on TCP),
/// `ResolverConfiguration` (resolv.conf).
///
/// Invariants: bytes of a client or an upstream can be anything and end in a value or an error, in time bounded by their
/// number; compression pointers only lead backwards; what is not a mesh name is forwarded, and its answer passed on,
/// byte for byte but for the message's id; an answer counts only if it comes from the address that was asked, on the
/// socket that asked, with the id and the question that were sent; no answer gives anybody an identity: policy never
/// reads a name.
package enum MeshDNS {}
