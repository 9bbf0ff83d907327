import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

@testable import MeshAgent
@testable import MeshLinux

@Suite("ListenerFindings")
struct ListenerFindingsTests {
  private func listener(_ endpoint: String, cookie: UInt64, cgroup: UInt64) throws -> SocketRecord {
    SocketRecord(
      local: try #require(SocketEndpoint(endpoint)), remote: SocketEndpoint(IPAddress(v4: 0), 0), state: .listen,
      isV6Socket: false, cookie: cookie, inode: UInt32(cookie), uid: 0, interface: 0, cgroup: cgroup)
  }

  @Test("BP-14: whoever has a mesh port and is not the agent is found, by cookie and by cgroup")
  func foreign() throws {
    let own = try self.listener("127.0.0.1:15001", cookie: 1, cgroup: 5)
    let agents = try self.listener("127.0.0.1:15053", cookie: 2, cgroup: 9)
    let strange = try self.listener("10.0.0.1:15008", cookie: 3, cgroup: 7)
    let harmless = try self.listener("10.0.0.1:80", cookie: 4, cgroup: 8)
    let all = [strange, own, agents, harmless]
    #expect(ListenerFindings.foreign(all, own: [1], agentCgroup: 9) == [strange])
    #expect(ListenerFindings.foreign(all, own: [], agentCgroup: 9) == [strange, own])
    #expect(ListenerFindings.cgroups(all, own: [1], agentCgroup: 9) == [7, 8])
  }

  @Test("a declared port is disowned by a listener of anybody else, on whatever address")
  func disowned() throws {
    let unit = try self.listener("0.0.0.0:9100", cookie: 1, cgroup: 5)
    let thief = try self.listener("127.0.0.2:9100", cookie: 2, cgroup: 6)
    let other = try self.listener("0.0.0.0:22", cookie: 3, cgroup: 6)
    let isOwned: (SocketRecord) -> Bool = { $0.cgroup == 5 }
    #expect(ListenerFindings.disowned([unit, other], ports: [9100], isOwned: isOwned).isEmpty)
    #expect(ListenerFindings.disowned([unit, thief, other], ports: [9100], isOwned: isOwned) == [thief])
    #expect(ListenerFindings.disowned([], ports: [9100], isOwned: isOwned).isEmpty)
  }
}
