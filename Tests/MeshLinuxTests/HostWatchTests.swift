import Glibc
import MeshTestSupport
import Synchronization
import Testing

@testable import MeshLinux

@Suite("HostWatch")
struct HostWatchTests {
  private final class Bells: Sendable {
    let count = Atomic(0)
  }

  private func watch(interval: Int32, _ body: (HostWatch, Bells) throws -> Void) throws {
    let interfaces = try InterfaceWatch()
    let watch = try HostWatch(interfaces: interfaces, interval: interval)
    let bells = Bells()
    try watch.start { bells.count.add(1, ordering: .relaxed) }
    defer { watch.stop() }
    try body(watch, bells)
  }

  @Test("without an event it tells after the interval, and a shorter one counts at once")
  func interval() throws {
    try self.watch(interval: 600_000) { watch, bells in
      watch.setInterval(10)
      #expect(eventually { bells.count.load(ordering: .relaxed) >= 3 })
    }
  }

  @Test("a name that comes into a directory is told, also if the directory itself was not there yet")
  func directories() throws {
    let path = "/tmp/martlet-watch-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    try DiskFile.makeDirectory(path, mode: 0o700)
    defer { for name in ["/a/b", "/a", ""] { rmdir(path + name) } }
    try self.watch(interval: 600_000) { watch, bells in
      watch.follow(directories: [path + "/a/b"])
      try DiskFile.makeDirectory(path + "/a", mode: 0o700)
      #expect(eventually { bells.count.load(ordering: .relaxed) >= 1 })
      watch.follow(directories: [path + "/a/b"])
      let before = bells.count.load(ordering: .relaxed)
      try DiskFile.makeDirectory(path + "/a/b", mode: 0o700)
      #expect(eventually { bells.count.load(ordering: .relaxed) > before })
      watch.follow(directories: [])
    }
  }

  @Test("a directory that is renamed is told, and one above it")
  func moves() throws {
    let path = "/tmp/martlet-moves-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    for name in ["", "/a", "/a/b"] { try DiskFile.makeDirectory(path + name, mode: 0o700) }
    defer { for name in ["/a/b", "/c/b", "/a", "/c", "/d", ""] { rmdir(path + name) } }
    try self.watch(interval: 600_000) { watch, bells in
      watch.followMoves(of: [path + "/a/b"])
      // Nothing that only comes and goes there.
      try DiskFile.makeDirectory(path + "/d", mode: 0o700)
      #expect(!watch.takeHappened())
      try DiskFile.rename(path + "/a", to: path + "/c")
      #expect(eventually { bells.count.load(ordering: .relaxed) >= 1 })
      #expect(watch.takeHappened())
      watch.followMoves(of: [path + "/c/b"])
      let before = bells.count.load(ordering: .relaxed)
      try DiskFile.rename(path + "/c/b", to: path + "/d/b")
      #expect(eventually { bells.count.load(ordering: .relaxed) > before })
      rmdir(path + "/d/b")
      watch.followMoves(of: [])
    }
  }

  @Test("what was mounted is told when it is asked for, once")
  func mounts() throws {
    let path = "/tmp/martlet-mounts-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    try DiskFile.makeDirectory(path, mode: 0o700)
    defer { rmdir(path) }
    try self.watch(interval: 600_000) { watch, _ in
      _ = watch.takeMounts()
      // Others mount too, but not all the time.
      #expect(eventually { !watch.takeMounts() })
      guard geteuid() == 0 else { return }
      try #require(mount("none", path, "tmpfs", 0, nil) == 0)
      #expect(watch.takeMounts())
      #expect(eventually { !watch.takeMounts() })
      #expect(umount(path) == 0)
      #expect(watch.takeMounts())
    }
  }

  @Test("the end of a process is told")
  func process() throws {
    try self.watch(interval: 600_000) { watch, bells in
      let child = try ChildProcess.spawn(.init("/bin/cat", []))
      watch.follow(child.handle)
      try child.handle.signal(9)
      #expect(eventually { bells.count.load(ordering: .relaxed) >= 1 })
    }
  }

  @Test("the directory above a path", arguments: [("/a/b", "/a"), ("/a", "/"), ("/", ""), ("", ""), ("a", "")])
  func parents(path: String, parent: String) {
    #expect(HostWatch.parent(of: path) == parent)
  }
}
