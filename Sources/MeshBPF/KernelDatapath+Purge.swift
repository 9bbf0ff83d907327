import CMeshBPF
package import MeshBase

extension KernelDatapath {
  /// Detaches every program and removes every pin of every layout under the directory, whatever state it is in. What does
  /// not exist is no error.
  ///
  /// - Throws: `conflict` if a living process owns the directory.
  package static func purge(pinDirectory: String) throws(MeshError) {
    cmesh_bpf_setup()
    guard cmesh_is_bpffs(pinDirectory) == 1, !PinDirectory.pins(pinDirectory).isEmpty else { return }
    let pins = try PinDirectory(path: pinDirectory)
    for layout in PinDirectory.pins(pins.path) {
      let base = pins.path + "/" + layout
      pins.detachFilters(layout: layout)
      for name in PinDirectory.list(base + "/links") {
        // Detach first: another process may hold a descriptor of the link.
        if let link = try? BPFLink.pinned(name, path: base + "/links/" + name) { link.detach() }
      }
    }
    pins.removeAll()
  }
}
