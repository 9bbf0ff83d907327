import Logging
import MeshBase
import MeshSnapshot
import NIOCore

/// What `ProxyLinkServer` does on its event loop. A proxy is a stream connection that said hello and a descriptor
/// connection of the same process; one is current, a newer one takes its place.
final class ProxyLinkCore {
  private let configuration: ProxyLinkServer.Configuration
  let codec: LinkCodec
  private let loop: any EventLoop
  let logger: Logger
  private let onEvent: @Sendable (ProxyLinkEvent) -> Void

  private var servers: [ProxyLinkServer.Door: (channel: any Channel, identity: UnixSocket.Identity?)] = [:]
  /// Accepted, not paired yet, by process.
  private var greeted: [Int32: (stream: any Channel, version: String)] = [:]
  private var senders: [Int32: (channel: any Channel, sender: DescriptorSender)] = [:]
  private var strangers: [ObjectIdentifier: any Channel] = [:]
  private var current: Proxy?
  private var publisher = PublishMachine()

  private struct Proxy {
    var process: Int32
    var stream: any Channel
    var descriptors: any Channel
    var sender: DescriptorSender
  }

  init(
    configuration: ProxyLinkServer.Configuration, codec: LinkCodec, loop: any EventLoop, logger: Logger,
    onEvent: @escaping @Sendable (ProxyLinkEvent) -> Void
  ) {
    self.configuration = configuration
    self.codec = codec
    self.loop = loop
    self.logger = logger
    self.onEvent = onEvent
  }

  /// Whether the file at the path still is the socket that is accepted on.
  func isOpen(_ door: ProxyLinkServer.Door, _ path: String) -> Bool {
    guard let identity = self.servers[door]?.identity else { return false }
    return identity == UnixSocket.identity(of: path)
  }

  func opened(_ door: ProxyLinkServer.Door, _ channel: any Channel, _ identity: UnixSocket.Identity?) {
    self.servers.updateValue((channel, identity), forKey: door)?.channel.close(promise: nil)
  }

  func stop() -> EventLoopFuture<Void> {
    let channels =
      self.servers.values.map(\.channel) + Array(self.strangers.values) + self.greeted.values.map(\.stream)
      + self.senders.values.map(\.channel) + (self.current.map { [$0.stream, $0.descriptors] } ?? [])
    let closed = channels.map { channel in channel.close().flatMapErrorThrowing { _ in } }
    return EventLoopFuture.andAllComplete(closed, on: self.loop)
  }

  // MARK: connections

  func accepted(_ channel: any Channel, at door: ProxyLinkServer.Door) -> EventLoopFuture<Void> {
    switch door {
    case .stream: self.accepted(stream: channel)
    case .descriptors: self.accepted(descriptors: channel)
    }
  }

  private func accepted(stream channel: any Channel) -> EventLoopFuture<Void> {
    guard let peer = self.admit(channel) else { return channel.close() }
    self.strangers[ObjectIdentifier(channel)] = channel
    self.closeUnlessPaired(channel)
    return self.loop.makeCompletedFuture {
      try channel.pipeline.syncOperations.addHandler(ProxyStreamHandler(core: self, process: peer.process))
    }
  }

  private func accepted(descriptors channel: any Channel) -> EventLoopFuture<Void> {
    guard let peer = self.admit(channel) else { return channel.close() }
    let sender = DescriptorSender(channel: channel, logger: self.logger)
    self.senders.removeValue(forKey: peer.process)?.channel.close(promise: nil)
    self.senders[peer.process] = (channel, sender)
    channel.closeFuture.assumeIsolated().whenComplete { _ in self.closed(descriptors: channel, peer.process, sender) }
    self.closeUnlessPaired(channel)
    self.pair(peer.process)
    return self.loop.makeSucceededVoidFuture()
  }

