import Glibc
package import Logging
package import MeshBase
package import MeshRouting
package import MeshSnapshot
package import MeshTelemetry
package import NIOCore
import NIOPosix

/// What the agent hears from its proxy. Delivered on the link's event loop, in order: do not block there.
package enum ProxyLinkEvent: Equatable, Sendable {
  /// A proxy said hello and has both sockets. Whatever an earlier one had is gone: say who is who and send every listener again
  /// (then `retainListeners` and `retainNames`), and stock as it asks. The published snapshot is sent by the link itself.
  case connected(process: Int32, version: String)
  case applied(revision: UInt64)
  case rejected(revision: UInt64, message: String)
  case stockWanted(StockRequest)
  case listenerAccepted(ListenerKey)
  case stats(ProxyStats)
  case nameStats([NamedCount])
  case upstreams(isFirst: Bool, [UpstreamState])
  /// Of any proxy, also of one that does not serve.
  case requests([RequestCount])
  case costs([WorkloadCost])
  case disconnected(process: Int32)
  /// Of a proxy that does not serve; everything above is of the one that does.
  case aside(process: Int32, Aside)

  package enum Aside: Equatable, Sendable {
    /// A candidate has the snapshot: it can be promoted.
    case ready
    case rejected(revision: UInt64, message: String)
    case stockWanted(StockRequest)
    case stats(ProxyStats)
    /// It accepts no more.
    case draining
    /// It speaks another protocol: it is given sockets for what it accepts, and nothing else.
    case foreign(version: String, spoken: UInt16)
  }
}

