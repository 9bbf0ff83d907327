import CMeshBPF
import Glibc
package import MeshBase

/// A program at a hook that the mesh uses too.
package struct HookOwner: Hashable, Sendable {
  /// `connect4`, `sk_lookup of web`, `ingress of eth0`.
  package var hook: String
  package var program: String

  package init(hook: String, program: String) {
    self.hook = hook
    self.program = program
  }
}

/// What the kernel says of itself and of its hooks, before anything of ours is loaded. Needs root. Changes nothing.
package enum HookOwners {
  private static let capacity: UInt32 = 64

  /// Programs that run for a cgroup at our hooks, those attached above it too.
  package static func ofCgroup(_ path: String) throws(MeshError) -> [HookOwner] {
    let cgroup = try self.open(path, O_DIRECTORY)
    let hooks = [
      ("connect4", cmesh_attach_connect4), ("connect6", cmesh_attach_connect6), ("sock_ops", cmesh_attach_sockops),
      ("getpeername4", cmesh_attach_peername4), ("getpeername6", cmesh_attach_peername6),
      ("sendmsg4", cmesh_attach_sendmsg4), ("sendmsg6", cmesh_attach_sendmsg6), ("recvmsg4", cmesh_attach_recvmsg4),
      ("recvmsg6", cmesh_attach_recvmsg6), ("getsockopt", cmesh_attach_getsockopt),
    ]
    var owners: [HookOwner] = []
    for (hook, type) in hooks {
      owners += try self.owners(hook, path) { cmesh_owners_cgroup(cgroup.rawValue, type, $0, Self.capacity) }
    }
    return owners
  }

  /// Programs at sk_lookup of a network namespace, given by path.
  package static func ofNamespace(_ path: String, name: String) throws(MeshError) -> [HookOwner] {
    let namespace = try self.open(path, 0)
    return try self.owners("sk_lookup of \(name)", path) {
      cmesh_owners_namespace(namespace.rawValue, $0, Self.capacity)
    }
  }

  /// Programs at the ingress of an interface of this network namespace: tcx, and filters of clsact.
  package static func ofInterface(_ index: UInt32, name: String) throws(MeshError) -> [HookOwner] {
    try self.owners("ingress of \(name)", name) { cmesh_owners_tcx(index, $0, Self.capacity) }
      + self.owners("ingress filter of \(name)", name) { cmesh_owners_filters(index, $0, Self.capacity) }
  }

  /// Program types of the datapath, and whether this kernel takes them.
  package static func programTypes() throws(MeshError) -> [(name: String, isSupported: Bool)] {
    let types = [
      ("cgroup_sock_addr", cmesh_type_sock_addr), ("sock_ops", cmesh_type_sock_ops),
      ("cgroup_sockopt", cmesh_type_sockopt), ("sk_lookup", cmesh_type_sk_lookup),
      ("sched_cls", cmesh_type_sched_cls),
    ]
    var result: [(name: String, isSupported: Bool)] = []
    for (name, type) in types {
      let answer = cmesh_program_type_supported(type)
      guard answer >= 0 else { throw BPFFailure.error(answer, name, "cannot be probed") }
      result.append((name, answer == 1))
    }
    return result
  }

  private static func open(_ path: String, _ flags: CInt) throws(MeshError) -> OwnedDescriptor {
    let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | flags)
    return try OwnedDescriptor.owning(descriptor < 0 ? -errno : descriptor, path, "cannot be opened")
  }

  /// A kernel that does not know the hook (EINVAL) has no owners there.
  private static func owners(
    _ hook: String, _ object: String, _ ask: (UnsafeMutablePointer<UInt32>) -> CInt
  ) throws(MeshError) -> [HookOwner] {
    var ids = [UInt32](repeating: 0, count: Int(self.capacity))
    let count = ids.withUnsafeMutableBufferPointer { $0.baseAddress.map(ask) ?? 0 }
    if count == -EINVAL || count == -ENOENT { return [] }
    guard count >= 0 else { throw BPFFailure.error(count, object, "cannot be asked for the programs at \(hook)") }
    return ids.prefix(Int(count)).map { id in
      // A program may go between the question and this.
      let program = try? OwnedDescriptor.owning(cmesh_program_by_id(id), hook, "cannot open the program")
      let name = program.flatMap { try? DatapathInventory.status($0.rawValue, hook).name } ?? ""
      return HookOwner(hook: hook, program: name.isEmpty ? "program \(id)" : name)
    }
  }
}
