import Glibc
import NIOCore
import NIOPosix

/// Tells through a stream that something happened in watched directories: inotify, read by NIO. It only makes a change
/// seen sooner than the next poll does; what changed is found by listing.
final class DirectoryWake: Sendable {
  private let channel: any Channel
  /// Owned by the channel; valid while that is active.
  private let descriptor: CInt

  private init(channel: any Channel, descriptor: CInt) {
    self.channel = channel
    self.descriptor = descriptor
  }

  /// Nil if the system has no inotify instance left: polling goes on without.
  static func open(group: any EventLoopGroup, wake: @escaping @Sendable () -> Void) async -> DirectoryWake? {
    let descriptor = inotify_init1(CInt(IN_NONBLOCK | IN_CLOEXEC))
    guard descriptor >= 0 else { return nil }
    do {
      let channel = try await NIOPipeBootstrap(group: group)
        .channelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(WakeHandler(wake: wake))
          }
        }
        .takingOwnershipOfDescriptor(input: descriptor).get()
      return DirectoryWake(channel: channel, descriptor: descriptor)
    } catch {
      return nil
    }
  }

  /// Watches these directories too. One that is watched already stays so; one that went needs nothing.
  func watch(_ directories: some Sequence<String>) {
    guard self.channel.isActive else { return }
    let mask = UInt32(
      IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)
    for directory in directories { _ = inotify_add_watch(self.descriptor, directory, mask) }
  }

  func close() async {
    try? await self.channel.close().get()
  }

  private final class WakeHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    let wake: @Sendable () -> Void

    init(wake: @escaping @Sendable () -> Void) { self.wake = wake }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { self.wake() }
  }
}
