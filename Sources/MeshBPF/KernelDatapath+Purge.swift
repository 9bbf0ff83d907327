import CMeshABI
import CMeshBPF
package import MeshBase

extension KernelDatapath {
  /// Detaches every program and removes every pin of every layout under the directory, whatever state it is in. What does
  /// not exist is no error.
  ///
  /// - Throws: `conflict` if a living process owns the directory.
  package static func purge(pinDirectory: String) throws(MeshError) {
    cmesh_bpf_setup()
    guard cmesh_is_bpffs(pinDirectory) == 1, !PinDirectory.list(pinDirectory).isEmpty else { return }
    let pins = try PinDirectory(path: pinDirectory)
    for layout in PinDirectory.list(pins.path) {
      let base = pins.path + "/" + layout
      self.removeFilters(maps: base + "/maps")
      for name in PinDirectory.list(base + "/links") {
        // Detach first: another process may hold a descriptor of the link.
        if let link = try? BPFLink.pinned(name, path: base + "/links/" + name) { link.detach() }
      }
    }
    pins.removeAll()
  }

  /// clsact filters have no pin: the map of the veths says where they are. Only ours go.
  private static func removeFilters(maps: String) {
    guard let name = PinDirectory.list(maps).first(where: { $0.hasPrefix("mesh_veths_") }) else { return }
    guard let map = try? OwnedDescriptor.owning(cmesh_pin_get(maps + "/" + name), name, "cannot be opened") else {
      return
    }
    guard let veths = try? BPFMap<UInt32, mesh_veth>(name: name, descriptor: map.rawValue),
      let entries = try? veths.entries()
    else { return }
    for (interface, _) in entries {
      var program: UInt32 = 0
      if cmesh_clsact_query(interface, &program) == 0, program != 0 { _ = cmesh_clsact_detach(interface) }
    }
  }
}
