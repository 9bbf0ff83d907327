import MeshBase
import NIOCore

/// The bytes of one side of a relay: what is read here is written there, flushed once a burst is read, and read only while
/// the other side takes it.
///
/// Two of them hold each other, and each its own context; both channels are on one loop. Nothing is allocated here for a
/// message.
final class RelayHandler: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let side: RelaySide
  private let connection: RelayConnection
  private(set) var context: ChannelHandlerContext?
  private var partner: RelayHandler?
  /// The other side takes bytes. False until it is there.
  private var mayRead = false
  private var wantsRead = false
  /// Read before the other side was there: only when the peer sent FIN early, because NIO then reads to the end. What the
  /// kernel held, so bounded by its receive buffer.
  private var early: [ByteBuffer] = []
  private(set) var bytes: UInt64 = 0
  private var bytesAtSweep: UInt64 = 0
  private var bytesInBurst = 0
  private var isDirty = false
  /// A burst of so many bytes is written at once, while it is in the cache.
  private static let bulk = 16 << 10

  init(_ side: RelaySide, _ connection: RelayConnection) {
    self.side = side
    self.connection = connection
  }

  /// Both sides stand: writes what was read early, and lets reading begin.
  func pair(with partner: RelayHandler) {
    self.partner = partner
    if !self.early.isEmpty {
      for buffer in self.early { partner.context?.write(self.wrapOutboundOut(buffer), promise: nil) }
      self.early = []
      partner.context?.flush()
    }
    self.partnerTakes(partner.context?.channel.isWritable ?? false)
  }

  func unpair() {
    self.partner = nil
    self.mayRead = false
    self.early = []
  }

  /// Whether bytes came since the last call; if none did, the read buffer shrinks to its first size.
  func sweep() -> Bool {
    if self.bytes != self.bytesAtSweep {
      self.bytesAtSweep = self.bytes
      return true
    }
    try? self.context?.channel.syncOptions?.setOption(.recvAllocator, value: RelayBufferSizes())
    return false
  }

  private func partnerTakes(_ takes: Bool) {
    self.mayRead = takes
    if takes, self.wantsRead {
      self.wantsRead = false
      self.context?.read()
    }
  }

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }

  func handlerRemoved(context: ChannelHandlerContext) {
    self.context = nil
    self.partner = nil
  }

  func channelActive(context: ChannelHandlerContext) {
    self.connection.active(self.side)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let buffer = self.unwrapInboundIn(data)
    self.bytes &+= UInt64(truncatingIfNeeded: buffer.readableBytes)
    self.bytesInBurst &+= buffer.readableBytes
    if let partner = self.partner {
      partner.context?.write(data, promise: nil)
    } else {
      self.early.append(buffer)
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    guard let partner = self.partner else { return }
    if self.bytesInBurst >= Self.bulk {
      partner.context?.flush()
    } else {
      self.connection.flushSoon(partner)
    }
    self.bytesInBurst = 0
  }

  /// True once until `flush`.
  func markDirty() -> Bool {
    defer { self.isDirty = true }
    return !self.isDirty
  }

  func flush() {
    self.isDirty = false
    self.context?.flush()
  }

  func read(context: ChannelHandlerContext) {
    if self.mayRead { context.read() } else { self.wantsRead = true }
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    self.partner?.partnerTakes(context.channel.isWritable)
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if let event = event as? ChannelEvent, event == .inputClosed { self.connection.inputEnded(self.side) }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    self.connection.failed(self.side)
  }

  func channelInactive(context: ChannelHandlerContext) {
    self.connection.closed(self.side)
  }
}
