import Glibc
import MeshLinux
import Testing

@Suite("TCP sockets of the host")
struct HostSocketsTests {
  @Test("sockets that are made are counted, whatever becomes of them, and not when they are closed")
  func counts() throws {
    let sockets = HostSockets()
    let before = try #require(sockets.allocated())
    var made: [CInt] = []
    for index in 0..<200 {
      let one = socket(
        index % 2 == 0 ? AF_INET : AF_INET6, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
      if one >= 0 { made.append(one) }
    }
    let during = try #require(sockets.allocated())
    for one in made { close(one) }
    let after = try #require(sockets.allocated())
    // Others on this machine make and close some meanwhile.
    #expect(made.count == 200 && Int(during) - Int(before) > 100 && Int(during) - Int(after) > 100)
  }

  @Test("a task that begins makes another mark, though there are as many sockets")
  func marks() throws {
    let sockets = HostSockets()
    let before = try #require(sockets.mark())
    var thread = pthread_t()
    #expect(pthread_create(&thread, nil, { _ in nil }, nil) == 0)
    pthread_join(thread, nil)
    let after = try #require(sockets.mark())
    #expect(before != after)
  }
}
