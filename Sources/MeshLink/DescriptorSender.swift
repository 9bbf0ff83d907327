import CMeshLinux
import Glibc
import Logging
import MeshBase
import NIOCore

/// Sends descriptors over one accepted `fds.sock` connection, in order. Owns every descriptor given to it and closes its
/// copy once it is sent or the connection ends. Confined to the channel's event loop.
final class DescriptorSender {
  /// How long to wait when the socket is full or too many descriptors are in flight (unix(7), ETOOMANYREFS).
  private static let pause = TimeAmount.milliseconds(2)

  private let channel: any Channel
  private let logger: Logger
  private var queue: [(header: DescriptorHeader, descriptors: [CInt])] = []
  private var isWaiting = false
  private var isClosed = false

  init(channel: any Channel, logger: Logger) {
    self.channel = channel
    self.logger = logger
  }

  /// `descriptors` are owned from here on; their number is the header's count, 64 at most.
  func send(_ header: DescriptorHeader, _ descriptors: [CInt]) {
    guard !self.isClosed else {
      Self.close(descriptors)
      return
    }
    self.queue.append((header, descriptors))
    if !self.isWaiting { self.pump() }
  }

  /// The connection ended: nothing more can be sent.
  func close() {
    self.isClosed = true
    for message in self.queue { Self.close(message.descriptors) }
    self.queue = []
  }

  private func pump() {
    self.isWaiting = false
    while !self.isClosed, let message = self.queue.first {
      let result = self.sendNow(message.header, message.descriptors)
      switch -result {
      case 0:
        self.queue.removeFirst()
        Self.close(message.descriptors)
      case EAGAIN, ETOOMANYREFS, ENOBUFS:
        self.isWaiting = true
        self.channel.eventLoop.assumeIsolated().scheduleTask(in: Self.pause) { self.pump() }
        return
      default:
        self.logger.warning(
          "cannot send descriptors to the proxy",
          metadata: [LogKey.error: "\(String(cString: strerror(-result)))"])
        self.close()
        self.channel.close(promise: nil)
      }
    }
  }

  private func sendNow(_ header: DescriptorHeader, _ descriptors: [CInt]) -> CInt {
    let payload = header.bytes
    let result = try? self.channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self)
    {
      cmesh_send_fds($0, payload, payload.count, descriptors, descriptors.count)
    }
    return result ?? -EPIPE
  }

  static func close(_ descriptors: [CInt]) {
    for descriptor in descriptors { Glibc.close(descriptor) }
  }
}
