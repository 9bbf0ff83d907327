import CMeshABI
import Foundation
import MeshBase
import Testing

@testable import MeshBPF

/// `edge` as a clsact filter, which is what kernels before 6.6 get: forced here, so that it is tested on every kernel.
@Suite(.serialized)
struct FilterRootTests {
  /// The client's veth with `edge` at it.
  private struct Veth {
    let rig: Rig
    let interface: UInt32

    init(edge: EdgeAttachment = .filter) throws {
      self.rig = try Rig.make(edge: edge)
      self.interface = try self.rig.interface("client")
      try self.rig.datapath.veths.put(self.interface, mesh_veth(workload: Rig.client, zero32: 0))
      try self.attach()
    }

    /// In the namespace whose interfaces are meant.
    func onNode(_ body: @escaping () throws -> Void) throws { try onThread(in: self.rig.namespacePath("node"), body) }

    func attach() throws { try self.onNode { try self.rig.datapath.attachEdge(interface: self.interface) } }
    func detach() throws { try self.onNode { self.rig.datapath.detachEdge(interface: self.interface) } }

    func state() throws -> EdgeFilters.State {
      var state = EdgeFilters.State.absent
      try self.onNode { state = EdgeFilters.state(of: self.interface) }
      return state
    }

    func faults() throws -> [AttachmentFault.Kind] {
      var faults: [AttachmentFault] = []
      try self.onNode { faults = self.rig.datapath.faults() }
      #expect(faults.allSatisfy { $0.place == .edge(self.interface) }, "\(faults)")
      return faults.map(\.kind)
    }

    func drops(_ source: String, count: Int = 5) throws -> Bool {
      let before = try self.rig.count(MESH_HOOK_EDGE, MESH_REASON_FORGED_SOURCE)
      _ = try self.rig.probe("client", "forge ipv4 --source \(source) --destination \(Rig.serverIP) --count \(count)")
      let dropped = try self.rig.count(MESH_HOOK_EDGE, MESH_REASON_FORGED_SOURCE) - before
      #expect(dropped == 0 || dropped == UInt64(count), "all or none, not \(dropped)")
      return dropped != 0
    }

    func tc(_ words: String...) throws -> String {
      try Commands.run(["tc", "-n", self.rig.prefix + "node"] + words)
    }

    func hasQdisc() throws -> Bool { try self.tc("qdisc", "show", "dev", "vclient").contains("clsact") }
    var notes: [String] { PinDirectory.list(self.rig.pinPath + "/v1/filters") }
    var links: [String] { self.rig.datapath.pins.links().filter { $0.hasPrefix("edge-") } }
  }

  @Test("attached, it drops forged sources, is noted and listed; detached, nothing of it is left")
  func attach() throws {
    let veth = try Veth()
    let name = "edge-\(veth.interface)"
    #expect(veth.notes == [name, "qdisc-\(veth.interface)"])
    #expect(veth.links.isEmpty)
    #expect(try veth.drops(Rig.outsideIP))
    #expect(try !veth.drops(Rig.clientIP))
    #expect(try veth.rig.datapath.programStatus().first { $0.name == "mesh_edge" }?.links == [name])
    try veth.onNode {
      let listed = try DatapathInventory.programs(pinDirectory: veth.rig.pinPath)
      #expect(listed.first { $0.name == "mesh_edge" }?.links == [name])
    }
    #expect(veth.rig.datapath.edgeInterfaces() == [veth.interface])
    // A second time changes nothing.
    try veth.attach()
    #expect(veth.notes == [name, "qdisc-\(veth.interface)"])
    #expect(try veth.faults() == [])
    try veth.detach()
    #expect(try veth.state() == .absent)
    #expect(try !veth.hasQdisc())
    #expect(veth.notes.isEmpty)
    #expect(try !veth.drops(Rig.outsideIP))
    #expect(try veth.faults() == [])
  }

  @Test("an adoption swaps the program without a gap: of forged frames none passes")
  func adopt() throws {
    let veth = try Veth()
    let before = try veth.state()
    let dropped = try veth.rig.count(MESH_HOOK_EDGE, MESH_REASON_FORGED_SOURCE)
    nonisolated(unsafe) var result: Result<String, any Error>?
    let done = DispatchSemaphore(value: 0)
    let words = veth.rig.words(
      "client",
      [Commands.python, Commands.probe, "forge", "ipv4", "--source", Rig.outsideIP, "--destination", Rig.serverIP]
        + ["--count", "200000"])
    Thread.detachNewThread {
      result = Result { try Commands.run(words) }
      done.signal()
    }
    try veth.onNode {
      for _ in 0..<3 { try veth.rig.adopt() }
      for _ in 0..<100 { try veth.rig.datapath.replacePrograms() }
    }
    done.wait()
    _ = try result?.get()
    #expect(try veth.rig.count(MESH_HOOK_EDGE, MESH_REASON_FORGED_SOURCE) - dropped == 200_000)
    guard case .ours(let program) = try veth.state() else {
      Issue.record("the filter is gone")
      return
    }
    #expect(before != .ours(program))
    // The successor knows where it is.
    #expect(veth.rig.datapath.edgeInterfaces() == [veth.interface])
    try veth.attach()
    #expect(try veth.faults() == [])
    try veth.detach()
    #expect(try veth.state() == .absent)
  }

