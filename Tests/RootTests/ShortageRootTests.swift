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
