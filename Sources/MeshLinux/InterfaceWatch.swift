import CMeshLinux
package import MeshBase

/// Tells which network namespaces had links or addresses that came, went or changed. Asking costs one system call, however
/// many namespaces are watched.
///
/// Confined to its owner.
package final class InterfaceWatch {
  private let set: Descriptor
  private var sockets: [UInt64: WatchSocket] = [:]

  package struct Change: Hashable, Sendable {
    /// As given to `watch`.
    package var token: UInt64
    /// Indexes of the links of which something was said.
    package var links: Set<UInt32>
    /// More happened than could be told: anything may be different.
    package var isIncomplete: Bool
  }

  package init() throws(MeshError) {
    let result = cmesh_watch_open()
    guard result >= 0 else { throw SystemError(-result, "epoll_create1").meshError("watch", "cannot be made") }
    self.set = Descriptor(owning: result)
  }

  /// For somebody who waits until there are changes.
  var descriptor: CInt { self.set.rawValue }

  package var tokens: Dictionary<UInt64, WatchSocket>.Keys { self.sockets.keys }

  /// Changes from now on. A token in use is watched anew.
  package func watch(_ namespace: NetworkNamespace, token: UInt64) throws(MeshError) {
    let result = namespace.withDescriptor { cmesh_route_watch($0) }
    guard result >= 0 else {
      throw SystemError(-result, "NETLINK_ROUTE").meshError(namespace.name, "cannot be watched")
    }
    let socket = WatchSocket(Descriptor(owning: result))
    let added = cmesh_watch_add(self.set.rawValue, socket.descriptor.rawValue, token)
    guard added >= 0 else {
      throw SystemError(-added, "epoll_ctl").meshError(namespace.name, "cannot be watched")
    }
    self.sockets[token] = socket
  }

  package func forget(token: UInt64) { self.sockets[token] = nil }

  /// Namespaces that one call tells of.
  package static let most = 64

  /// What has changed since the last call, of at most so many namespaces; the others come with the next call.
  package func changes() -> [Change] {
    var tokens = [UInt64](repeating: 0, count: Self.most)
    let ready = tokens.withUnsafeMutableBufferPointer {
      cmesh_watch_ready(self.set.rawValue, 0, $0.baseAddress, $0.count)
    }
    guard ready > 0 else { return [] }
    return tokens.prefix(Int(ready)).compactMap { token in
      guard let socket = self.sockets[token] else { return nil }
      var indexes = [UInt32](repeating: 0, count: 256)
      var count = 0
      let result = indexes.withUnsafeMutableBufferPointer {
        cmesh_route_drain(socket.descriptor.rawValue, $0.baseAddress, $0.count, &count)
      }
      return Change(token: token, links: Set(indexes.prefix(count)), isIncomplete: result != 0)
    }
  }
}

package final class WatchSocket: Sendable {
  let descriptor: Descriptor

  init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }
}
