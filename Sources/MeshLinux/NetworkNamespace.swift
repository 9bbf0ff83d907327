import CMeshLinux
import Glibc
package import MeshBase

/// A network namespace, held by a descriptor: it lives at least as long as this object, whatever becomes of its name and
/// its processes. So whoever holds one must let it go when the workload is gone.
package final class NetworkNamespace: Sendable {
  private let descriptor: Descriptor
  /// What it is called in errors and logs: the path it was opened by.
  package let name: String
  /// The kernel's name: 64 bits, never used twice until the next boot (unlike the inode).
  package let cookie: UInt64
  package let inode: UInt64

  private init(_ descriptor: consuming Descriptor, name: String) throws(MeshError) {
    do throws(SystemError) {
      var status = stat()
      try SystemError.check(fstat(descriptor.rawValue, &status), "fstat")
      self.inode = UInt64(status.st_ino)
      let probe = Descriptor(
        owning: try SystemError.checkNegated(
          cmesh_netns_socket(descriptor.rawValue, AF_INET, CInt(SOCK_DGRAM.rawValue), 0), "setns, socket"))
      var cookie: UInt64 = 0
      try SystemError.checkNegated(cmesh_socket_netns_cookie(probe.rawValue, &cookie), "getsockopt SO_NETNS_COOKIE")
      self.cookie = cookie
    } catch {
      throw error.meshError(name, "cannot enter the network namespace", next: "entering one needs CAP_SYS_ADMIN")
    }
    self.name = name
    self.descriptor = descriptor
  }

  /// Opens `/run/netns/NAME`, `/proc/PID/ns/net` or another path of a network namespace. A file that is anything else is
  /// an error and is not read.
  package static func open(path: String) throws(MeshError) -> NetworkNamespace {
    let result = cmesh_netns_open(path)
    guard result != -EMEDIUMTYPE else {
      throw MeshError(.invalid, path, "is not a network namespace", next: "give a path such as /run/netns/NAME")
    }
    guard result >= 0 else {
      throw SystemError(-result, "open").meshError(path, "cannot open the network namespace")
    }
    return try NetworkNamespace(Descriptor(owning: result), name: path)
  }

  /// The namespace of the calling thread.
  package static func current() throws(MeshError) -> NetworkNamespace {
    try self.open(path: "/proc/thread-self/ns/net")
  }

  /// For calls that take a namespace by descriptor. It is only valid while this object lives.
  package func withDescriptor<Result, Failure: Error>(
    _ body: (CInt) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(self.descriptor.rawValue)
  }
}

extension NetworkNamespace: Hashable {
  package static func == (a: NetworkNamespace, b: NetworkNamespace) -> Bool { a.cookie == b.cookie }

  package func hash(into hasher: inout Hasher) { hasher.combine(self.cookie) }
}

extension NetworkNamespace: CustomStringConvertible {
  package var description: String { self.name }
}