  private func admit(_ channel: any Channel) -> PeerCredentials? {
    let peer = try? channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) {
      UnixSocket.peer(of: $0)
    }
    guard let peer, let peer, peer.user == self.configuration.proxyUser, self.configuration.isAllowed(peer) else {
      self.logger.warning(
        "refused a connection to the proxy link",
        metadata: [LogKey.process: "\(peer??.process ?? 0)", "uid": "\(peer??.user ?? 0)"])
      return nil
    }
    return peer
  }

  private func closeUnlessPaired(_ channel: any Channel) {
    self.loop.assumeIsolated().scheduleTask(in: self.configuration.helloTimeout) {
      guard self.current?.stream !== channel, self.current?.descriptors !== channel else { return }
      channel.close(promise: nil)
    }
  }

  private func pair(_ process: Int32) {
    guard let greeted = self.greeted[process], let descriptors = self.senders[process] else { return }
    self.greeted[process] = nil
    self.senders[process] = nil
    if let old = self.current {
      if old.process != process { self.send(.superseded) }
      self.disconnect(old)
    }
    self.current = Proxy(
      process: process, stream: greeted.stream, descriptors: descriptors.channel, sender: descriptors.sender)
    self.onEvent(.connected(process: process, version: greeted.version))
    self.perform(self.publisher.connected())
  }

  private func disconnect(_ proxy: Proxy) {
    self.current = nil
    self.publisher.disconnected()
    proxy.sender.close()
    proxy.descriptors.close(promise: nil)
    proxy.stream.close(promise: nil)
    self.onEvent(.disconnected(process: proxy.process))
  }

  private func closed(descriptors channel: any Channel, _ process: Int32, _ sender: DescriptorSender) {
    sender.close()
    if self.senders[process]?.channel === channel { self.senders[process] = nil }
    if let current = self.current, current.descriptors === channel { self.disconnect(current) }
  }

  func closed(stream channel: any Channel, process: Int32) {
    self.strangers[ObjectIdentifier(channel)] = nil
    if self.greeted[process]?.stream === channel { self.greeted[process] = nil }
    if let current = self.current, current.stream === channel { self.disconnect(current) }
  }

  // MARK: messages

  func received(_ message: ProxyMessage, on channel: any Channel, process: Int32) throws(MeshError) {
    if case .hello(_, let version) = message {
      guard self.strangers.removeValue(forKey: ObjectIdentifier(channel)) != nil else {
        throw MeshError(.invalid, "proxy link", "hello came twice")
      }
      self.greeted.removeValue(forKey: process)?.stream.close(promise: nil)
      self.greeted[process] = (channel, version)
      self.pair(process)
      return
    }
    guard let current = self.current, current.stream === channel else {
      throw MeshError(.invalid, "proxy link", "a message before hello")
    }
    switch message {
    case .hello: break
    case .applied(let revision):
      self.onEvent(.applied(revision: revision))
      self.perform(self.publisher.applied(revision: revision))
    case .rejected(let revision, let text): self.onEvent(.rejected(revision: revision, message: text))
    case .stockWanted(let request): self.onEvent(.stockWanted(request))
    case .listenerAccepted(let key): self.onEvent(.listenerAccepted(key))
    case .stats(let stats): self.onEvent(.stats(stats))
    case .nameStats(let counts): self.onEvent(.nameStats(counts))
    }
  }

  func publish(_ snapshot: Snapshot, revision: UInt64) {
    self.perform(self.publisher.publish(snapshot, revision: revision))
  }

  func publish(_ change: Delta, revision: UInt64) {
    self.perform(self.publisher.publish(change, revision: revision))
  }

  func send(_ header: DescriptorHeader, _ descriptors: [CInt]) {
    guard let current = self.current else { return DescriptorSender.close(descriptors) }
    current.sender.send(header, descriptors)
  }

  func send(_ message: AgentMessage) {
    guard let current = self.current else { return }
    var buffer = ByteBuffer()
    do {
      try self.codec.write(message, to: &buffer)
      current.stream.writeAndFlush(buffer, promise: nil)
    } catch {
      self.logger.error("cannot encode a message to the proxy", metadata: [LogKey.error: "\(error)"])
    }
  }

  private func perform(_ action: PublishMachine.Action) {
    guard case .send(let revision, let isFull, let delta) = action, let current = self.current else { return }
    var buffer = ByteBuffer()
    do {
      try self.codec.write(.begin(revision: revision, isFull: isFull), to: &buffer)
      for entry in delta.upserts {
        try self.codec.write(.upsert(entry), to: &buffer)
        if buffer.readableBytes >= MeshLink.chunkBytes {
          current.stream.write(buffer, promise: nil)
          buffer = ByteBuffer()
        }
      }
      for key in delta.removals { try self.codec.write(.remove(key), to: &buffer) }
      try self.codec.write(.commit(revision: revision), to: &buffer)
      current.stream.writeAndFlush(buffer, promise: nil)
    } catch {
      // A revision without one of its entries would be another one: the proxy keeps what it has.
      self.logger.error(
        "cannot encode a revision for the proxy",
        metadata: [LogKey.revision: "\(revision)", LogKey.error: "\(error)"])
      self.onEvent(.rejected(revision: revision, message: "\(error)"))
      current.stream.close(promise: nil)
    }
  }
}

/// Bytes of one `proxy.sock` connection to messages, at the agent.
final class ProxyStreamHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let core: ProxyLinkCore
  private let process: Int32
  private var framing = LinkFraming(maximumLength: 1 << 20)

  init(core: ProxyLinkCore, process: Int32) {
    self.core = core
    self.process = process
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    self.framing.append(self.unwrapInboundIn(data))
    do {
      while let frame = try self.framing.next() {
        try self.core.received(try self.core.codec.proxyMessage(frame), on: context.channel, process: self.process)
      }
    } catch {
      self.core.logger.warning(
        "closed the proxy's connection",
        metadata: [LogKey.process: "\(self.process)", LogKey.error: "\(error)"])
      context.close(promise: nil)
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    self.core.closed(stream: context.channel, process: self.process)
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }
}
