import CMeshABI
package import MeshBase

/// The flow of one socket that called, and where it is.
package struct PublishedFlow: Sendable {
  fileprivate enum Place: Sendable {
    case slot(UInt32)
    case beside(mesh_tuple)
  }

  /// Of the socket: never used twice until the next boot.
  package let cookie: UInt64
  /// Of the namespace that the socket is in.
  package let namespace: UInt64
  fileprivate let place: Place
}

extension FlowTable {
  /// Every flow that a socket published. One that comes or goes meanwhile may be missing or there.
  package func published() throws(MeshError) -> [PublishedFlow] {
    let slots = try self.slots.entries().filter(\.value.isInUse).map {
      PublishedFlow(cookie: $0.value.cookie, namespace: $0.value.flow.netns_cookie, place: .slot($0.key))
    }
    // Those that the agent admits for its own calls have no socket's number.
    let beside = try self.beside.entries().filter { $0.value.socket_cookie != 0 }.map {
      PublishedFlow(cookie: $0.value.socket_cookie, namespace: $0.value.netns_cookie, place: .beside($0.key))
    }
    return slots + beside
  }

  /// Takes away what a socket left that has ended. False: it is gone, or another's by now.
  ///
  /// A slot is taken by a program in one exchange and emptied here in another way, so between the look and the write a new
  /// connection with the very addresses and ports of the ended one could lose its flow. It is refused then, and not let in.
  package func remove(_ flow: PublishedFlow) throws(MeshError) -> Bool {
    switch flow.place {
    case .slot(let number):
      guard try self.slots.get(number)?.cookie == flow.cookie else { return false }
      // One that found the slot in use meanwhile is beside it.
      var free = mesh_slot()
      free.spilled = 1
      try self.slots.put(number, free, .onlyExisting)
      return true
    case .beside(let tuple):
      guard try self.beside.get(tuple)?.socket_cookie == flow.cookie else { return false }
      return try self.beside.delete(tuple)
    }
  }
}
