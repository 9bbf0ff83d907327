/// # MeshLinux: the Linux of the mesh
///
/// Network namespaces, cgroups, processes, descriptors and their passing, sockets as the kernel lists them. Floor 5: thin
/// drivers over `CMeshLinux`; nothing is decided here.
///
/// Read in this order: `Descriptor`, `SystemError`, `NetworkNamespace`, `SocketRecord`, `Cgroup`, `ChildProcess`,
/// `ProcessHandle`, `DescriptorSocket`, `FileLock`, `ServiceSupervisor`.
///
/// Invariants: a descriptor has one owner, which closes it; every descriptor is close-on-exec; no thread that runs Swift
/// code ever changes its network namespace; objects are named by what the kernel never uses twice (namespace cookie,
/// socket cookie, cgroup id, pidfd), not by path, inode or pid; every wait is bounded, unless its name says otherwise.
package enum MeshLinux {}
