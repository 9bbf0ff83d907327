package import MeshBPF
package import MeshBase
import MeshLink

/// Everything the agent is told. Every path belongs to one instance, so that several agents can share a kernel, each
/// under its own cgroup root and pin directory.
package struct AgentConfiguration: Sendable {
  /// The name under which this host's workloads are placed (`Workload.spec.node`).
  package var node: String
  /// Programs are attached to this cgroup: sockets of processes below it are seen. Nil: the cgroup2 mount.
  package var cgroupRoot: String?
  /// Agent and proxy live in `agent/` and `proxy/` below this cgroup. Nil: the agent's own cgroup.
  package var serviceCgroup: String?
  package var pinDirectory: String
  package var runDirectory: String
  package var stateDirectory: String
  /// Where the BPF objects are.
  package var objectDirectory: String
  /// Attach `edge` by a clsact filter, as kernels before 6.6 need it, where a link would do.
  package var usesEdgeFilters: Bool
  package var proxyExecutable: String
  /// The account of the proxy.
  package var proxyUser: String
  package var proxyLoops: Int
  /// What is spoken with the proxy, which is told by its option (`LinkCodec.spoken`).
  package var linkProtocol = LinkCodec.protocolVersion
  /// The proxy parses ports that speak HTTP.
  package var proxyParsesHTTP = true
  /// Of this host, where others reach it. Empty: what leads to the control plane.
  package var nodeAddresses: [IPAddress] = []
  /// Its workloads have certificates: the proxy opens and takes tunnels to and from other nodes.
  package var opensTunnels = false
  /// What else the proxy is told of requests, as its own options.
  package var proxyRequestOptions: [String] = []
  /// The file of its access log, which is made for it.
  package var accessLog: String?
  /// Names of the mesh are answered in the host's own namespace too, for its resolver.
  package var answersHost: Bool
  /// Name servers of workloads that do not say which (resolv.conf(5)).
  package var resolverFile: String
  /// How long what is open may go on in a proxy that was replaced.
  package var drainSeconds: Int
  /// Of maps that are made now; those of a predecessor keep theirs.
  package var mapSizes: MapSizes
  /// Unix socket of the control plane; nil: serve the snapshot on disk only.
  package var controlSocket: String?
  /// The control plane of another host; instead of `controlSocket`.
  package var controlPlane: SocketEndpoint?
  /// A file with the token that lets this node in, as long as it has not joined.
  package var joinTokenFile: String?
  /// Unix socket of podman's REST API, for Workloads that name a container.
  package var podmanSocket: String
  package var metricsAddress: SocketEndpoint
  package var healthAddress: SocketEndpoint
  /// How often namespaces are looked at. A vanished one is let go within this time.
  package var scanMilliseconds: Int
  /// How long an old generation stays in the maps.
  package var retireMilliseconds: Int

  package init(node: String) {
    self.node = node
    self.cgroupRoot = nil
    self.serviceCgroup = nil
    self.pinDirectory = "/sys/fs/bpf/martlet"
    self.runDirectory = "/run/martlet"
    self.stateDirectory = "/var/lib/martlet"
    self.objectDirectory = "/usr/lib/martlet/bpf"
    self.usesEdgeFilters = false
    self.proxyExecutable = "/usr/libexec/martlet-proxy"
    self.proxyUser = "martlet-proxy"
    self.proxyLoops = 0
    self.answersHost = false
    self.resolverFile = "/etc/resolv.conf"
    self.drainSeconds = 300
    self.mapSizes = .defaults
    self.controlSocket = nil
    self.podmanSocket = "/run/podman/podman.sock"
    self.metricsAddress = SocketEndpoint(IPAddress(v4: 0), MeshPort.metrics)
    self.healthAddress = SocketEndpoint(IPAddress(v4: 0), MeshPort.health)
    self.scanMilliseconds = 250
    self.retireMilliseconds = 1000
  }

  /// `NAME=ENTRIES`.
  package mutating func setMapLimit(_ text: String) throws(MeshError) { try self.mapSizes.set(text) }

  /// The node's key and certificate.
  package var identityDirectory: String { self.stateDirectory + "/identity" }
  package var snapshotPath: String { self.stateDirectory + "/snapshot" }
  package var agentSocket: String { self.runDirectory + "/agent.sock" }
}
