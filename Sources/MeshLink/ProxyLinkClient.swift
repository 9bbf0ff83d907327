import Glibc
package import Logging
package import MeshBase
package import MeshSnapshot
package import NIOCore
import NIOPosix

/// What the proxy hears from the agent.
package enum AgentLinkEvent: Sendable {
  /// A (new) agent is there and spoke: one that closes the connection without a word gives nothing, and takes nothing away.
  /// Upstream sockets that an earlier one gave bear its numbers: drop them. Comes before anything else of the new connection.
  case connected
  /// Connections go on; the link tries again by itself.
  case disconnected(cause: String)
  /// A complete revision, to take effect now.
  case snapshot(Snapshot, revision: UInt64)
  case withdraw(workload: UInt32)
  case name(workload: UInt32, ResourceName)
  /// With what an identity is proved from here on.
  case identity(IdentityMaterial)
  /// Whom to believe from here on.
  case trust([TrustMaterial])
  /// Keys of other identities are no longer wanted.
  case retainIdentities([SPIFFEID])
  case retainListeners(cookies: [UInt64])
  case retainNames(cookies: [UInt64])
  case nameServers(cookie: UInt64, servers: [SocketEndpoint])
  /// Another proxy took over: accept no more, and end within this time.
  case drain(milliseconds: UInt64)
  /// Descriptors, the receiver's from here on. On the thread that reads them, unless they had to wait for an order, and
  /// `connected` as well if they are the agent's first word; all others come on the link's event loop.
  case descriptors(DescriptorHeader, [CInt])
}

/// The proxy's end of the two sockets: connects, says hello, and does it again whenever the agent went away.
package final class ProxyLinkClient: Sendable {
  package struct Configuration: Sendable {
    package var runDirectory: String
    package var version: String
    /// Pause before a new try: doubles from the first to the second. Connections that need a socket of the agent wait for the
    /// link, so an agent that was away for long has to be found soon.
    package var firstBackoff: TimeAmount
    package var lastBackoff: TimeAmount
    /// The protocol (`LinkCodec.spoken`).
    package var spoken = LinkCodec.protocolVersion

    package init(
      runDirectory: String, version: String = MeshBase.version, firstBackoff: TimeAmount = .milliseconds(50),
      lastBackoff: TimeAmount = .milliseconds(200)
    ) {
      self.runDirectory = runDirectory
      self.version = version
      self.firstBackoff = firstBackoff
      self.lastBackoff = lastBackoff
    }
  }

  private let loop: any EventLoop
  private let core: NIOLoopBoundBox<AgentLinkCore>

  package init(
    configuration: Configuration, entries: any EntryCoder = CanonicalEntryCoder(), group: any EventLoopGroup,
    logger: Logger,
    onEvent: @escaping @Sendable (AgentLinkEvent) -> Void
  ) {
    let loop = group.next()
    self.loop = loop
    self.core = NIOLoopBoundBox.makeBoxSendingValue(
      AgentLinkCore(
        configuration: configuration, codec: LinkCodec(entries: entries), loop: loop, logger: logger,
        onEvent: onEvent), eventLoop: loop)
  }

  package func start() {
    self.loop.execute { self.core.value.connect() }
  }

  /// Says, now and whenever it connects again, that this proxy accepts no more.
  package func sayDraining() {
    self.loop.execute { self.core.value.sayDraining() }
  }

  /// Ends the link for good.
  package func stop() {
    self.loop.execute { self.core.value.stop() }
  }

  /// Without a connection the message is dropped: after the next `connected` the proxy says again what still holds.
  package func send(_ message: ProxyMessage) {
    self.loop.execute { self.core.value.send(message) }
  }
}

/// What `ProxyLinkClient` does on its event loop.
final class AgentLinkCore {
  private let configuration: ProxyLinkClient.Configuration
  let codec: LinkCodec
  private let loop: any EventLoop
  let logger: Logger
  private let onEvent: @Sendable (AgentLinkEvent) -> Void

  private var stream: (any Channel)?
  /// Shut down here while its thread reads it, and closed here when the thread is done with it: never on another thread.
  private var descriptorSocket: CInt?
  /// Of the connection that is there.
  private var gate: DescriptorGate?
  private var attempt: UInt64 = 0
  private var backoff: TimeAmount
  private var isStopped = false
  private var isDraining = false
  private var assembler = RevisionAssembler()

  init(
    configuration: ProxyLinkClient.Configuration, codec: LinkCodec, loop: any EventLoop, logger: Logger,
    onEvent: @escaping @Sendable (AgentLinkEvent) -> Void
  ) {
    self.configuration = configuration
    self.codec = codec
    self.loop = loop
    self.logger = logger
    self.onEvent = onEvent
    self.backoff = configuration.firstBackoff
  }

  func connect() {
    guard !self.isStopped, self.stream == nil, self.descriptorSocket == nil else { return }
    self.attempt &+= 1
    do {
      let descriptors = try UnixSocket.connect(
        path: self.configuration.runDirectory + "/" + MeshLink.descriptorSocketName,
        type: CInt(SOCK_SEQPACKET.rawValue), blocking: true)
      do throws(MeshError) {
        let stream = try UnixSocket.connect(
          path: self.configuration.runDirectory + "/" + MeshLink.streamSocketName, type: CInt(SOCK_STREAM.rawValue),
          blocking: false)
        self.adopt(stream: stream, descriptors: descriptors, attempt: self.attempt)
      } catch {
        close(descriptors)
        throw error
      }
    } catch {
      self.retry("\(error)")
    }
  }

