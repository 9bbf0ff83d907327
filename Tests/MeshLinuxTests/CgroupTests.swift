import Testing

@testable import MeshLinux

@Suite struct CgroupTests {
  @Test("cgroup2 is found wherever it is mounted, v1 hierarchies are not taken for it")
  func mountPoint() {
    let hybrid = """
      proc /proc proc rw 0 0
      cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0
      cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nsdelegate 0 0
      """
    #expect(Cgroup.mountPoint(inMounts: hybrid) == "/sys/fs/cgroup/unified")
    #expect(Cgroup.mountPoint(inMounts: "none /c\\040group\\134 cgroup2 rw 0 0\n") == "/c group\\")
    #expect(Cgroup.mountPoint(inMounts: "cgroup2 /a tmpfs rw 0 0\n") == nil)
    #expect(Cgroup.mountPoint(inMounts: "") == nil)
  }

  @Test("Escapes that are none stay as they are")
  func unescape() {
    #expect(Cgroup.unescape("/a\\04") == "/a\\04")
    #expect(Cgroup.unescape("\\999") == "\\999")
    #expect(Cgroup.unescape("/plain") == "/plain")
  }
}
