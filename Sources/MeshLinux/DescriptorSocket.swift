import CMeshLinux

/// One message of a SEQPACKET socket: bytes, and descriptors that are now ours. Those that are not taken are closed.
package struct DescriptorMessage: ~Copyable {
  package let payload: [UInt8]
  private var descriptors: ArraySlice<CInt>

  init(payload: [UInt8], owning descriptors: ArraySlice<CInt>) {
    self.payload = payload
    self.descriptors = descriptors
  }

  /// How many are left to take.
  package var descriptorCount: Int { self.descriptors.count }

  /// The next in the order of sending.
  package mutating func takeDescriptor() -> Descriptor? {
    self.descriptors.popFirst().map { Descriptor(owning: $0) }
  }

  deinit { for descriptor in self.descriptors { _ = Descriptor(owning: descriptor) } }
}

/// Sending and receiving descriptors (SCM_RIGHTS) over a SEQPACKET Unix socket. Blocking or not as the socket is.
package enum DescriptorSocket {
  /// Most descriptors in one message.
  package static let most = Int(CMESH_MAX_FDS)

  /// The descriptors stay the caller's. At least one byte of payload goes with them.
  package static func send(_ payload: [UInt8], descriptors: [CInt] = [], over socket: CInt) throws(SystemError) {
    try SystemError.checkNegated(
      cmesh_send_fds(socket, payload, payload.count, descriptors, descriptors.count), "sendmsg")
  }

  /// Nil: the peer has closed. A message with more than `capacity` bytes or more descriptors than `most` is dropped
  /// whole and is EMSGSIZE.
  package static func receive(capacity: Int = 65536, from socket: CInt) throws(SystemError) -> DescriptorMessage? {
    var payload = [UInt8](repeating: 0, count: capacity)
    var descriptors = [CInt](repeating: -1, count: self.most)
    var count = 0
    let received = cmesh_recv_fds(socket, &payload, capacity, &descriptors, descriptors.count, &count)
    guard received >= 0 else { throw SystemError(CInt(-received), "recvmsg") }
    if received == 0 && count == 0 { return nil }
    return DescriptorMessage(payload: Array(payload[..<received]), owning: descriptors[..<count])
  }
}
