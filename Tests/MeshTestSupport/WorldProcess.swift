import Glibc
import MeshBase
package import MeshLinux

/// A program that runs in a place. What it says is kept in files.
package final class WorldProcess: Sendable {
  package let child: ChildProcess
  package let command: [String]
  private let world: World
  private let outputPath: String
  private let errorPath: String

  init(_ child: ChildProcess, command: [String], world: World, outputPath: String, errorPath: String) {
    self.child = child
    self.command = command
    self.world = world
    self.outputPath = outputPath
    self.errorPath = errorPath
  }

  package var pid: Int32 { self.child.pid }
  package var isRunning: Bool { self.child.exitStatus == nil }

  /// What it has said until now.
  package var stdout: String { (try? String(contentsOfSmallFile: self.outputPath)) ?? "" }
  package var stderr: String { (try? String(contentsOfSmallFile: self.errorPath)) ?? "" }

  /// Waits for its end; kills it and throws when the time is over.
  @discardableResult
  package func finish(within timeout: Duration) throws -> Finished {
    guard let status = self.child.wait(milliseconds: timeout.milliseconds) else {
      try self.child.kill()
      _ = self.child.wait(milliseconds: 5000)
      throw MeshError(
        .unavailable, self.command.joined(separator: " "), "did not end within \(timeout)",
        cause: "stdout: \(self.stdout)\nstderr: \(self.stderr)")
    }
    return Finished(status: status, stdout: self.stdout, stderr: self.stderr)
  }

  /// SIGTERM, and SIGKILL after two seconds.
  @discardableResult
  package func stop() throws -> Finished {
    try self.child.signal(SIGTERM)
    if self.child.wait(milliseconds: 2000) == nil { try self.child.kill() }
    return try self.finish(within: .seconds(5))
  }

  /// SIGKILL.
  @discardableResult
  package func kill() throws -> Finished {
    try self.child.kill()
    return try self.finish(within: .seconds(5))
  }
}

extension Duration {
  /// Rounded down, at least 0, at most what poll(2) takes.
  var milliseconds: Int32 {
    let (seconds, attoseconds) = self.components
    guard seconds < 2_000_000 else { return 2_000_000_000 }
    return Int32(max(0, seconds * 1000 + attoseconds / 1_000_000_000_000_000))
  }
}
