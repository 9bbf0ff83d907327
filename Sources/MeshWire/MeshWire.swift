/// # MeshWire: delta sessions over gRPC, reports over HTTP/1
///
/// Gives the machines of `MeshSync` bytes and time: `envoy.service.discovery.v3.AggregatedDiscoveryService`, and statuses of
/// workloads beside it, on a Unix socket that only root and the control plane's own user may use, and over mutual TLS 1.3 on the
/// network. `Identity/` is that TLS, and how certificates are asked for. `HTTP/` is a small server for what daemons tell of
/// themselves. Floor 5; imports gRPC, NIO and NIOSSL.
///
/// Read in this order: `DiscoveryMessages` (what stands in the bytes), `EncodedCatalogue`, `CatalogueBoard`,
/// `ServerStream`, `DiscoveryServer`; `ClientDriver`, `DiscoveryClient`; `StatusMessages`, `StatusFeed`, `StatusBoard`;
/// `UnixListener`, `PeerCheck`; `Identity/IdentityAuthority`, `Identity/IdentityMessages`, `Identity/ClientCredential`, `Identity/WireTLS`,
/// `Identity/WirePeer`, `Identity/IdentityEndpoint`, `Identity/IdentityClient`; `HTTP/ReportServer`, `HTTP/ReportHandler`, `HTTP/ReportWriter`.
///
/// Invariants:
/// - An entry is encoded once per content, whatever the number of streams.
/// - A slow agent costs one catalogue reference: updates that it missed are merged, not queued.
/// - A node speaks for itself alone: over TLS its name is what its certificate says, whatever its messages say.
/// - No message of a peer traps: what cannot be decoded ends the stream, an entry that cannot be decoded is rejected.
package enum MeshWire {
  static let service = "envoy.service.discovery.v3.AggregatedDiscoveryService"
  static let method = "DeltaAggregatedResources"
  static let statusService = "martlet.status.v1.WorkloadStatusService"
  static let statusMethod = "Report"
  static let identityService = "martlet.identity.v1.IdentityService"
}
