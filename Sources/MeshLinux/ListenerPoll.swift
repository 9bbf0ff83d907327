import Glibc

/// Asks many listening sockets at once, in one system call, whether somebody ended them (SOCK_DESTROY). Connections that wait in
/// them are no answer.
package struct ListenerPoll {
  private var entries: [pollfd]

  package init(_ descriptors: [CInt] = []) {
    // What is always told need not be asked for: the end, errors, and what is no descriptor.
    self.entries = descriptors.map { pollfd(fd: $0, events: 0, revents: 0) }
  }

  /// The positions of those that are no listeners any more.
  package mutating func ended() -> [Int] {
    // If the kernel has no memory for it nothing is known.
    let count = nfds_t(self.entries.count)
    guard count > 0, poll(&self.entries, count, 0) > 0 else { return [] }
    return self.entries.indices.filter { self.entries[$0].revents != 0 }
  }
}
