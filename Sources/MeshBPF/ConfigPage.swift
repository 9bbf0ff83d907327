package import CMeshABI
import CMeshBPF
import Glibc
import MeshBase

/// The one element of the config map, written in place: a flip of the generation is one store. Single writer.
///
/// Unchecked: the page is memory that the kernel reads concurrently; the generation and the cgroup are stored whole, and
/// one owner calls the mutating functions.
package final class ConfigPage: @unchecked Sendable {
  private let page: UnsafeMutablePointer<mesh_config>
  private let length: Int

  init(descriptor: CInt, name: String) throws(MeshError) {
    let length = Int(sysconf(CInt(_SC_PAGESIZE)))
    var failure: CInt = 0
    guard let address = cmesh_map_mmap(descriptor, length, &failure) else {
      throw BPFFailure.error(failure, name, "cannot map the config page")
    }
    self.length = length
    self.page = address.bindMemory(to: mesh_config.self, capacity: 1)
  }

  deinit {
    cmesh_map_munmap(self.page, self.length)
  }

  /// What the programs see now.
  package var current: mesh_config { self.page.pointee }

  /// The generation that decides. The store makes everything written before visible first.
  package var generation: UInt32 {
    get { cmesh_load_acquire(&self.page.pointee.generation) }
    set { cmesh_store_release(&self.page.pointee.generation, newValue) }
  }

  /// Everything but the generation, which keeps its value. For the start, before workloads are enrolled.
  package func configure(_ change: (inout mesh_config) -> Void) {
    var config = self.page.pointee
    change(&config)
    self.page.pointee.vip4_be = config.vip4_be
    self.page.pointee.vip4_mask_be = config.vip4_mask_be
    self.page.pointee.vip6 = config.vip6
    self.page.pointee.vip6_prefix = config.vip6_prefix
    self.page.pointee.proxy_cgroup = config.proxy_cgroup
    self.page.pointee.heartbeat_ns = config.heartbeat_ns
    self.page.pointee.host_netns = config.host_netns
  }

  /// CLOCK_MONOTONIC of the agent's last sign of life.
  package func heartbeat(_ nanoseconds: UInt64) {
    self.page.pointee.heartbeat_ns = nanoseconds
  }
}
