import Glibc
import MeshBase
import Testing

@testable import MeshWire

@Suite("The control socket")
struct UnixListenerTests {
  private func mode(_ path: String) -> mode_t? {
    var status = stat()
    guard lstat(path, &status) == 0 else { return nil }
    return status.st_mode & 0o7777
  }

  @Test("is its owner's alone, and goes with its process")
  func mode() throws {
    let directory = try TemporaryDirectory()
    do {
      let listener = try UnixListener.open(path: directory.socket)
      #expect(self.mode(directory.socket) == 0o600)
      #expect(self.mode("\(directory.socket).new") == nil)
      _ = consume listener
    }
    #expect(self.mode(directory.socket) == nil)
  }

  @Test("replaces what a dead process left, and does not replace a living one's")
  func owners() throws {
    let directory = try TemporaryDirectory()
    let leftover = open(directory.socket, O_CREAT | O_WRONLY, 0o666)
    close(leftover)
    let listener = try UnixListener.open(path: directory.socket)
    #expect {
      _ = try UnixListener.open(path: directory.socket)
    } throws: { error in
      (error as? MeshError)?.code == .conflict
    }
    #expect(self.mode(directory.socket) == 0o600)
    _ = consume listener
    _ = try UnixListener.open(path: directory.socket)
  }

  @Test("knows when somebody removed it or took its place, and leaves alone what is another's")
  func removed() throws {
    let directory = try TemporaryDirectory()
    let first = try UnixListener.open(path: directory.socket)
    #expect(first.isWhole)
    unlink(directory.socket)
    #expect(!first.isWhole)
    // The lock stands: others do not get it, its owner goes on with it.
    #expect(throws: MeshError.self) { _ = try UnixListener.open(path: directory.socket) }
    let next = try UnixListener.open(path: directory.socket, after: first)
    #expect(next.isWhole)
    unlink(directory.socket)
    unlink("\(directory.socket).lock")
    let second = try UnixListener.open(path: directory.socket)
    #expect(second.isWhole && !first.isWhole)
    _ = consume first
    #expect(second.isWhole)
    unlink("\(directory.socket).lock")
    #expect(!second.isWhole)
  }

  @Test("who is turned away is counted each time and told ever less often")
  func refused() {
    var peers = RefusedPeers()
    #expect(
      (1...10).map { _ in peers.refused() } == [true, true, false, true, false, false, false, true, false, false])
    #expect(peers.count == 10)
  }

  @Test("a path that is too long or not there is an error with the path in it")
  func badPaths() {
    for path in ["/tmp/" + String(repeating: "x", count: 120), "/nonexistent/control.sock", "/tmp/a\u{0}b"] {
      #expect(throws: MeshError.self) { _ = try UnixListener.open(path: path) }
    }
  }
}
