import Glibc
import MeshBase
import Testing

@testable import MeshLinux

/// What needs no privilege: refusing what is not a network namespace.
@Suite struct NetworkNamespaceTests {
  @Test(
    "What is not a network namespace is refused by name and never read",
    arguments: ["/etc/passwd", "/dev/null", "/proc/self/ns/mnt", "/proc/self/ns/uts", "/", "/nonexistent", ""])
  func refuses(path: String) {
    #expect {
      _ = try NetworkNamespace.open(path: path)
    } throws: { error in
      guard let error = error as? MeshError else { return false }
      return error.object == path && (error.code == .invalid || error.code == .notFound)
    }
  }

  @Test("A FIFO does not hang the agent")
  func fifo() {
    let path = "/tmp/martlet-fifo-test-\(getpid())"
    #expect(mkfifo(path, 0o600) == 0)
    defer { unlink(path) }
    #expect(throws: MeshError.self) { _ = try NetworkNamespace.open(path: path) }
  }

  @Test("A socket's record keeps every number on its way to the kernel")
  func recordRoundTrip() throws {
    let record = SocketRecord(
      local: try #require(SocketEndpoint("10.77.0.2:80")), remote: try #require(SocketEndpoint("[fd77::2]:65535")),
      state: .established, isV6Socket: true, cookie: .max, inode: 7, uid: 1000, interface: 3,
      cgroup: 9)
    #expect(SocketRecord(record.raw) == record)
  }
}
