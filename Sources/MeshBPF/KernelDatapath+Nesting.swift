import CMeshBPF
import Glibc
package import MeshBase

/// Two agents whose cgroup roots nest would both decide about the sockets of the inner one.
extension KernelDatapath {
  /// - Throws: `conflict` if the connect hook of another instance is attached at the cgroup, above it or below it.
  package static func refuseNesting(cgroup path: String, pinDirectory: String) throws(MeshError) {
    cmesh_bpf_setup()
    let own = try self.linkedPrograms(pinDirectory)
    if try self.hasForeign(path, effective: true, own) {
      throw MeshError(
        .conflict, path, "another agent's programs are attached to this cgroup or one above it",
        next: "give each agent a --cgroup-root beside the other's, or martlet purge the other")
    }
    for child in self.descendants(of: path) where (try? self.hasForeign(child, effective: false, own)) == true {
      throw MeshError(
        .conflict, path, "another agent's programs are attached to a cgroup below it: \(child)",
        next: "give each agent a --cgroup-root beside the other's, or martlet purge the other")
    }
  }

  /// What an earlier agent of this pin directory attached is ours.
  private static func linkedPrograms(_ pinDirectory: String) throws(MeshError) -> Set<UInt32> {
    let directory = pinDirectory + "/" + PinDirectory.layoutName + "/links"
    var programs: Set<UInt32> = []
    for name in PinDirectory.list(directory) {
      if let info = try? BPFLink.pinned(name, path: directory + "/" + name).info() { programs.insert(info.program) }
    }
    return programs
  }

  private static func hasForeign(_ path: String, effective: Bool, _ own: Set<UInt32>) throws(MeshError) -> Bool {
    let directory = try OwnedDescriptor.owning(
      PinDirectory.result(Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)), path, "cannot open the cgroup")
    var identifiers = [UInt32](repeating: 0, count: 64)
    var count: UInt32 = 0
    let result = cmesh_cgroup_programs(
      directory.rawValue, cmesh_attach_connect4, effective ? 1 : 0, &identifiers, UInt32(identifiers.count), &count)
    guard result == 0 else { throw BPFFailure.error(result, path, "cannot list the programs of the cgroup") }
    for identifier in identifiers.prefix(Int(count)) where !own.contains(identifier) {
      // It may have gone meanwhile.
      guard let program = try? OwnedDescriptor.owning(cmesh_program_by_id(identifier), path, "is gone") else {
        continue
      }
      if try DatapathInventory.status(program.rawValue, path).name == "mesh_connect4" { return true }
    }
    return false
  }

  /// Cgroups come and go meanwhile; one that is gone has no programs.
  private static func descendants(of path: String) -> [String] {
    var found: [String] = []
    var waiting = [path]
    while let next = waiting.popLast() {
      for name in PinDirectory.list(next) {
        var status = stat()
        let child = next + "/" + name
        guard lstat(child, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { continue }
        found.append(child)
        waiting.append(child)
      }
    }
    return found
  }
}
