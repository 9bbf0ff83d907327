import CMeshLinux
import Glibc
import MeshBase

/// Reads one `fds.sock` connection on a thread of its own until it ends. Descriptors of a malformed message are closed
/// and end the connection.
///
/// The thread never closes the socket: whoever started it does, after `ended`. Were the number free before its owner knows,
/// an accept on another thread could be given it, and the owner's shutdown(2) would end that connection with a FIN.
final class DescriptorReceiver: Sendable {
  private let socket: CInt
  private let received: @Sendable (DescriptorHeader, [CInt]) -> Void
  private let ended: @Sendable (MeshError?) -> Void

  /// - ended: on the thread, as the last that it does.
  init(
    socket: CInt, received: @escaping @Sendable (DescriptorHeader, [CInt]) -> Void,
    ended: @escaping @Sendable (MeshError?) -> Void
  ) {
    self.socket = socket
    self.received = received
    self.ended = ended
  }

  func start() throws(MeshError) {
    var thread = pthread_t()
    let argument = Unmanaged.passRetained(self)
    let result = pthread_create(
      &thread, nil,
      { pointer in
        if let pointer { Unmanaged<DescriptorReceiver>.fromOpaque(pointer).takeRetainedValue().run() }
        return nil
      }, argument.toOpaque())
    guard result == 0 else {
      argument.release()
      throw MeshError(
        .exhausted, "descriptor link", "cannot start a thread", cause: String(cString: strerror(result)))
    }
    pthread_detach(thread)
  }

  private func run() {
    var failure: MeshError?
    var payload = [UInt8](repeating: 0, count: 2 * DescriptorHeader.size)
    var descriptors = [CInt](repeating: -1, count: MeshLink.descriptorsPerMessage)
    reading: while true {
      var count = 0
      let length = cmesh_recv_fds(self.socket, &payload, payload.count, &descriptors, descriptors.count, &count)
      if length == 0 { break }
      guard length > 0 else {
        let code = CInt(truncatingIfNeeded: -length)
        failure = MeshError(.invalid, "descriptor link", "cannot receive", cause: String(cString: strerror(code)))
        break
      }
      let received = Array(descriptors[..<count])
      do throws(MeshError) {
        self.received(try DescriptorHeader(bytes: payload[..<length], descriptors: count), received)
      } catch {
        DescriptorSender.close(received)
        failure = error
        break reading
      }
    }
    self.ended(failure)
  }
}
