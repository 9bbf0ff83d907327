import CMeshBPF
import Glibc
package import MeshBase

/// What the kernel really runs for a cgroup, which is not what is attached above it: a cgroup outside of the root, a link
/// that the kernel detached with its cgroup, another program after ours. One system call for each hook.
extension KernelDatapath {
  private static var steeringHooks: [(name: String, program: String, attachType: UInt32)] {
    [
      ("connect4", "mesh_connect4", cmesh_attach_connect4), ("connect6", "mesh_connect6", cmesh_attach_connect6),
      ("sockops", "mesh_sockops", cmesh_attach_sockops),
    ]
  }

  private static let mostPrograms: UInt32 = 64

  /// Hooks at which our program does not run for sockets made in the cgroup.
  ///
  /// - Parameter descriptor: of its directory.
  package func ineffectiveHooks(cgroup descriptor: CInt) throws(MeshError) -> [String] {
    var missing: [String] = []
    for hook in Self.steeringHooks {
      let effective = try self.effective(hook.attachType, descriptor)
      guard let ours = self.programIdentifiers[hook.program], effective.contains(ours) else {
        missing.append(hook.name)
        continue
      }
    }
    return missing
  }

  /// Connect hooks at which the last program is not ours, with the one that is: it could change what ours decided. The kernel
  /// runs those of a cgroup before those above it, and in a cgroup in the order in which they were attached.
  package func laterOwners(cgroup path: String) throws(MeshError) -> [HookOwner] {
    let cgroup = try OwnedDescriptor.owning(
      PinDirectory.result(Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)), path, "cannot open the cgroup")
    var owners: [HookOwner] = []
    for hook in Self.steeringHooks where hook.name != "sockops" {
      let effective = try self.effective(hook.attachType, cgroup.rawValue)
      guard let ours = self.programIdentifiers[hook.program], let last = effective.last, last != ours,
        effective.contains(ours)
      else { continue }
      let program = try? OwnedDescriptor.owning(cmesh_program_by_id(last), hook.name, "is gone")
      let name = program.flatMap { try? DatapathInventory.status($0.rawValue, hook.name).name } ?? ""
      owners.append(HookOwner(hook: hook.name, program: name.isEmpty ? "program \(last)" : name))
    }
    return owners
  }

  private func effective(_ attachType: UInt32, _ cgroup: CInt) throws(MeshError) -> [UInt32] {
    var identifiers = [UInt32](repeating: 0, count: Int(Self.mostPrograms))
    var count: UInt32 = 0
    let result = cmesh_cgroup_programs(cgroup, attachType, 1, &identifiers, Self.mostPrograms, &count)
    guard result == 0 else { throw BPFFailure.error(result, "cgroup", "cannot list the programs") }
    return Array(identifiers.prefix(Int(count)))
  }
}
