import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// A full disk, few descriptors.
@Suite("Shortages", .serialized)
struct ShortageRootTests {
  private typealias Trio = SpineRootTests.Trio
  private static let vip = SpineRootTests.vip

  @Test("F-10: with a full state directory new policy is in force, the problem is told, and it goes with the shortage")
  func fullDisk() throws {
    var state = ""
    try Trio.with(
      "fulldisk",
      prepare: { mesh in
        let path = mesh.stateDirectory + "/agent"
        try DiskFile.makeDirectory(path, mode: 0o700)
        #expect(try mesh.node.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", path]).isSuccess)
        state = path
      }
    ) { trio in
      defer {
        _ = try? trio.mesh.killAgent()
        _ = try? trio.mesh.node.run(["umount", "-l", state])
      }
      let snapshot = state + "/snapshot"
      #expect(try eventually { try DiskFile.status(snapshot) != nil })
      let good = try DiskFile.read(snapshot, limit: 1 << 20)
      _ = try trio.mesh.node.run(["dd", "if=/dev/zero", "of=" + state + "/fill", "bs=4096"])
      try trio.mesh.apply(trio.resources(Manifest.allow("intruder", to: "server")))
      #expect(try eventually { try trio.intruder.call("\(Self.vip):80") == .answer("hello") })
      #expect(try trio.intruder.call("\(Self.vip):8080") == .answer("hello"))
      #expect(try trio.client.call("\(Self.vip):80") == .refused)
      #expect(try eventually { try trio.mesh.martlet(["status"]).stdout.contains("No space left on device") })
      #expect(try trio.mesh.health("/readyz"))
      #expect(try DiskFile.read(snapshot, limit: 1 << 20) == good)

      DiskFile.remove(state + "/fill")
      #expect(
        try eventually(within: .seconds(15)) {
          try !trio.mesh.martlet(["status"]).stdout.contains("No space left on device")
        })
      #expect(try DiskFile.read(snapshot, limit: 1 << 20) != good)
    }
  }

  @Test("F-10: with a full disk under its log and the control plane's state both go on, and the next agent starts")
  func fullLogDisk() throws {
    var state = ""
    try Trio.with(
      "fulllog",
      prepare: { mesh in
        state = mesh.stateDirectory
        let mounted = try mesh.node.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", state])
        #expect(mounted.isSuccess)
      }
    ) { trio in
      let mesh = trio.mesh
      defer {
        _ = try? mesh.killAgent()
        _ = try? mesh.killControl()
        _ = try? mesh.node.run(["umount", "-l", state])
      }
      #expect(try eventually { try DiskFile.status(state + "/agent/snapshot") != nil })
      let good = try DiskFile.read(state + "/agent/snapshot", limit: 1 << 20)
      let vips = try DiskFile.read(state + "/control/vips", limit: 1 << 20)
      _ = try mesh.node.run(["dd", "if=/dev/zero", "of=" + state + "/fill", "bs=4096"])
      // Every line of its log is an error of write(2) from now on.
      try mesh.killAgent()
      try mesh.startAgent(wrapper: ["sh", "-c", "exec \"$@\" 2>/dev/full", "sh"])
      try mesh.waitUntilReady()
      #expect(try trio.client.call("\(Self.vip):80") == .answer("hello"))
      #expect(try trio.client.call("\(Self.vip):8080") == .answer("hello"))
      try mesh.apply(
        trio.resources(Manifest.allow("intruder", to: "server")) + Manifest.addresslessService("fresh", app: "server"))
      #expect(try eventually { try trio.intruder.call("\(Self.vip):80") == .answer("hello") })
      #expect(try trio.client.call("\(Self.vip):80") == .refused)
      #expect(eventually { mesh.control?.stderr.contains("Service addresses could not be saved") ?? false })
      #expect(try mesh.martlet(["show", "services"]).stdout.contains("demo/fresh"))
      #expect(try DiskFile.read(state + "/agent/snapshot", limit: 1 << 20) == good)
      #expect(try DiskFile.read(state + "/control/vips", limit: 1 << 20) == vips)
    }
  }

  @Test("F-25: with 1024 descriptors and little locked memory the agent works and warns")
  func fewDescriptors() throws {
    try Trio.with("few") { trio in
      let mesh = trio.mesh
      try mesh.killAgent()
      for pid in try mesh.proxies() { try ProcessHandle.open(pid: pid).signal(9) }
      try mesh.startAgent(wrapper: ["prlimit", "--nofile=1024:1024", "--memlock=65536:65536"])
      try mesh.waitUntilReady()
      #expect(mesh.agent?.stderr.contains("few descriptors") ?? false)
      #expect(try trio.client.call("\(Self.vip):80") == .answer("hello"))
      // More relayed connections than the proxy has descriptors: some wait or are refused; it serves on.
      let flood = try trio.client.start(["python3", "-c", Programs.flood, "\(Self.vip):8080", "1500"])
      #expect(eventually(within: .seconds(40)) { flood.stdout.contains("done") })
      #expect(flood.stdout.contains("\(Self.vip) hello"), "\(flood.stdout)")
      let proxies = try mesh.proxies()
      try flood.kill()
      #expect(try eventually(within: .seconds(15)) { try trio.client.call("\(Self.vip):8080") == .answer("hello") })
      #expect(try mesh.proxies() == proxies)
      #expect(try trio.intruder.call("\(Self.vip):80") == .refused)
      #expect(mesh.agent?.isRunning ?? false)
    }
  }

  @Test("F-25: a small soft limit of descriptors is raised, a small hard one is a reason not to start")
  func descriptors() throws {
    try Trio.with("nofile") { trio in
      let mesh = trio.mesh
      try mesh.killAgent()
      let refused = try mesh.launchAgent(wrapper: ["prlimit", "--nofile=128:128"]).finish(within: .seconds(10))
      #expect(!refused.isSuccess)
      #expect(refused.stderr.contains("descriptor limit"), "\(refused.stderr)")
      try mesh.startAgent(wrapper: ["prlimit", "--nofile=64:"])
      try mesh.waitUntilReady()
      #expect(try trio.client.call("\(Self.vip):80") == .answer("hello"))
      #expect(try trio.client.call("\(Self.vip):8080") == .answer("hello"))
      let limits = try String(contentsOfSmallFile: "/proc/\(mesh.agent?.pid ?? 0)/limits")
      let line = limits.split(separator: "\n").first { $0.hasPrefix("Max open files") } ?? ""
      let words = line.split(separator: " ")
      #expect(words.count >= 5 && words[3] == words[4], "\(line)")
    }
  }
}