  @Test("a filter that somebody removes or replaces is a fault, and so is its note; attaching mends them")
  func faults() throws {
    let veth = try Veth()
    _ = try veth.tc("filter", "del", "dev", "vclient", "ingress")
    #expect(try veth.faults() == [.detached])
    try veth.attach()
    #expect(try veth.faults() == [])
    _ = try veth.tc("qdisc", "del", "dev", "vclient", "clsact")
    #expect(try veth.faults() == [.detached])
    try veth.attach()
    #expect(try veth.drops(Rig.outsideIP))
    unlink(veth.rig.pinPath + "/v1/filters/edge-\(veth.interface)")
    #expect(try veth.faults() == [.unpinned])
    try veth.attach()
    #expect(try veth.faults() == [])
    #expect(veth.notes == ["edge-\(veth.interface)", "qdisc-\(veth.interface)"])
  }

  @Test("the filters of others and their qdisc stay")
  func others() throws {
    let veth = try Veth()
    // The same program, by another hand at another place.
    _ = try veth.tc(
      "filter", "add", "dev", "vclient", "egress", "prio", "7", "bpf", "da", "pinned",
      veth.rig.pinPath + "/v1/filters/edge-\(veth.interface)")
    try veth.detach()
    #expect(try veth.state() == .absent)
    #expect(try veth.hasQdisc())
    #expect(try veth.tc("filter", "show", "dev", "vclient", "egress").contains("mesh_edge"))
    #expect(veth.notes.isEmpty)
    // A qdisc that was there is not ours to remove.
    try veth.attach()
    #expect(veth.notes == ["edge-\(veth.interface)"])
    _ = try veth.tc("filter", "del", "dev", "vclient", "egress")
    try veth.detach()
    #expect(try veth.hasQdisc())
  }

  @Test("it turns into a link and back without an interruption, and only one of both is left")
  func variants() throws {
    let veth = try Veth()
    #expect(try veth.drops(Rig.outsideIP))
    try veth.onNode { try veth.rig.adopt(edge: .best) }
    #expect(try veth.drops(Rig.outsideIP))
    try veth.attach()
    if veth.links.isEmpty {
      // A kernel without tcx.
      #expect(try veth.state() != .absent)
    } else {
      #expect(try veth.state() == .absent)
      #expect(veth.notes.isEmpty)
      #expect(try !veth.hasQdisc())
    }
    #expect(try veth.drops(Rig.outsideIP))
    try veth.onNode { try veth.rig.adopt(edge: .filter) }
    try veth.attach()
    #expect(veth.links.isEmpty)
    #expect(try veth.state() != .absent)
    #expect(try veth.drops(Rig.outsideIP))
    #expect(try veth.faults() == [])
  }

  @Test("the note of an interface that is gone goes with the dead links")
  func gone() throws {
    let veth = try Veth()
    try Commands.ip("-n \(veth.rig.prefix)node link del vclient")
    #expect(try veth.state() == .noInterface)
    #expect(try veth.faults() == [.detached])
    var dead: [String] = []
    try veth.onNode { dead = veth.rig.datapath.removeDeadLinks() }
    #expect(dead == ["edge-\(veth.interface)"])
    #expect(veth.notes.isEmpty)
    #expect(try veth.faults() == [])
    #expect(throws: MeshError.self) { try veth.attach() }
    #expect(veth.notes.isEmpty, "an attachment that fails leaves no note")
  }

  @Test("detachAll takes filters too")
  func detachAll() throws {
    let veth = try Veth()
    try veth.onNode { veth.rig.datapath.detachAll() }
    #expect(try veth.state() == .absent)
    #expect(try !veth.hasQdisc())
    #expect(veth.notes.isEmpty)
  }

  @Test("it stays when its owner is gone, and purge removes it")
  func purge() throws {
    let rig = try Rig.make()
    let path = rig.pinPath + "-second"
    try? KernelDatapath.purge(pinDirectory: path)
    let interface = try rig.interface("client")
    try onThread(in: rig.namespacePath("node")) {
      do {
        let datapath = try KernelDatapath.load(
          objects: Commands.objects, pinDirectory: path, sizes: .small, edge: .filter)
        // No entry in the map of veths: the note is enough.
        try datapath.attachEdge(interface: interface)
      }
      #expect(EdgeFilters.state(of: interface) != .absent)
      try KernelDatapath.purge(pinDirectory: path)
      #expect(EdgeFilters.state(of: interface) == .absent)
    }
    #expect(try !Commands.run(["tc", "-n", rig.prefix + "node", "qdisc", "show"]).contains("clsact"))
    #expect(PinDirectory.pins(path).isEmpty)
    _ = try Commands.run(["umount", "-l", path], allowFailure: true)
    rmdir(path)
  }
}
