import Glibc
import MeshBase
import Testing

@testable import MeshLinux

@Suite("ListenerPoll") struct ListenerPollTests {
  @Test("of many listeners those that ended are told, whoever waits in the others")
  func ended() throws {
    let listeners = try (0..<3).map { _ in try Listener() }
    var poll = ListenerPoll(listeners.map(\.descriptor))
    #expect(poll.ended() == [])
    let caller = try listeners[0].call()
    defer { close(caller) }
    #expect(poll.ended() == [])
    // As after SOCK_DESTROY the socket is there and listens no more.
    #expect(shutdown(listeners[1].descriptor, CInt(SHUT_RDWR)) == 0)
    #expect(poll.ended() == [1])
    #expect(poll.ended() == [1])
  }

  @Test("nobody and what is no descriptor are asked without harm")
  func nothing() {
    var poll = ListenerPoll()
    #expect(poll.ended() == [])
    var wrong = ListenerPoll([1_000_000])
    #expect(wrong.ended() == [0])
  }

  private final class Listener {
    let descriptor: CInt

    init() throws {
      self.descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
      try #require(self.descriptor >= 0 && listen(self.descriptor, 4) == 0)
    }

    deinit { close(self.descriptor) }

    func call() throws -> CInt {
      var address = sockaddr_in()
      var size = socklen_t(MemoryLayout<sockaddr_in>.size)
      let caller = socket(AF_INET, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
      let result = withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw -> CInt in
          guard getsockname(self.descriptor, raw, &size) == 0 else { return -1 }
          return connect(caller, raw, size)
        }
      }
      try #require(result == 0)
      return caller
    }
  }
}
