import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// What an agent costs that has nothing to do.
@Suite("The idle agent", .serialized)
struct IdleRootTests {
  /// CPU time of a process, in milliseconds; the kernel counts it in hundredths of a second.
  private func used(_ process: Int32) throws -> (user: Int, system: Int) {
    let text = String(decoding: try DiskFile.read("/proc/\(process)/stat", limit: 4096), as: UTF8.self)
    let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
    // utime and stime, proc(5); the list begins with the third field.
    return try (#require(Int(fields[11])) * 10, #require(Int(fields[12])) * 10)
  }

  @Test("with 100 proven workloads it takes little, also unoptimised")
  func hundred() throws {
    let world = try World("idle")
    defer { try? world.close() }
    let node = try world.node("a")
    let mesh = try Mesh(world, node: node)
    var resources = ""
    for index in 0..<100 {
      let pod = try node.pod("p\(index)", v4: "10.77.1.\(index + 1)", v6: "fd77::1:\(index + 1)")
      resources += Manifest.workload("w\(index)", pod)
    }
    try mesh.apply(resources)
    try mesh.start()
    let agent = try #require(mesh.agent?.child.pid)
    let clock = ContinuousClock()
    // What the enrolment left to be done is done.
    #expect(try node.run(["sleep", "6"]).isSuccess)
    let before = try (clock.now, self.used(agent))
    #expect(try node.run(["sleep", "20"]).isSuccess)
    let (elapsed, after) = try (clock.now - before.0, self.used(agent))
    let (user, system) = (after.user - before.1.user, after.system - before.1.system)
    let share = Double(user + system) / Double(elapsed.components.seconds * 1000) * 100
    print("idle agent, 100 workloads, unoptimised: \(user) ms user, \(system) ms system in \(elapsed), \(share) %")
    #expect(share < 2)
    #expect(try mesh.metrics().contains("martlet_workloads 100"))
    #expect(try mesh.metrics().contains("martlet_workloads_quarantined 0"))
  }
}
