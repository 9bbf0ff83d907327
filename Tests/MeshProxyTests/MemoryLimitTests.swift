import Testing

@testable import MeshProxy

@Suite("The memory that the process may use")
struct MemoryLimitTests {
  private static let unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
  private static let hybrid = """
    57 54 0:31 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct
    58 54 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
    64 54 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw

    """

  private func find(_ files: [String: String]) -> MemoryLimit? { MemoryLimit.find { files[$0] } }

  @Test("the least of all cgroups above it, in either version; max and what nobody set are none")
  func least() {
    let v2 = [
      "/proc/self/mountinfo": Self.unified, "/proc/self/cgroup": "0::/mesh/service/proxy\n",
      "/sys/fs/cgroup/mesh/service/proxy/memory.max": "max\n", "/sys/fs/cgroup/mesh/service/memory.max": "4096\n",
      "/sys/fs/cgroup/mesh/memory.max": "8192\n",
    ]
    #expect(find(v2) == MemoryLimit(directory: "/sys/fs/cgroup/mesh/service", isUnified: true, limit: 4096))
    let v1 = [
      "/proc/self/mountinfo": Self.hybrid, "/proc/self/cgroup": "9:name=systemd:/x\n4:memory:/a/b\n3:cpu:/\n0::/c\n",
      "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "9223372036854771712\n",
      "/sys/fs/cgroup/memory/a/memory.limit_in_bytes": "1000\n",
    ]
    #expect(find(v1) == MemoryLimit(directory: "/sys/fs/cgroup/memory/a", isUnified: false, limit: 1000))
    for broken in [
      [:], ["/proc/self/cgroup": "0::/a\n"],
      ["/proc/self/cgroup": "nonsense\n::\n", "/proc/self/mountinfo": "\n \nx\n - - cgroup2 \n"],
      ["/proc/self/mountinfo": Self.unified, "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "-1\n"],
    ] {
      #expect(find(broken) == nil)
    }
  }

  @Test("in a namespace of cgroups paths are those of its root, which may be below or above of what is mounted")
  func namespaces() {
    func files(_ root: String, _ own: String) -> [String: String] {
      [
        "/proc/self/mountinfo": "58 54 0:32 \(root) /m rw,relatime - cgroup cgroup rw,memory\n",
        "/proc/self/cgroup": "4:memory:\(own)\n", "/m/a/memory.limit_in_bytes": "7\n",
        "/m/memory.limit_in_bytes": "9\n",
      ]
    }
    for (root, own, limit) in [
      ("/../..", "/../../a", 7 as UInt64?), ("/../..", "/../..", 9), ("/x", "/x/a", 7), ("/x", "/xa", nil),
      ("/x", "/y", nil),
      ("/", "/a", 7),
    ] {
      #expect(self.find(files(root, own))?.limit == limit, "\(root) \(own)")
    }
  }

  @Test("pages of files that nobody used lately count for nothing")
  func used() {
    let unified = MemoryLimit(directory: "/c", isUnified: true, limit: 9)
    let files = ["/c/memory.current": "1000\n", "/c/memory.stat": "anon 5\ninactive_file 300\nactive_file 9\n"]
    #expect(unified.used { files[$0] } == 700)
    #expect(unified.used { $0 == "/c/memory.current" ? "1000" : nil } == 1000)
    #expect(unified.used { $0 == "/c/memory.stat" ? "inactive_file 3\n" : "2\n" } == 0)
    #expect(unified.used { _ in nil } == nil)
    let old = MemoryLimit(directory: "/c", isUnified: false, limit: 9)
    let first = ["/c/memory.usage_in_bytes": "50\n", "/c/memory.stat": "inactive_file 9\ntotal_inactive_file 10\n"]
    #expect(old.used { first[$0] } == 40)
  }
}
