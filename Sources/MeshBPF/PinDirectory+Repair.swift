import CMeshBPF
import Glibc
import MeshBase

/// Whoever is root can empty the directory, remove it, or unmount the file system, while its owner runs.
extension PinDirectory {
  /// Makes what is missing, and takes the lock of a directory that is new.
  func repair(maps: [(name: String, descriptor: CInt)]) throws(MeshError) {
    try self.makeAndLock()
    guard self.hasPins else { return try self.pin(maps: maps) }
    try Self.makeDirectory(self.mapsPath)
    try Self.makeDirectory(self.linksPath)
    for map in maps where access(self.mapsPath + "/" + map.name, F_OK) != 0 {
      let result = cmesh_pin(map.descriptor, self.mapsPath + "/" + map.name)
      guard result == 0 else { throw BPFFailure.error(result, map.name, "cannot pin the map") }
    }
  }
}
