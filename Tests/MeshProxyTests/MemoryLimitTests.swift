import Testing

@testable import MeshProxy

@Suite("The memory that the process may use")
struct MemoryLimitTests {
  private static let unified = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n"
  private static let hybrid = """
    cgroup /sys/fs/cgroup/cpu cgroup rw,cpu,cpuacct 0 0
    cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0
    cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0

    """

  private func find(_ files: [String: String]) -> MemoryLimit? { MemoryLimit.find { files[$0] } }

  @Test("the least of all cgroups above it, in either version; max and what nobody set are none")
  func least() {
    let v2 = [
      "/proc/self/mounts": Self.unified, "/proc/self/cgroup": "0::/mesh/service/proxy\n",
      "/sys/fs/cgroup/mesh/service/proxy/memory.max": "max\n", "/sys/fs/cgroup/mesh/service/memory.max": "4096\n",
      "/sys/fs/cgroup/mesh/memory.max": "8192\n",
    ]
    #expect(find(v2) == MemoryLimit(directory: "/sys/fs/cgroup/mesh/service", isUnified: true, limit: 4096))
    let v1 = [
      "/proc/self/mounts": Self.hybrid, "/proc/self/cgroup": "9:name=systemd:/x\n4:memory:/a/b\n3:cpu:/\n0::/c\n",
      "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "9223372036854771712\n",
      "/sys/fs/cgroup/memory/a/memory.limit_in_bytes": "1000\n",
    ]
    #expect(find(v1) == MemoryLimit(directory: "/sys/fs/cgroup/memory/a", isUnified: false, limit: 1000))
    for broken in [
      [:], ["/proc/self/cgroup": "0::/a\n"], ["/proc/self/cgroup": "nonsense\n::\n", "/proc/self/mounts": "\n \nx\n"],
      ["/proc/self/mounts": Self.unified, "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "-1\n"],
    ] {
      #expect(find(broken) == nil)
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
