import Foundation
import MeshBase
import Testing

@testable import MeshBPF

@Suite(.serialized)
struct EffectiveRootTests {
  private func missing(_ rig: Rig, _ path: String) throws -> [String] {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    try #require(descriptor >= 0)
    defer { close(descriptor) }
    return try rig.datapath.ineffectiveHooks(cgroup: descriptor)
  }

  @Test("what runs for a cgroup is asked of the kernel: below the root ours do, beside it they do not")
  func effective() throws {
    let rig = try Rig.make()
    #expect(try self.missing(rig, rig.cgroup) == [])
    #expect(try self.missing(rig, rig.cgroup + "/app") == [])
    #expect(try self.missing(rig, Rig.cgroupMount()) == ["connect4", "connect6", "sockops"])
    #expect(try rig.datapath.laterOwners(cgroup: rig.cgroup) == [])
    try rig.datapath.moveLast(["connect4"], cgroup: rig.cgroup)
    #expect(try self.missing(rig, rig.cgroup + "/app") == [])
    #expect(rig.datapath.faults() == [])
  }

  /// connect, sendmsg, recvmsg and getpeername for two families, sockops, and both of socket options.
  private static let links = 11

  @Test("F-22: the kernel detaches links in silence when their cgroup is removed; they come back with the cgroup")
  func removed() throws {
    let rig = try Rig.make()
    for name in ["/app", "/proxy", ""] { #expect(rmdir(rig.cgroup + name) == 0) }
    // The kernel does it on a work queue.
    var faults: [AttachmentFault] = []
    for _ in 0..<500 {
      faults = rig.datapath.faults()
      if faults.count == Self.links { break }
      usleep(10_000)
    }
    #expect(faults.count == Self.links && faults.allSatisfy { $0.kind == .detached }, "\(faults)")
    for name in ["", "/app", "/proxy"] {
      try FileManager.default.createDirectory(atPath: rig.cgroup + name, withIntermediateDirectories: true)
    }
    #expect(try self.missing(rig, rig.cgroup + "/app").count == 3)
    try rig.datapath.attach(cgroup: rig.cgroup)
    try rig.datapath.attachSocketOptions(cgroup: rig.cgroup + "/proxy")
    #expect(try self.missing(rig, rig.cgroup + "/app") == [])
    #expect(rig.datapath.faults() == [])
  }
}