/// The agent's end of the two sockets. Every method may be called from any thread or task; all work happens on one event
/// loop, in the order of the calls.
package final class ProxyLinkServer: Sendable {
  package struct Configuration: Sendable {
    /// Where both sockets are made. It must exist and let the proxy's user through.
    package var runDirectory: String
    package var proxyUser: UInt32
    package var proxyGroup: UInt32
    /// How long a connection may take to say hello on both sockets.
    package var helloTimeout: TimeAmount
    /// A further check of a peer of the right user: is the process in the proxy's cgroup?
    package var isAllowed: @Sendable (PeerCredentials) -> Bool
    /// What a process that says hello is there for. Called on the link's event loop.
    package var role: @Sendable (Int32) -> ProxyRole
    /// How long one that serves may go on with what it has, when another comes to serve without being promoted.
    package var drainMilliseconds: UInt64
    /// The protocol (`LinkCodec.spoken`).
    package var spoken = LinkCodec.protocolVersion

    package init(
      runDirectory: String, proxyUser: UInt32, proxyGroup: UInt32, helloTimeout: TimeAmount = .seconds(5),
      isAllowed: @escaping @Sendable (PeerCredentials) -> Bool = { _ in true },
      role: @escaping @Sendable (Int32) -> ProxyRole = { _ in .serving }, drainMilliseconds: UInt64 = 300_000
    ) {
      self.role = role
      self.drainMilliseconds = drainMilliseconds
      self.runDirectory = runDirectory
      self.proxyUser = proxyUser
      self.proxyGroup = proxyGroup
      self.helloTimeout = helloTimeout
      self.isAllowed = isAllowed
    }
  }

  private let loop: any EventLoop
  private let core: NIOLoopBoundBox<ProxyLinkCore>
  private let configuration: Configuration

  package init(
    configuration: Configuration, entries: any EntryCoder = CanonicalEntryCoder(), group: any EventLoopGroup,
    logger: Logger,
    onEvent: @escaping @Sendable (ProxyLinkEvent) -> Void
  ) {
    let loop = group.next()
    self.loop = loop
    self.configuration = configuration
    self.core = NIOLoopBoundBox.makeBoxSendingValue(
      ProxyLinkCore(
        configuration: configuration, codec: LinkCodec(entries: entries, spoken: configuration.spoken), loop: loop,
        logger: logger,
        onEvent: onEvent), eventLoop: loop)
  }

  /// Makes both sockets and accepts on them.
  package func start() async throws {
    _ = try await self.repair()
  }

  /// Makes a socket again whose file somebody removed or replaced. Connections through the old one go on.
  ///
  /// - Returns: the paths that were made.
  package func repair() async throws -> [String] {
    var made: [String] = []
    for door in Door.allCases {
      let path = self.configuration.runDirectory + "/" + door.socketName
      guard try await self.loop.submit({ !self.core.value.isOpen(door, path) }).get() else { continue }
      let listener = try UnixSocket.listen(
        path: path, type: door.type, user: self.configuration.proxyUser, group: self.configuration.proxyGroup)
      let core = self.core
      let channel = try await ServerBootstrap(group: self.loop)
        .childChannelInitializer { channel in core.value.accepted(channel, at: door) }
        .withBoundSocket(listener.descriptor).get()
      try await self.loop.submit { self.core.value.opened(door, channel, listener.identity) }.get()
      made.append(path)
    }
    return made
  }

  enum Door: CaseIterable {
    case stream, descriptors

    var socketName: String {
      switch self {
      case .stream: MeshLink.streamSocketName
      case .descriptors: MeshLink.descriptorSocketName
      }
    }

    var type: CInt {
      switch self {
      case .stream: CInt(SOCK_STREAM.rawValue)
      case .descriptors: CInt(SOCK_SEQPACKET.rawValue)
      }
    }
  }

  /// Closes both sockets and the proxy's connections. The socket files stay: the next agent replaces them.
  package func stop() async {
    try? await self.loop.flatSubmit { self.core.value.stop() }.get()
  }

  /// The snapshot that the proxy shall have: sent at once as the difference to what it has, in full when it connects.
  /// Revisions rise; one that is not higher than the last is ignored.
  package func publish(_ snapshot: Snapshot, revision: UInt64) {
    self.loop.execute { self.core.value.publish(snapshot, revision: revision) }
  }

  /// The same if it is known what leads to it from what was published last, which costs what changed.
  package func publish(_ snapshot: Snapshot, change: Delta, revision: UInt64) {
    self.loop.execute { self.core.value.publish(snapshot, change: change, revision: revision) }
  }

  /// Hands a copy of a listening socket down. `descriptor` stays the caller's. Without a proxy nothing happens: send
  /// again at `connected`.
  package func sendListener(_ descriptor: CInt, _ key: ListenerKey) throws(MeshError) {
    try self.send(descriptor, key.isTunnel ? .tunnelListener : .listener, key)
  }

  /// The same for a socket that names are answered on, UDP and bound or TCP and listening.
  package func sendNameListener(_ descriptor: CInt, isDatagram: Bool, _ key: ListenerKey) throws(MeshError) {
    try self.send(descriptor, isDatagram ? .nameDatagrams : .nameListener, key)
  }

  private func send(_ descriptor: CInt, _ kind: DescriptorHeader.Kind, _ key: ListenerKey) throws(MeshError) {
    let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
    guard copy >= 0 else {
      throw MeshError(
        .exhausted, "listener of workload \(key.workload)", "cannot be copied", cause: String(cString: strerror(errno)))
    }
    let header = DescriptorHeader(
      kind: kind, isV4: key.isV4, workload: key.workload, count: 1, namespaceCookie: key.namespaceCookie)
    self.loop.execute { self.core.value.send(header, [copy]) }
  }

  /// Hands fresh upstream sockets down, tagged with {workload, leg} before. `descriptors` are the link's from here on: it
  /// closes them when they are sent, or if there is no proxy.
  ///
  /// - process: one that does not serve; nil: the one that does.
  package func sendStock(
    _ descriptors: [CInt], workload: UInt32, leg: UInt8, isV4: Bool, destination: IPAddress? = nil,
    namespaceCookie: UInt64 = 0, to process: Int32? = nil
  ) {
    self.send(
      descriptors,
      DescriptorHeader(
        kind: .stock, isV4: isV4, leg: leg, workload: workload, count: 0, namespaceCookie: namespaceCookie,
        destination: destination),
      to: process)
  }

  /// The same for UDP sockets of the key's namespace, to ask name servers with.
  package func sendNameStock(_ descriptors: [CInt], _ key: ListenerKey, to process: Int32? = nil) {
    self.send(
      descriptors,
      DescriptorHeader(
        kind: .nameStock, isV4: key.isV4, workload: key.workload, count: 0, namespaceCookie: key.namespaceCookie),
      to: process)
  }

  /// Who is asked on behalf of a namespace. Say it again at `connected`.
  package func useNameServers(_ servers: [SocketEndpoint], namespaceCookie: UInt64) {
    self.loop.execute { self.core.value.send(.nameServers(cookie: namespaceCookie, servers: servers)) }
  }

  private func send(_ descriptors: [CInt], _ header: DescriptorHeader, to process: Int32? = nil) {
    self.loop.execute {
      var rest = descriptors[...]
      while !rest.isEmpty {
        let part = Array(rest.prefix(MeshLink.descriptorsPerMessage))
        rest = rest.dropFirst(part.count)
        var header = header
        header.count = UInt32(part.count)
        self.core.value.send(header, part, to: process)
      }
    }
  }

  /// The workload is gone: the proxy closes its listeners, connections and stock.
  package func withdraw(workload: UInt32) {
    self.loop.execute { self.core.value.sendAll(.withdraw(workload: workload)) }
  }

  /// Who the number of a workload is. Say it before its listeners, and again at `connected`.
  package func name(workload: UInt32, _ name: ResourceName) {
    self.loop.execute { self.core.value.sendAll(.name(workload: workload, name)) }
  }

  /// With what an identity is proved. Say it before the listeners of its workloads, and again at `connected`.
  package func prove(_ material: IdentityMaterial) {
    self.loop.execute { self.core.value.sendAll(.identity(material)) }
  }

  /// Whom to believe. The same.
  package func trust(_ domains: [TrustMaterial]) {
    self.loop.execute { self.core.value.sendAll(.trust(domains)) }
  }

  /// The proxy forgets the keys of all others.
  package func retainIdentities(_ identities: [SPIFFEID]) {
    self.loop.execute { self.core.value.sendAll(.retainIdentities(identities)) }
  }

  /// After a (re)connect, when every listener was sent: the proxy closes listeners of other namespaces, those of
  /// workloads that went while no agent ran.
  package func retainListeners(namespaceCookies: [UInt64]) {
    self.loop.execute { self.core.value.sendAll(.retainListeners(cookies: namespaceCookies)) }
  }

  /// The candidate serves from here on: `connected` comes for it. The one that served goes on accepting beside until it is
  /// told to drain; promoted again, it is as before.
  package func promote(_ process: Int32) {
    self.loop.execute { self.core.value.promote(process) }
  }

  /// One that serves no more shall accept no more, and end within this time.
  package func drain(_ process: Int32, milliseconds: UInt64) {
    self.loop.execute { self.core.value.drain(process, milliseconds: milliseconds) }
  }

  /// The same for sockets that names are answered on.
  package func retainNames(namespaceCookies: [UInt64]) {
    self.loop.execute { self.core.value.sendAll(.retainNames(cookies: namespaceCookies)) }
  }
}
