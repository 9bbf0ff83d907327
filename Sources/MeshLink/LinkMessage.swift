package import MeshBase
package import MeshRouting
package import MeshSnapshot
package import MeshTelemetry

/// What the agent says to the proxy.
package enum AgentMessage: Equatable, Sendable {
  /// Changes follow. `isFull`: they start from nothing; else from the revision committed before.
  case begin(revision: UInt64, isFull: Bool)
  case upsert(VersionedEntry)
  case remove(EntryKey)
  /// The changes since `begin` are complete: they take effect now, together.
  case commit(revision: UInt64)
  /// The workload is gone: close its listeners, its connections and its stock of upstream sockets.
  case withdraw(workload: UInt32)
  /// Who a number is, from here on: connections come with the number only.
  case name(workload: UInt32, ResourceName)
  /// With what a workload's identity is proved from here on: one that goes before its listeners, or takes another's place.
  case identity(IdentityMaterial)
  /// Whom to believe from here on: nobody else.
  case trust([TrustMaterial])
  /// No workload here has another identity. Sent after a (re)connect, when every identity was.
  case retainIdentities([SPIFFEID])
  /// Listeners of other namespaces than these are no longer wanted. Sent after a (re)connect, when every listener was.
  case retainListeners(cookies: [UInt64])
  /// The same for the sockets that names are answered on: not every namespace has some.
  case retainNames(cookies: [UInt64])
  /// Name servers that are asked on behalf of the namespace, in this order.
  case nameServers(cookie: UInt64, servers: [SocketEndpoint])
  /// Another proxy took over: accept no more, finish what is open, end. What is still open then is closed.
  case drain(milliseconds: UInt64)

  /// Has to be obeyed before what is handed over after it: it closes sockets that were handed over before, or says what has to
  /// be known of the connections that come.
  var precedesDescriptors: Bool {
    switch self {
    case .withdraw, .name, .retainListeners, .retainNames, .identity, .trust: true
    case .begin, .upsert, .remove, .commit, .nameServers, .drain, .retainIdentities: false
    }
  }

  /// Part of every protocol (`LinkCodec+Core`).
  var isCore: Bool {
    switch self {
    case .withdraw, .drain: true
    case .begin, .upsert, .remove, .commit, .name, .retainListeners, .retainNames, .nameServers, .identity, .trust,
      .retainIdentities:
      false
    }
  }

  /// Of those, what closes sockets.
  var closesDescriptors: Bool {
    switch self {
    case .withdraw, .retainListeners, .retainNames: true
    case .begin, .upsert, .remove, .commit, .name, .nameServers, .drain, .identity, .trust, .retainIdentities: false
    }
  }

  /// Whether these descriptors, sent before it, are among those that it closes. Of stock its receiver knows what it still wants.
  func closes(_ header: DescriptorHeader) -> Bool {
    switch self {
    case .withdraw(let workload): !header.kind.isStock && header.workload == workload
    case .retainListeners(let cookies): header.kind.isListener && !cookies.contains(header.namespaceCookie)
    case .retainNames(let cookies): header.kind.isOfNames && !cookies.contains(header.namespaceCookie)
    case .begin, .upsert, .remove, .commit, .name, .nameServers, .drain, .identity, .trust, .retainIdentities: false
    }
  }
}

/// What the proxy says to the agent.
package enum ProxyMessage: Equatable, Sendable {
  /// First on every connection. `process` is the proxy's own view; the agent trusts SO_PEERCRED. `isDraining`: it accepts no
  /// more, whatever an earlier agent knew. `spoken`: the protocol of all that follows.
  case hello(process: Int32, version: String, isDraining: Bool, spoken: UInt16 = LinkCodec.protocolVersion)
  case applied(revision: UInt64)
  /// The revision could not be taken; the proxy goes on with the one before and closes the connection.
  case rejected(revision: UInt64, message: String)
  case stockWanted(StockRequest)
  case listenerAccepted(ListenerKey)
  case stats(ProxyStats)
  /// What the name server and the access log did since the proxy started, by stable words.
  case nameStats([NamedCount])
  /// HTTP and gRPC requests since the last of these messages.
  case requests([RequestCount])
  /// What the calls of each workload cost since the last of these messages, and what there is of them now.
  case costs([WorkloadCost])
  /// How endpoints and their service ports are, as far as there is something to say. `isFirst`: what was told before is over;
  /// else it goes on.
  case upstreams(isFirst: Bool, [UpstreamState])
  /// From here on it accepts no more: told to by the agent, or by a signal.
  case draining
}

package struct NamedCount: Hashable, Sendable {
  package var name: String
  package var count: UInt64

  package init(_ name: String, _ count: UInt64) {
    self.name = name
    self.count = count
  }
}

/// `count` fresh upstream sockets are wanted, tagged with `workload`, made in its namespace or in the destination's.
package struct StockRequest: Hashable, Sendable {
  package var workload: UInt32
  package var isV4: Bool
  package var count: UInt32
  /// UDP, to ask name servers with; else TCP.
  package var isForNames: Bool
  /// An address of the workload in whose namespace they are wanted. Nil: that of `workload`.
  package var destination: IPAddress?

  package init(
    workload: UInt32, isV4: Bool, count: UInt32, isForNames: Bool = false, destination: IPAddress? = nil
  ) {
    self.destination = destination
    self.workload = workload
    self.isV4 = isV4
    self.count = count
    self.isForNames = isForNames
  }
}

/// Names a listener: one per namespace, family, and what comes there. The cookie is the kernel's and never reused; `workload` is the agent's
/// number for it and may differ after the agent's restart.
package struct ListenerKey: Hashable, Sendable {
  package var workload: UInt32
  package var namespaceCookie: UInt64
  package var isV4: Bool
  /// Tunnels of other hosts come there (HBONE); else connections of the namespace's own processes.
  package var isTunnel: Bool

  package init(workload: UInt32, namespaceCookie: UInt64, isV4: Bool, isTunnel: Bool = false) {
    self.isTunnel = isTunnel
    self.workload = workload
    self.namespaceCookie = namespaceCookie
    self.isV4 = isV4
  }
}

/// Totals since the proxy started, but for `active`.
package struct ProxyStats: Equatable, Sendable {
  package var active: UInt64
  package var accepted: UInt64
  /// Connections that reached an upstream.
  package var relayed: UInt64
  package var sentBytes: UInt64
  package var receivedBytes: UInt64
  /// Refused connections by reason word, sorted.
  package var refused: [Refused]

  package struct Refused: Hashable, Sendable {
    package var reason: String
    package var count: UInt64

    package init(reason: String, count: UInt64) {
      self.reason = reason
      self.count = count
    }
  }

  package init(
    active: UInt64 = 0, accepted: UInt64 = 0, relayed: UInt64 = 0, sentBytes: UInt64 = 0, receivedBytes: UInt64 = 0,
    refused: [Refused] = []
  ) {
    self.active = active
    self.accepted = accepted
    self.relayed = relayed
    self.sentBytes = sentBytes
    self.receivedBytes = receivedBytes
    self.refused = refused
  }
}
