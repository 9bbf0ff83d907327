import CMeshLinux

/// A process that holds private keys.
package enum SecretMemory {
  /// Neither the kernel nor another user's debugger writes this process's memory to a file. Its children dump no core either.
  package static func keepFromDumps() { cmesh_no_dumps() }
}
