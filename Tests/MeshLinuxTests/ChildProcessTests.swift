import Glibc
import MeshBase
import Testing

@testable import MeshLinux

@Suite struct ChildProcessTests {
  /// Runs a program and gives what it has written to descriptor 1, with how it ended.
  static func output(_ configuration: ChildProcess.Configuration) throws -> (text: String, status: Termination?) {
    let (reading, writing) = try Descriptor.pipe().split()
    let reader = Descriptor(owning: reading)
    var configuration = configuration
    configuration.descriptors[1] = writing
    let child: ChildProcess
    do {
      defer { close(writing) }
      child = try ChildProcess.spawn(configuration)
    }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = read(reader.rawValue, &chunk, chunk.count)
      guard count > 0 else { break }
      bytes += chunk[..<count]
    }
    return (String(decoding: bytes, as: UTF8.self), child.wait(milliseconds: 10_000))
  }

  @Test("Arguments, environment and directory are what was written, and nothing else")
  func exact() throws {
    let result = try Self.output(
      ChildProcess.Configuration(
        "/bin/sh", ["-c", "echo \"$1|$2\"; pwd; env | grep -v '^_=\\|^PWD=\\|^SHLVL='", "name", "a b", ""],
        environment: ["KEY": "value"], directory: "/usr"))
    #expect(result.text == "a b|\n/usr\nKEY=value\n")
    #expect(result.status == .code(0))
  }

  @Test("Only listed descriptors are inherited, at their numbers, swapped ones too")
  func descriptors() throws {
    let (first, second) = try Descriptor.pipe().split()
    defer {
      close(first)
      close(second)
    }
    // Not close-on-exec, and not listed: must not be seen.
    let stray = dup(first)
    defer { close(stray) }
    let result = try Self.output(
      ChildProcess.Configuration(
        "/bin/ls", ["-l", "/proc/self/fd"], descriptors: [2: second, first: second, second: first, 40: first]))
    let numbers = result.text.split(separator: "\n").compactMap { line -> Int32? in
      let fields = line.split(separator: " ")
      guard let arrow = fields.firstIndex(of: "->"), arrow > 0 else { return nil }
      return Int32(fields[arrow - 1])
    }
    // One more is the directory that ls reads.
    let expected: Set<Int32> = [0, 1, 2, first, second, 40]
    #expect(expected.isSubset(of: Set(numbers)))
    #expect(Set(numbers).subtracting(expected).count == 1)
    #expect(result.text.contains("0 -> /dev/null"))
  }

  @Test("Signals are at their defaults, nothing is blocked, the session is its own")
  func signals() throws {
    let result = try Self.output(
      ChildProcess.Configuration(
        "/bin/grep", ["-E", "^(Pid|NSsid|SigBlk|SigIgn):", "/proc/self/status"]))
    // Not through a shell: it blocks all signals while it starts a command.
    let lines = result.text.split(separator: "\n").map { $0.split(separator: "\t") }
    let fields = Dictionary(uniqueKeysWithValues: lines.map { ($0[0], $0[1]) })
    #expect(fields["SigBlk:"] == "0000000000000000" && fields["SigIgn:"] == "0000000000000000")
    #expect(fields["Pid:"] != nil && fields["NSsid:"] == fields["Pid:"])
  }

  @Test("How it ended is told: status, signal; and can be asked again")
  func status() throws {
    #expect(try ChildProcess.spawn(.init("/bin/sh", ["-c", "exit 7"])).wait(milliseconds: 10_000) == .code(7))
    let sleeper = try ChildProcess.spawn(.init("/bin/sleep", ["1000"]))
    #expect(sleeper.exitStatus == nil)
    #expect(sleeper.wait(milliseconds: 1) == nil)
    #expect(try sleeper.kill())
    #expect(sleeper.wait(milliseconds: 10_000) == .signal(SIGKILL))
    #expect(sleeper.exitStatus == .signal(SIGKILL))
    #expect(sleeper.handle.hasExited)
    #expect(try sleeper.signal(SIGTERM) == false)
  }

  @Test("Waiting without a thread of ours: the end comes as an event")
  func exit() async throws {
    let child = try ChildProcess.spawn(.init("/bin/sh", ["-c", "exit 3"]))
    #expect(try await child.exit() == .code(3))
    #expect(try await child.exit() == .code(3))
  }

  @Test("What cannot be started says at which step, and leaves no process")
  func failures() throws {
    #expect {
      _ = try ChildProcess.spawn(.init("/nonexistent/program"))
    } throws: {
      "\($0)".contains("/nonexistent/program") && "\($0)".contains("exec: No such file")
    }
    #expect { _ = try ChildProcess.spawn(.init("/bin/sh", directory: "/nonexistent")) } throws: {
      "\($0)".contains("chdir")
    }
    #expect { _ = try ChildProcess.spawn(.init("/bin/sh", descriptors: [5: 9999])) } throws: {
      "\($0)".contains("descriptors")
    }
    #expect(throws: MeshError.self) { _ = try ChildProcess.spawn(.init("/bin/sh", ["a\0b"])) }
    #expect(throws: MeshError.self) { _ = try ChildProcess.spawn(.init("/bin/sh", descriptors: [-1: 0])) }
  }

  @Test("A handle of another process: signals it, sees its end, copies its descriptors")
  func handle() throws {
    let (first, second) = try Descriptor.pipe().split()
    let reader = Descriptor(owning: first)
    let child: ChildProcess
    do {
      defer { close(second) }
      child = try ChildProcess.spawn(.init("/bin/sleep", ["1000"], descriptors: [30: second]))
    }
    let handle = try ProcessHandle.open(pid: child.pid)
    #expect(!handle.hasExited)
    do {
      let copy = try handle.copyDescriptor(30)
      #expect(write(copy.rawValue, "x", 1) == 1)
    }
    var byte: UInt8 = 0
    #expect(read(reader.rawValue, &byte, 1) == 1 && byte == UInt8(ascii: "x"))
    #expect(throws: MeshError.self) { _ = try handle.copyDescriptor(31) }
    #expect(try handle.signal(SIGKILL))
    #expect(handle.waitForExit(milliseconds: 10_000))
    #expect(child.wait(milliseconds: 10_000) == .signal(SIGKILL))
    #expect(try !handle.signal(SIGKILL))
    #expect(throws: MeshError.self) { _ = try handle.cgroupPath() }
  }
}
