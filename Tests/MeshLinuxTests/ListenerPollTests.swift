import Glibc
import MeshBase
import Testing

@testable import MeshLinux

@Suite("ListenerPoll") struct ListenerPollTests {
  @Test("of many listeners those that ended are told, whoever waits in the others")
  func ended() throws {
    let listeners = try (0..<3).map { _ in try Listener() }
    let poll = try ListenerPoll(listeners.map(\.descriptor))
    #expect(poll.ended() == [])
    let caller = try listeners[0].call()
    defer { close(caller) }
    #expect(poll.ended() == [])
    // One that is there twice is told once.
    let twice = try ListenerPoll([listeners[1].descriptor, listeners[1].descriptor])
    #expect(twice.ended() == [])
    // As after SOCK_DESTROY the socket is there and listens no more.
    #expect(shutdown(listeners[1].descriptor, CInt(SHUT_RDWR)) == 0)
    #expect(poll.ended() == [1])
    #expect(poll.ended() == [1])
    #expect(twice.ended() == [0])
  }

  @Test("nobody and what is no descriptor are asked without harm")
  func nothing() throws {
    let poll = try ListenerPoll()
    #expect(poll.ended() == [])
    let wrong = try ListenerPoll([1_000_000])
    #expect(wrong.ended() == [0])
  }

  @Test("of more than are told at once all are told in the end, as they are taken out")
  func many() throws {
    var listeners = try (0..<100).map { _ in try Listener() }
    let poll = try ListenerPoll(listeners.map(\.descriptor))
    for listener in listeners { #expect(shutdown(listener.descriptor, CInt(SHUT_RDWR)) == 0) }
    var told: Set<Int> = []
    for _ in 0..<4 { told.formUnion(poll.ended()) }
    #expect(told == Set(0..<100))
    // A closed descriptor leaves by itself.
    listeners = []
    #expect(poll.ended() == [])
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
