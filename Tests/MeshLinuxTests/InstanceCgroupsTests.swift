import MeshTestSupport
import Testing

@testable import MeshLinux

@Suite struct InstanceCgroupsTests {
  @Test("what was written is read, and lines that mean nothing are passed over")
  func text() {
    let read = InstanceCgroups(text: "agent /a b/agent\nproxy /p\n")
    #expect(read == InstanceCgroups(agent: "/a b/agent", proxy: "/p"))
    #expect(InstanceCgroups(text: "later /x\nagent relative\nproxy\n\n") == InstanceCgroups(agent: nil, proxy: nil))
  }

  @Test("no file is no error")
  func missing() throws {
    #expect(try InstanceCgroups.read(from: "/nonexistent") == nil)
  }
}
