import MeshLinux
import Testing

@Suite struct ProgramPagesTests {
  /// Resident pages of files, in KiB.
  private func resident() throws -> Int {
    let bytes = try DiskFile.read("/proc/self/status", limit: 1 << 16)
    let line = String(decoding: bytes, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix("RssFile:") }
    return try #require(line.flatMap { Int($0.filter(\.isNumber)) })
  }

  @Test("Pages of the program that are given back are resident no more, and the program goes on")
  func givesBack() throws {
    let before = try self.resident()
    ProgramPages.giveBack()
    let after = try self.resident()
    #expect(after < before)
    let answer = (1...20).map { "\($0)" }.joined(separator: " ")
    #expect(answer.hasPrefix("1 2 3"))
  }
}
