import CMeshLinux
import Glibc
package import MeshBase

extension NetworkNamespace {
  /// Where workloads of this namespace can be reached: every address of every interface but loopback and link-local ones,
  /// and those that a neighbour holds already (duplicate address detection failed). Sorted, each once.
  package func addresses() throws(MeshError) -> [IPAddress] {
    var found: UnsafeMutablePointer<cmesh_interface_address>?
    var count = 0
    let result = self.withDescriptor { cmesh_netns_addresses($0, &found, &count) }
    defer { cmesh_free(found) }
    guard result >= 0 else {
      throw SystemError(-result, "RTM_GETADDR").meshError(self.name, "cannot list addresses")
    }
    var addresses: Set<IPAddress> = []
    for item in UnsafeBufferPointer(start: found, count: count) where item.flags & UInt32(CMESH_ADDRESS_REFUSED) == 0 {
      let address = IPAddress(high: item.address.high, low: item.address.low)
      if !address.isLoopback && !address.isLinkLocal && !address.isUnspecified && !address.isMulticast {
        addresses.insert(address)
      }
    }
    return addresses.sorted()
  }

  /// Indexes, in `host`, of the other ends of this namespace's veth interfaces. Ends that are elsewhere do not count.
  package func peerInterfaces(in host: NetworkNamespace) throws(MeshError) -> [UInt32] {
    var found: UnsafeMutablePointer<UInt32>?
    var count = 0
    let result = self.withDescriptor { inside in
      host.withDescriptor { cmesh_netns_peers(inside, $0, &found, &count) }
    }
    defer { cmesh_free(found) }
    guard result >= 0 else {
      throw SystemError(-result, "RTM_GETLINK").meshError(self.name, "cannot list veth peers")
    }
    return UnsafeBufferPointer(start: found, count: count).sorted()
  }

  /// The bridges, or other masters, that these interfaces of this namespace are in: by name, sorted, each once.
  package func masters(of interfaces: [UInt32]) throws(MeshError) -> [String] {
    guard !interfaces.isEmpty else { return [] }
    let size = Int(CMESH_INTERFACE_NAME)
    let bytes = UnsafeMutableRawPointer.allocate(byteCount: interfaces.count * size, alignment: 1)
    defer { bytes.deallocate() }
    let names = bytes.assumingMemoryBound(to: InterfaceNameBytes.self)
    let result = self.withDescriptor { cmesh_netns_masters($0, interfaces, interfaces.count, names) }
    guard result >= 0 else {
      throw SystemError(-result, "RTM_GETLINK").meshError(self.name, "cannot tell the masters of interfaces")
    }
    var found: Set<String> = []
    for i in interfaces.indices {
      let name = UnsafeRawBufferPointer(start: bytes + i * size, count: size).prefix { $0 != 0 }
      if !name.isEmpty { found.insert(String(decoding: name, as: UTF8.self)) }
    }
    return found.sorted()
  }

  /// `char [16]`, as C's array comes to Swift.
  private typealias InterfaceNameBytes = (
    CChar, CChar, CChar, CChar, CChar, CChar, CChar, CChar, CChar, CChar, CChar, CChar, CChar, CChar, CChar, CChar
  )

  /// In the namespace of the calling thread.
  package func peerInterfaces() throws(MeshError) -> [UInt32] {
    try self.peerInterfaces(in: .current())
  }
}
