import Glibc
import MeshBase
import Testing

@testable import MeshLinux

@Suite struct FileLockTests {
  @Test("A second holder is refused and told who holds it; afterwards the lock is free")
  func exclusive() throws {
    let path = "/tmp/martlet-lock-test-\(getpid())"
    defer { unlink(path) }
    do {
      let lock = try FileLock(path: path)
      #expect(lock.path == path)
      #expect {
        _ = try FileLock(path: path)
      } throws: { error in
        let error = error as? MeshError
        return error?.code == .conflict && "\(String(describing: error))".contains("\(getpid())")
      }
      withExtendedLifetime(lock) {}
    }
    _ = try FileLock(path: path)
  }

  @Test("A symbolic link is not followed, a missing directory is named")
  func hostile() throws {
    let path = "/tmp/martlet-link-test-\(getpid())"
    #expect(symlink("/tmp/martlet-link-target-\(getpid())", path) == 0)
    defer { unlink(path) }
    #expect(throws: MeshError.self) { _ = try FileLock(path: path) }
    #expect(access("/tmp/martlet-link-target-\(getpid())", F_OK) == -1)
    #expect { _ = try FileLock(path: "/nonexistent/a") } throws: { "\($0)".contains("/nonexistent/a") }
  }

  @Test("Raising the descriptor limit ends at the hard limit and says both")
  func descriptorLimit() throws {
    let before = try DescriptorLimit.current()
    let after = try DescriptorLimit.raise()
    #expect(after.hard == before.hard)
    #expect(after.soft == after.hard)
    #expect(try DescriptorLimit.current() == after)
  }
}
