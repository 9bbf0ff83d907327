import Testing

@testable import MeshCommands

@Suite("The container's name, from its monitor")
struct ConmonTests {
  private func line(_ words: String...) -> [UInt8] { words.flatMap { Array($0.utf8) + [0] } }

  @Test("conmon's own command line has it, if it is this container's")
  func name() {
    let line = self.line(
      "/usr/bin/conmon", "--api-version", "1", "-c", "abc", "-u", "abc", "-n", "web", "--exit-dir", "/x")
    #expect(Conmon.name(ofContainer: "abc", in: line) == "web")
    #expect(Conmon.name(ofContainer: "abd", in: line) == nil)
    #expect(Conmon.name(ofContainer: "abc", in: self.line("/usr/bin/runc", "-c", "abc", "-n", "web")) == nil)
    #expect(Conmon.name(ofContainer: "abc", in: self.line("conmon", "-c", "abc", "-n")) == nil)
    #expect(Conmon.name(ofContainer: "abc", in: self.line("conmon", "-c", "abc", "-n", "a/b")) == nil)
    #expect(Conmon.name(ofContainer: "abc", in: []) == nil)
  }

  @Test("parents are read from /proc/PID/status")
  func parent() {
    #expect(Conmon.parent(in: "Name:\tx\nPid:\t7\nPPid:\t42\nTracerPid:\t0\n") == 42)
    #expect(Conmon.parent(in: "Name:\tPPid:\n") == nil)
    #expect(Conmon.parent(in: "PPid:\tx\n") == nil)
  }
}
