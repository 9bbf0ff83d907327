import CMeshLinux
import Glibc
package import MeshBase

/// Asks many listening sockets at once, in one system call, whether somebody ended them (SOCK_DESTROY). The kernel keeps the
/// list of those that ended, so asking costs the same for ten and for a thousand. Connections that wait in them are no answer.
package final class ListenerPoll {
  private let set: Descriptor
  /// What is no descriptor.
  private var wrong: [Int] = []

  /// - Parameter descriptors: of one that is there twice the first position is told.
  package init(_ descriptors: [CInt] = []) throws(MeshError) {
    let set = cmesh_watch_open()
    guard set >= 0 else { throw SystemError(-set, "epoll_create1").meshError("listeners", "cannot be watched") }
    self.set = Descriptor(owning: set)
    for (index, descriptor) in descriptors.enumerated() {
      switch -cmesh_watch_add_end(self.set.rawValue, descriptor, UInt64(index)) {
      case 0, EEXIST: break
      case EBADF, EPERM: self.wrong.append(index)
      case let error: throw SystemError(error, "epoll_ctl").meshError("listeners", "cannot be watched")
      }
    }
  }

  private static let most = 64

  /// The positions of those that are no listeners any more; of many some, and the others another time.
  package func ended() -> [Int] {
    var tokens = [UInt64](repeating: 0, count: Self.most)
    let count = tokens.withUnsafeMutableBufferPointer {
      cmesh_watch_ready(self.set.rawValue, 0, $0.baseAddress, $0.count)
    }
    guard count > 0 else { return self.wrong }
    return self.wrong + tokens.prefix(Int(count)).map { Int($0) }.sorted()
  }
}
