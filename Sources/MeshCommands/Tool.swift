import Foundation

/// Another program, run to its end with a deadline.
struct Tool: Sendable {
  struct Result: Sendable {
    var status: Int32
    var output: String
    var errors: String
  }

  /// First match in PATH and the directories of system programs, which a user's PATH may lack.
  static func find(_ name: String) -> String? {
    let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
    return
      (path.split(separator: ":").map(String.init) + ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"])
      .map { "\($0)/\(name)" }.first { FileManager.default.isExecutableFile(atPath: $0) }
  }

  /// Nil if the program is not there or cannot be started. `timeout` (coreutils) ends what takes longer than `seconds`.
  static func run(_ arguments: [String], seconds: Int) -> Result? {
    guard let first = arguments.first, let executable = first.hasPrefix("/") ? first : self.find(first),
      let timeout = self.find("timeout")
    else { return nil }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: timeout)
    process.arguments = ["-k", "1", String(seconds), executable] + arguments.dropFirst()
    let output = Pipe()
    let errors = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-\(UUID().uuidString)")
    _ = FileManager.default.createFile(atPath: errors.path, contents: nil)
    defer { try? FileManager.default.removeItem(at: errors) }
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = (try? FileHandle(forWritingTo: errors)) ?? FileHandle.nullDevice
    guard (try? process.run()) != nil else { return nil }
    let data = (try? output.fileHandleForReading.readToEnd()) ?? Data()
    process.waitUntilExit()
    let text = (try? Data(contentsOf: errors)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    return Result(
      status: process.terminationStatus, output: String(decoding: data, as: UTF8.self), errors: text)
  }
}
