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

  /// Where these interfaces of this namespace are. Those that are not there any more are left out.
  package func places(of interfaces: [UInt32]) throws(MeshError) -> [InterfacePlace] {
    guard !interfaces.isEmpty else { return [] }
    var places = [cmesh_interface_place](repeating: cmesh_interface_place(), count: interfaces.count)
    let result = self.withDescriptor { cmesh_netns_places($0, interfaces, interfaces.count, &places) }
    guard result >= 0 else {
      throw SystemError(-result, "RTM_GETLINK").meshError(self.name, "cannot tell where interfaces are")
    }
    return places.filter { $0.is_present != 0 }.map { place in
      let master = withUnsafeBytes(of: place.master) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      return InterfacePlace(master: master.isEmpty ? nil : master, isUp: place.is_up != 0)
    }
  }

  /// In the namespace of the calling thread.
  package func peerInterfaces() throws(MeshError) -> [UInt32] {
    try self.peerInterfaces(in: .current())
  }
}

/// Where an interface is.
package struct InterfacePlace: Hashable, Sendable {
  /// The bridge, or another master, that it belongs to: by name.
  package var master: String?
  package var isUp: Bool

  package init(master: String?, isUp: Bool) {
    self.master = master
    self.isUp = isUp
  }
}
