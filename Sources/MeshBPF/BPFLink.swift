import CMeshBPF
import Glibc
package import MeshBase

/// A program attached somewhere. It stays attached while this value or a pin exists.
package final class BPFLink: Sendable {
  package let name: String
  let descriptor: OwnedDescriptor
  /// Which program is to be in it and where, as the name says; it is asked for every few seconds.
  let program: String?
  let place: AttachmentFault.Place?
  let half: KernelDatapath.Half?

  package struct Info: Equatable, Sendable {
    package var id: UInt32
    package var program: UInt32
    package var attachType: UInt32
    /// Cgroup id, namespace inode or interface index; 0 once the target is gone.
    package var target: UInt64
  }

  private init(_ name: String, _ descriptor: OwnedDescriptor) {
    self.name = name
    self.descriptor = descriptor
    self.program = KernelDatapath.program(ofLink: name)
    let place = KernelDatapath.place(ofLink: name)
    self.place = place
    self.half = KernelDatapath.Half(of: name, place)
  }

  /// Attaches to a cgroup, beside the programs of others (BPF_F_ALLOW_MULTI).
  package static func cgroup(_ name: String, program: CInt, cgroup: CInt, attachType: UInt32) throws(MeshError)
    -> BPFLink
  {
    BPFLink(
      name,
      try .owning(cmesh_link_cgroup(program, cgroup, attachType), name, "cannot attach to the cgroup"))
  }

  /// Attaches an sk_lookup program to a network namespace.
  package static func namespace(_ name: String, program: CInt, namespace: CInt) throws(MeshError) -> BPFLink {
    BPFLink(name, try .owning(cmesh_link_netns(program, namespace), name, "cannot attach to the network namespace"))
  }

  /// Attaches to what an interface of the caller's namespace receives. Kernels since 6.6.
  ///
  /// - Returns: nil if the kernel has no tcx.
  package static func tcxIngress(_ name: String, program: CInt, interface: UInt32) throws(MeshError) -> BPFLink? {
    let result = cmesh_link_tcx_ingress(program, interface)
    if result == -EINVAL { return nil }
    return BPFLink(name, try .owning(result, name, "cannot attach to interface \(interface)"))
  }

  /// Opens a pinned link.
  package static func pinned(_ name: String, path: String) throws(MeshError) -> BPFLink {
    BPFLink(name, try .owning(cmesh_pin_get(path), path, "cannot open the pinned link"))
  }

  package func info() throws(MeshError) -> Info {
    var info = cmesh_link_info()
    let result = cmesh_link_info(self.descriptor.rawValue, &info)
    guard result == 0 else { throw BPFFailure.error(result, self.name, "cannot read the link") }
    return Info(id: info.id, program: info.program_id, attachType: info.attach_type, target: info.target)
  }

  /// Puts another program in place of the present one, atomically: no call sees none.
  package func update(program: CInt) throws(MeshError) {
    let result = cmesh_link_update(self.descriptor.rawValue, program)
    guard result == 0 else { throw BPFFailure.error(result, self.name, "cannot replace the program") }
  }

  /// Detaches at once, whoever else holds the link.
  package func detach() {
    _ = cmesh_link_detach(self.descriptor.rawValue)
  }

  package func pin(path: String) throws(MeshError) {
    let result = cmesh_pin(self.descriptor.rawValue, path)
    guard result == 0 else { throw BPFFailure.error(result, path, "cannot pin the link") }
  }
}
