package import MeshBase

/// The payload that goes with descriptors on `fds.sock`: what they are, 40 bytes in network order.
///
/// ```
/// magic 4 | layout 1 | kind 1 | family 1 | leg 1 | workload 4 | count 4 | namespace cookie 8 | destination 16
/// ```
/// Of what is no stock, the last 8 are `after`.
package struct DescriptorHeader: Hashable, Sendable {
  package enum Kind: UInt8, Sendable {
    /// A listening socket, to accept on until it is withdrawn.
    case listener = 1
    /// Unconnected upstream sockets, tagged with {workload, leg}.
    case stock = 2
    /// A UDP socket, bound, and a listening TCP socket, to answer names on until they are withdrawn.
    case nameDatagrams = 3
    case nameListener = 4
    /// Unconnected UDP sockets of the namespace, to ask name servers with.
    case nameStock = 5
    /// A listening socket that tunnels of other hosts come to.
    case tunnelListener = 6

    /// Many go in one message.
    var isStock: Bool { self == .stock || self == .nameStock }
    /// To accept on.
    var isListener: Bool { self == .listener || self == .tunnelListener }
    /// To answer names on.
    var isOfNames: Bool { self == .nameDatagrams || self == .nameListener }
  }

  package static let size = 40
  private static let magic: UInt32 = 0x6d66_6473
  private static let layout: UInt8 = 2

  package var kind: Kind
  package var isV4: Bool
  package var leg: UInt8
  package var workload: UInt32
  /// Descriptors in this message.
  package var count: UInt32
  package var namespaceCookie: UInt64
  /// Of stock that was made in the namespace of whoever has this address.
  package var destination: IPAddress?
  /// Orders (`AgentMessage.precedesDescriptors`) that went by the stream of this connection before these descriptors, which can
  /// arrive first. 0 for stock.
  package var after: UInt64

  package init(
    kind: Kind, isV4: Bool, leg: UInt8 = 0, workload: UInt32, count: UInt32, namespaceCookie: UInt64,
    destination: IPAddress? = nil, after: UInt64 = 0
  ) {
    self.after = after
    self.destination = destination
    self.kind = kind
    self.isV4 = isV4
    self.leg = leg
    self.workload = workload
    self.count = count
    self.namespaceCookie = namespaceCookie
  }

  package var bytes: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Self.size)
    bytes.append(bigEndian: Self.magic)
    bytes += [Self.layout, self.kind.rawValue, self.isV4 ? 4 : 6, self.leg]
    bytes.append(bigEndian: self.workload)
    bytes.append(bigEndian: self.count)
    bytes.append(bigEndian: self.namespaceCookie)
    bytes.append(bigEndian: self.kind.isStock ? self.destination?.high ?? 0 : 0)
    bytes.append(bigEndian: self.kind.isStock ? self.destination?.low ?? 0 : self.after)
    return bytes
  }

  /// Refuses anything but exactly one header whose count is that of the descriptors received.
  package init(bytes: some Collection<UInt8>, descriptors: Int) throws(MeshError) {
    func malformed(_ cause: String) -> MeshError {
      MeshError(.invalid, "descriptor link", "a message is malformed", cause: cause)
    }
    let bytes = Array(bytes)
    guard bytes.count == Self.size else { throw malformed("\(bytes.count) bytes, not \(Self.size)") }
    guard bytes.bigEndian(0, 4) == UInt64(Self.magic), bytes[4] == Self.layout else { throw malformed("layout") }
    guard let kind = Kind(rawValue: bytes[5]) else { throw malformed("kind \(bytes[5])") }
    guard bytes[6] == 4 || bytes[6] == 6 else { throw malformed("family \(bytes[6])") }
    self.init(
      kind: kind, isV4: bytes[6] == 4, leg: bytes[7], workload: UInt32(truncatingIfNeeded: bytes.bigEndian(8, 4)),
      count: UInt32(truncatingIfNeeded: bytes.bigEndian(12, 4)), namespaceCookie: bytes.bigEndian(16, 8),
      destination: kind.isStock ? IPAddress(high: bytes.bigEndian(24, 8), low: bytes.bigEndian(32, 8)).specified : nil,
      after: kind.isStock ? 0 : bytes.bigEndian(32, 8))
    guard Int(self.count) == descriptors, descriptors >= 1, kind.isStock || descriptors == 1 else {
      throw malformed("\(descriptors) descriptors for a count of \(self.count)")
    }
  }
}

extension [UInt8] {
  fileprivate mutating func append(bigEndian number: some FixedWidthInteger & UnsignedInteger) {
    for shift in stride(from: number.bitWidth - 8, through: 0, by: -8) {
      self.append(UInt8(truncatingIfNeeded: number >> shift))
    }
  }

  fileprivate func bigEndian(_ start: Int, _ count: Int) -> UInt64 {
    self[start..<start + count].reduce(0) { $0 << 8 | UInt64($1) }
  }
}