  private func adopt(stream: CInt, descriptors: CInt, attempt: UInt64) {
    self.descriptorSocket = descriptors
    self.assembler.reset()
    let handler = NIOLoopBound(AgentStreamHandler(core: self, attempt: attempt), eventLoop: self.loop)
    let adopted = ClientBootstrap(group: self.loop)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(handler.value) }
      }
      .withConnectedSocket(stream)
    adopted.assumeIsolated().whenComplete { result in
      guard !self.isStopped, case .success(let channel) = result else {
        close(descriptors)
        self.descriptorSocket = nil
        if case .success(let channel) = result { channel.close(promise: nil) }
        return self.retry("the stream could not be adopted")
      }
      self.connected(channel, descriptors, attempt)
    }
  }

  private func connected(_ channel: any Channel, _ descriptors: CInt, _ attempt: UInt64) {
    self.stream = channel
    let loop = self.loop
    let core = NIOLoopBound(self, eventLoop: loop)
    let gate = DescriptorGate(
      first: { [onEvent = self.onEvent] in onEvent(.connected) },
      deliver: { [onEvent = self.onEvent] header, received in onEvent(.descriptors(header, received)) })
    self.gate = gate
    let receiver = DescriptorReceiver(
      socket: descriptors, received: { gate.arrived($0, $1) },
      ended: { error in
        gate.end()
        loop.execute { core.value.descriptorsEnded(attempt, descriptors, error) }
      })
    do {
      try receiver.start()
    } catch {
      close(descriptors)
      self.descriptorSocket = nil
      channel.close(promise: nil)
      return
    }
    self.send(
      .hello(
        process: getpid(), version: self.configuration.version, isDraining: self.isDraining,
        spoken: self.configuration.spoken))
  }

  /// The reading thread is done with the socket.
  private func descriptorsEnded(_ attempt: UInt64, _ socket: CInt, _ error: MeshError?) {
    close(socket)
    guard attempt == self.attempt else { return }
    if let error { self.logger.error("bad message of descriptors", metadata: [LogKey.error: "\(error)"]) }
    self.descriptorSocket = nil
    if let stream = self.stream {
      stream.close(promise: nil)
    } else {
      self.retry("the agent closed the descriptor link")
    }
  }

  func streamEnded(_ attempt: UInt64) {
    guard attempt == self.attempt, self.stream != nil else { return }
    self.stream = nil
    if let descriptors = self.descriptorSocket {
      shutdown(descriptors, CInt(SHUT_RDWR))
    } else {
      self.retry("the agent closed the link")
    }
  }

  private func retry(_ cause: String) {
    self.onEvent(.disconnected(cause: cause))
    guard !self.isStopped else { return }
    let pause = self.backoff
    self.backoff = min(self.backoff * 2, self.configuration.lastBackoff)
    self.loop.assumeIsolated().scheduleTask(in: pause) { self.connect() }
  }

  func sayDraining() {
    self.isDraining = true
    self.send(.draining)
  }

  func stop() {
    self.isStopped = true
    self.stream?.close(promise: nil)
  }

  func send(_ message: ProxyMessage) {
    guard let stream = self.stream else { return }
    var buffer = ByteBuffer()
    self.codec.write(message, to: &buffer)
    stream.writeAndFlush(buffer, promise: nil)
  }

  func received(_ frame: LinkFraming.Frame) throws(MeshError) {
    // The agent speaks to us: the next failure starts with a short pause again.
    self.backoff = self.configuration.firstBackoff
    let message = try self.codec.agentMessage(frame)
    self.gate?.spoke()
    switch message {
    case .begin(let revision, let isFull): try self.assembler.begin(revision: revision, isFull: isFull)
    case .upsert(let entry): try self.assembler.upsert(entry)
    case .remove(let key): try self.assembler.remove(key)
    case .commit(let revision):
      self.onEvent(.snapshot(try self.assembler.commit(revision: revision), revision: revision))
    case .withdraw(let workload): self.obey(message, .withdraw(workload: workload))
    case .name(let workload, let name): self.obey(message, .name(workload: workload, name))
    case .retainListeners(let cookies): self.obey(message, .retainListeners(cookies: cookies))
    case .identity(let material): self.obey(message, .identity(material))
    case .trust(let domains): self.obey(message, .trust(domains))
    case .retainIdentities(let identities): self.onEvent(.retainIdentities(identities))
    case .retainNames(let cookies): self.obey(message, .retainNames(cookies: cookies))
    case .nameServers(let cookie, let servers): self.onEvent(.nameServers(cookie: cookie, servers: servers))
    case .drain(let milliseconds): self.onEvent(.drain(milliseconds: milliseconds))
    }
  }

  /// Obeyed means that the event was handled: its handler obeys before it returns, or in the order of what it is told.
  private func obey(_ order: AgentMessage, _ event: AgentLinkEvent) {
    guard let gate = self.gate else { return self.onEvent(event) }
    gate.obey(order) { self.onEvent(event) }
  }

  func failed(_ error: MeshError) {
    self.logger.error("bad frame from the agent", metadata: [LogKey.error: "\(error)"])
    if case .collecting(let revision) = self.assembler.phase {
      self.send(.rejected(revision: revision, message: error.description))
    }
  }
}

/// Bytes of `proxy.sock` to messages, at the proxy.
final class AgentStreamHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let core: AgentLinkCore
  private let attempt: UInt64
  private var framing = LinkFraming()
  private var hasFailed = false

  init(core: AgentLinkCore, attempt: UInt64) {
    self.core = core
    self.attempt = attempt
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !self.hasFailed else { return }
    self.framing.append(self.unwrapInboundIn(data))
    do {
      while let frame = try self.framing.next() { try self.core.received(frame) }
    } catch {
      self.hasFailed = true
      self.core.failed(error)
      context.close(promise: nil)
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    self.core.streamEnded(self.attempt)
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }
}
