import CMeshABI
import MeshBase
import Testing

@testable import MeshBPF

/// Whose programs stand at the hooks of the mesh: what `martlet check` warns of.
@Suite(.serialized)
struct HookOwnersRootTests {
  @Test("the programs of a cgroup are named, also in the cgroups below it, and nowhere else")
  func cgroup() throws {
    let before = try HookOwners.ofCgroup(try Rig.cgroupMount())
    let rig = try Rig.make()
    let ours = try HookOwners.ofCgroup(rig.cgroup).filter { !before.contains($0) }
    for hook in ["connect4", "connect6"] {
      #expect(ours.contains(HookOwner(hook: hook, program: "mesh_\(hook)")), "\(ours)")
    }
    #expect(ours.count { $0.hook == "sock_ops" } == 1)
    #expect(ours.count { $0.hook.hasPrefix("getpeername") } == 2)
    #expect(!ours.contains { $0.hook == "getsockopt" })
    // What is attached above runs below as well; getsockopt is attached here.
    let proxy = try HookOwners.ofCgroup(rig.cgroup + "/proxy").filter { !before.contains($0) }
    #expect(Set(ours).isSubset(of: proxy))
    #expect(proxy.count { $0.hook == "getsockopt" } == 1)
    #expect(try HookOwners.ofCgroup(try Rig.cgroupMount()) == before)
  }

  @Test(
    "the program of a network namespace and of a veth, by link and by filter",
    arguments: [EdgeAttachment.best, .filter])
  func namespaceAndInterface(edge: EdgeAttachment) throws {
    let rig = try Rig.make(edge: edge)
    #expect(
      try HookOwners.ofNamespace(rig.namespacePath("client"), name: "client")
        == [HookOwner(hook: "sk_lookup of client", program: "mesh_lookup")])
    #expect(try HookOwners.ofNamespace(rig.namespacePath("outside"), name: "outside").isEmpty)
    let interface = try rig.interface("client")
    let other = try rig.interface("outside")
    try rig.datapath.veths.put(interface, mesh_veth(workload: Rig.client, v4_be: 0, v6: mesh_addr()))
    try onThread(in: rig.namespacePath("node")) {
      #expect(try HookOwners.ofInterface(interface, name: "vclient").isEmpty)
      try rig.datapath.attachEdge(interface: interface)
      let owners = try HookOwners.ofInterface(interface, name: "vclient")
      #expect(owners.map(\.program) == ["mesh_edge"], "\(owners)")
      #expect(owners.allSatisfy { $0.hook.hasPrefix(edge == .filter ? "ingress filter of" : "ingress") }, "\(owners)")
      #expect(try HookOwners.ofInterface(other, name: "voutside").isEmpty)
      rig.datapath.detachEdge(interface: interface)
      #expect(try HookOwners.ofInterface(interface, name: "vclient").isEmpty)
    }
  }

  @Test("this kernel takes every program type of the mesh; what is no cgroup or namespace is an error with its path")
  func types() throws {
    let types = try HookOwners.programTypes()
    #expect(types.count == 5)
    #expect(types.allSatisfy { $0.isSupported }, "\(types)")
    for path in ["/nonexistent", "/etc/passwd"] {
      let cgroup = #expect(throws: MeshError.self) { try HookOwners.ofCgroup(path) }
      #expect(cgroup.map { "\($0)".contains(path) } == true)
    }
    #expect(throws: MeshError.self) { try HookOwners.ofNamespace("/nonexistent", name: "x") }
  }
}
