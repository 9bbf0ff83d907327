import MeshBase
import MeshProto
import MeshSnapshot
import Testing

@Suite("The snapshot on disk")
struct SnapshotFileTests {
  private func file() throws -> SnapshotFile {
    SnapshotFile(
      node: "host-a", epoch: 7, revision: 42, createdUnixSeconds: 1_700_000_000,
      identifiers: ["workload": ["shop/web-1": 3, "shop/web-2": 4], "policy": [:]], snapshot: try Sample.snapshot())
  }

  @Test("is read back as it was written, and written the same each time")
  func roundTrip() throws {
    let file = try self.file()
    let bytes = file.encoded()
    #expect(try SnapshotFile(bytes, node: "host-a") == file)
    #expect(bytes == (try self.file()).encoded())
    let read = try SnapshotFile(bytes, node: "host-a")
    #expect(read.snapshot.versions == file.snapshot.versions)
    #expect(read.identifiers == file.identifiers)
  }

  @Test("XD-11: a flip of any byte is found")
  func flips() throws {
    let bytes = try self.file().encoded()
    for index in bytes.indices {
      for mask in [0x01, 0x80, 0xff] as [UInt8] {
        var damaged = bytes
        damaged[index] ^= mask
        #expect(throws: MeshError.self) { try SnapshotFile(damaged, node: "host-a") }
      }
    }
  }

  @Test("XD-11: every truncation, and bytes after the end, are found")
  func truncation() throws {
    let bytes = try self.file().encoded()
    for count in bytes.indices {
      #expect(throws: MeshError.self) { try SnapshotFile(Array(bytes[..<count]), node: "host-a") }
    }
    #expect(throws: MeshError.self) { try SnapshotFile(bytes + [0], node: "host-a") }
  }

  @Test("XD-11: another node's file is refused, and says whose it is")
  func otherNode() throws {
    let bytes = try self.file().encoded()
    #expect {
      try SnapshotFile(bytes, node: "host-b")
    } throws: { error in
      (error as? MeshError)?.code == .conflict && "\(error)".contains("host-a")
    }
  }

  @Test("XD-11: a file of a newer layout is refused as such")
  func newerLayout() throws {
    var bytes = try self.file().encoded()
    bytes[11] = 2
    #expect {
      try SnapshotFile(bytes, node: "host-a")
    } throws: { error in
      (error as? MeshError)?.code == .unsupported && "\(error)".contains("layout 2")
    }
  }
}
