import Foundation
import Testing

/// The programs as people call them wrongly. Needs no root: none of these gets as far as doing something.
@Suite("Wrong command lines") struct UsageTests {
  struct Wrong: Sendable, CustomTestStringConvertible {
    var program: String
    var arguments: [String]
    /// What standard error has to name.
    var says: String

    init(_ program: String, _ arguments: [String], _ says: String) {
      self.program = program
      self.arguments = arguments
      self.says = says
    }

    var testDescription: String { ([self.program] + self.arguments).joined(separator: " ") }
  }

  private static func run(_ program: String, _ arguments: [String]) throws -> (status: Int32, out: String, err: String)
  {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let process = Process()
    process.executableURL = root.appendingPathComponent(".build/debug/\(program)")
    process.arguments = arguments
    let (out, err) = (Pipe(), Pipe())
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = out
    process.standardError = err
    try process.run()
    // Less than a pipe holds, so one after the other.
    let text = try (out.fileHandleForReading.readToEnd() ?? Data(), err.fileHandleForReading.readToEnd() ?? Data())
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: text.0, as: UTF8.self), String(decoding: text.1, as: UTF8.self))
  }

  @Test(
    "exit status 2, nothing on standard output, and the wrong option is named on standard error",
    arguments: [
      Wrong("martletd", [], "--node"), Wrong("martletd", ["--node", "A_B"], "--node A_B"),
      Wrong("martletd", ["--node", "a", "--nonsense"], "--nonsense"),
      Wrong("martletd", ["--node", "a", "--control", "/run/x.sock"], "--control /run/x.sock is not unix:PATH"),
      Wrong("martletd", ["--node", "a", "--control", "unix:"], "--control is empty"),
      Wrong("martletd", ["--node", "a", "--proxy", ""], "--proxy is empty"),
      Wrong("martletd", ["--node", "a", "--pin-dir", ""], "--pin-dir is empty"),
      Wrong("martletd", ["--node", "a", "--proxy-loops", "-1"], "--proxy-loops"),
      Wrong("martletd", ["--node", "a", "--proxy-user", ""], "--proxy-user is empty"),
      Wrong("martletd", ["--node", "a", "--log-level", "loud"], "--log-level loud"),
      Wrong("martletd", ["--node", "a", "--metrics-address", "15020"], "--metrics-address 15020"),
      Wrong("martletd", ["--node", "a", "--health-address", "x:y"], "--health-address x:y"),
      Wrong("martlet-proxy", ["--loops", "5000"], "--loops is 0 to 1024"),
      Wrong("martlet-proxy", ["--drain-timeout", "90000"], "--drain-timeout is"),
      Wrong("martlet-proxy", ["--idle-timeout", "9000000"], "--idle-timeout is"),
      Wrong("martlet-proxy", ["--log-level", "loud"], "--log-level loud"),
      Wrong("martlet-proxy", ["--run-dir", ""], "--run-dir is empty"),
      Wrong("martlet-proxy", ["extra"], "extra"),
      Wrong("martlet-control", [], "--resources"),
      Wrong("martlet-control", ["--resources", ""], "--resources is empty"),
      Wrong("martlet-control", ["--resources", "x", "--api-socket", ""], "--api-socket is empty"),
      Wrong("martlet-control", ["--resources", "x", "--health-address", "15022"], "--health-address 15022"),
      Wrong("martlet", ["get", "everything"], "everything"),
      Wrong("martlet-control", ["--resources", "x", "--log-level", "loud"], "--log-level"),
      Wrong("martlet-control", ["--resources", "x", "--state-dir", ""], "--state-dir is empty"),
      Wrong("martlet", ["nonsense"], "nonsense"), Wrong("martlet", ["show", "secrets"], "secrets"),
      Wrong("martlet", ["explain", "a", "b"], "b"), Wrong("martlet", ["observe", "--last=-1"], "--last"),
      Wrong("martlet", ["status", "-o", "xml"], "xml"), Wrong("martlet", ["log-level", "loud"], "loud is not trace"),
      Wrong("martlet", ["purge", "--nonsense"], "--nonsense"), Wrong("martlet", ["dryrun"], "--file"),
      Wrong("martlet", ["bench", "--client", "a", "--server", "b", "--mesh", "x", "--direct", "y"], "ADDRESS:PORT"),
    ])
  func wrong(usage: Wrong) throws {
    let result = try Self.run(usage.program, usage.arguments)
    #expect(result.status == 2, "\(result)")
    #expect(result.out.isEmpty)
    #expect(result.err.contains(usage.says), "\(result.err)")
  }

  @Test(
    "0: help and version are answers on standard output",
    arguments: ["martletd", "martlet-proxy", "martlet-control", "martlet"])
  func answers(program: String) throws {
    let help = try Self.run(program, ["--help"])
    #expect(help.status == 0 && help.err.isEmpty)
    #expect(help.out.hasPrefix("OVERVIEW: ") && help.out.contains("Exit status") && help.out.contains("EXAMPLE"))
    let version = try Self.run(program, ["--version"])
    #expect(version.status == 0 && version.err.isEmpty)
    #expect(version.out.wholeMatch(of: /[0-9]+\.[0-9]+\.[0-9]+\n/) != nil, "\(version.out)")
  }

  @Test("2: a path that is not there; 1: what was asked cannot be done, and why; 3: no agent, with the socket's path")
  func failures() throws {
    let missing = try Self.run("martlet", ["dryrun", "-f", "/nonexistent/mt"])
    #expect(missing.status == 2 && missing.err.contains("/nonexistent/mt"))
    let check = try Self.run("martlet-control", ["--check", "--resources", "/nonexistent/mt"])
    #expect(check.status == 1 && check.err.contains("/nonexistent/mt"))
    let silent = try Self.run("martlet", ["status", "--run-dir", "/nonexistent/mt"])
    #expect(silent.status == 3 && silent.err.contains("/nonexistent/mt/agent.sock"))
  }
}
