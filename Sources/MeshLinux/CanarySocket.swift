import CMeshLinux
import Glibc
package import MeshBase

/// A socket of the agent inside a workload's namespace that dials the canary address again and again: one system call each
/// time, no thread, nothing that stays behind. The hooks see it as they see any socket of the namespace.
package final class CanarySocket: Sendable {
  /// What a call came to.
  package enum Call: Hashable, Sendable {
    /// The connect hook answered by itself.
    case steered
    /// It is on its way; the answer comes later.
    case dialling
    /// `errno`. 0: something took the connection that has no business with it.
    case failed(Int32)
    /// The kernel had no memory for it: that says nothing.
    case unknown
  }

  package enum Reading: Hashable, Sendable {
    case nothing
    case answer(CanaryAnswer)
    /// Bytes that no node proxy of ours sends.
    case strange
    /// The end, or an error, before an answer.
    case ended
  }

  private let descriptor: Descriptor
  private let family: CInt
  package let cookie: UInt64

  /// - Throws: `unsupported` if there is no IPv6 in this kernel.
  package init(in namespace: NetworkNamespace, isV4: Bool) throws(MeshError) {
    let socket = try namespace.openStream(isV4: isV4)
    self.family = isV4 ? AF_INET : AF_INET6
    var cookie: UInt64 = 0
    do throws(SystemError) {
      try SystemError.checkNegated(cmesh_canary_prepare(socket.rawValue, isV4 ? AF_INET : AF_INET6), "bind")
      try SystemError.checkNegated(cmesh_socket_cookie(socket.rawValue, &cookie), "getsockopt SO_COOKIE")
    } catch {
      throw error.meshError(namespace.name, "cannot prepare the canary")
    }
    self.cookie = cookie
    self.descriptor = socket
  }

  /// Asks the connect hook. What answers instead of it is hung up on at once.
  package func pulse() -> Call {
    switch self.connect(port: Canary.pulsePort) {
    case -Canary.pulseError: return .steered
    case 0, -EINPROGRESS:
      self.reset()
      return .failed(0)
    case let error: return self.failure(error)
    }
  }

  /// Asks the node proxy, through the hook.
  package func dial() -> Call {
    switch self.connect(port: Canary.answerPort) {
    case 0, -EINPROGRESS: return .dialling
    case let error: return self.failure(error)
    }
  }

  /// After `dial`, without waiting. After anything but `nothing` the socket is free for the next call.
  package func read() -> Reading {
    var bytes = [UInt8](repeating: 0, count: CanaryAnswer.size + 1)
    let count = bytes.withUnsafeMutableBytes { cmesh_canary_read(self.descriptor.rawValue, $0.baseAddress, $0.count) }
    if count == -EAGAIN || count == -EINTR { return .nothing }
    self.reset()
    guard count > 0 else { return .ended }
    return CanaryAnswer(bytes.prefix(count)).map { .answer($0) } ?? .strange
  }

  package func reset() { _ = cmesh_canary_reset(self.descriptor.rawValue) }

  private func connect(port: UInt16) -> CInt {
    cmesh_canary_connect(self.descriptor.rawValue, self.family, Canary.address.v4 ?? 0, port)
  }

  private func failure(_ error: CInt) -> Call {
    switch -error {
    case ENOMEM, ENOBUFS, EINTR: return .unknown
    case EALREADY, EISCONN:
      self.reset()
      return .unknown
    case let number: return .failed(number)
    }
  }
}
