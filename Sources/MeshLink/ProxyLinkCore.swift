import Logging
import MeshBase
import MeshSnapshot
import NIOCore

/// What `ProxyLinkServer` does on its event loop. A proxy is a stream connection that said hello and a descriptor
/// connection of the same process; one serves, others are on their way in or out (`ProxyLinkCore+Roles`).
final class ProxyLinkCore {
  let configuration: ProxyLinkServer.Configuration
  let codec: LinkCodec
  private let loop: any EventLoop
  let logger: Logger
  let onEvent: @Sendable (ProxyLinkEvent) -> Void

  private var servers: [ProxyLinkServer.Door: (channel: any Channel, identity: UnixSocket.Identity?)] = [:]
  /// Accepted, not paired yet, by process.
  private var greeted: [Int32: Greeting] = [:]
  private var senders: [Int32: (channel: any Channel, sender: DescriptorSender)] = [:]
  private var strangers: [ObjectIdentifier: any Channel] = [:]
  /// The one that serves, and what it has.
  var current: LinkedProxy?
  var publisher = PublishMachine()
  private struct Greeting {
    var stream: any Channel
    var version: String
    var isDraining: Bool
    var spoken: UInt16
  }

  /// The others.
  var aside: [Int32: AsideProxy] = [:]

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
      + self.senders.values.map(\.channel)
      + ((self.current.map { [$0] } ?? []) + self.aside.values.map(\.proxy)).flatMap { [$0.stream, $0.descriptors] }
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
      let linked = (self.current.map { [$0] } ?? []) + self.aside.values.map(\.proxy)
      guard !linked.contains(where: { $0.stream === channel || $0.descriptors === channel }) else { return }
      channel.close(promise: nil)
    }
  }

  private func pair(_ process: Int32) {
    guard let greeted = self.greeted[process], let descriptors = self.senders[process] else { return }
    self.greeted[process] = nil
    self.senders[process] = nil
    let proxy = LinkedProxy(
      process: process, version: greeted.version, spoken: greeted.spoken,
      isForeign: greeted.spoken != self.codec.spoken, stream: greeted.stream,
      descriptors: descriptors.channel, sender: descriptors.sender)
    self.linked(proxy, isDraining: greeted.isDraining)
  }

  private func closed(descriptors channel: any Channel, _ process: Int32, _ sender: DescriptorSender) {
    sender.close()
    if self.senders[process]?.channel === channel { self.senders[process] = nil }
    self.closed { $0.descriptors === channel }
  }

  func closed(stream channel: any Channel, process: Int32) {
    self.strangers[ObjectIdentifier(channel)] = nil
    if self.greeted[process]?.stream === channel { self.greeted[process] = nil }
    self.closed { $0.stream === channel }
  }

  private func closed(_ isMeant: (LinkedProxy) -> Bool) {
    if let current = self.current, isMeant(current) { self.disconnect(current) }
    for one in Array(self.aside.values) where isMeant(one.proxy) { self.dismiss(one.proxy) }
  }

  // MARK: messages

  func received(_ message: ProxyMessage, on channel: any Channel, process: Int32) throws(MeshError) {
    if case .hello(_, let version, let isDraining, let spoken) = message {
      guard self.strangers.removeValue(forKey: ObjectIdentifier(channel)) != nil else {
        throw MeshError(.invalid, "proxy link", "hello came twice")
      }
      self.greeted.removeValue(forKey: process)?.stream.close(promise: nil)
      self.greeted[process] = Greeting(stream: channel, version: version, isDraining: isDraining, spoken: spoken)
      self.pair(process)
      return
    }
    if let aside = self.aside[process], aside.proxy.stream === channel { return self.received(message, from: aside) }
    guard let current = self.current, current.stream === channel else {
      throw MeshError(.invalid, "proxy link", "a message before hello")
    }
    switch message {
    case .hello: break
    case .applied(let revision):
      self.onEvent(.applied(revision: revision))
      self.perform(self.publisher.applied(revision: revision), for: current)
    case .rejected(let revision, let text): self.onEvent(.rejected(revision: revision, message: text))
    case .stockWanted(let request): self.onEvent(.stockWanted(request))
    case .listenerAccepted(let key): self.onEvent(.listenerAccepted(key))
    case .stats(let stats): self.onEvent(.stats(stats))
    case .nameStats(let counts): self.onEvent(.nameStats(counts))
    case .requests(let counts): self.onEvent(.requests(counts))
    case .upstreams(let isFirst, let states): self.onEvent(.upstreams(isFirst: isFirst, states))
    case .costs(let costs): self.onEvent(.costs(costs))
    case .draining:
      self.setAside(current, isDraining: true)
      self.onEvent(.aside(process: process, .draining))
    }
  }

  func publish(_ snapshot: Snapshot, revision: UInt64) {
    self.publish { $0.publish(snapshot, revision: revision) }
  }

  func publish(_ snapshot: Snapshot, change: Delta, revision: UInt64) {
    self.publish { $0.publish(snapshot, change: change, revision: revision) }
  }

  private func publish(_ change: (inout PublishMachine) -> PublishMachine.Action) {
    let action = change(&self.publisher)
    if let current = self.current { self.perform(action, for: current) }
    for one in self.aside.values {
      guard var publisher = one.publisher else { continue }
      // Out of its place meanwhile, so that it changes without being copied.
      one.publisher = nil
      let action = change(&publisher)
      one.publisher = publisher
      self.perform(action, for: one.proxy)
    }
  }

  func send(_ header: DescriptorHeader, _ descriptors: [CInt], to process: Int32? = nil) {
    let receiver =
      process.map { process in
        self.aside[process]?.proxy ?? self.current.flatMap { $0.process == process ? $0 : nil }
      } ?? self.current
    guard let receiver else { return DescriptorSender.close(descriptors) }
    var header = header
    if !header.kind.isStock { header.after = receiver.orders }
    receiver.sender.send(header, descriptors)
  }

  func send(_ message: AgentMessage) {
    if let current = self.current { self.send(message, to: current) }
  }

  /// What concerns everyone who has something of a workload.
  func sendAll(_ message: AgentMessage) {
    self.send(message)
    for one in self.aside.values where message.isCore || !one.proxy.isForeign { self.send(message, to: one.proxy) }
  }

  func send(_ message: AgentMessage, to proxy: LinkedProxy) {
    var buffer = ByteBuffer()
    do {
      try self.codec.write(message, to: &buffer)
      if message.precedesDescriptors { proxy.orders += 1 }
      proxy.stream.writeAndFlush(buffer, promise: nil)
    } catch {
      self.logger.error("cannot encode a message to the proxy", metadata: [LogKey.error: "\(error)"])
    }
  }

  func perform(_ action: PublishMachine.Action, for proxy: LinkedProxy) {
    guard case .send(let revision, let isFull, let delta) = action else { return }
    var buffer = ByteBuffer()
    do {
      try self.codec.write(.begin(revision: revision, isFull: isFull), to: &buffer)
      for entry in delta.upserts {
        try self.codec.write(.upsert(entry), to: &buffer)
        if buffer.readableBytes >= MeshLink.chunkBytes {
          proxy.stream.write(buffer, promise: nil)
          buffer = ByteBuffer()
        }
      }
      for key in delta.removals { try self.codec.write(.remove(key), to: &buffer) }
      try self.codec.write(.commit(revision: revision), to: &buffer)
      proxy.stream.writeAndFlush(buffer, promise: nil)
    } catch {
      // A revision without one of its entries would be another one: the proxy keeps what it has.
      self.logger.error(
        "cannot encode a revision for the proxy",
        metadata: [LogKey.revision: "\(revision)", LogKey.error: "\(error)"])
      self.onEvent(.rejected(revision: revision, message: "\(error)"))
      proxy.stream.close(promise: nil)
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
  /// It said hello in another protocol than ours.
  private var isForeign = false

  init(core: ProxyLinkCore, process: Int32) {
    self.core = core
    self.process = process
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    self.framing.append(self.unwrapInboundIn(data))
    do {
      while let frame = try self.framing.next() {
        let codec = self.core.codec
        guard let message = self.isForeign ? try codec.coreMessage(frame) : try codec.proxyMessage(frame) else {
          continue
        }
        if case .hello(_, _, _, let spoken) = message { self.isForeign = spoken != codec.spoken }
        try self.core.received(message, on: context.channel, process: self.process)
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
