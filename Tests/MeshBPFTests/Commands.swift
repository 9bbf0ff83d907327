import Foundation

/// Programs that the tests run, with bounded time.
enum Commands {
  struct Failure: Error, CustomStringConvertible {
    var description: String
  }

  static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().path
  static let objects = repository + "/.build/bpf"
  static let probe = repository + "/Tests/MeshBPFTests/probe.py"
  /// The distribution's own: shims of version managers cost 100 ms a start.
  static let python =
    FileManager.default.isExecutableFile(atPath: "/usr/bin/python3") ? "/usr/bin/python3" : "python3"

  /// Connects as fast as one thread can, in C; compiled once.
  static func connectLoop() throws -> String { try self.compiledLoop.get() }

  private static let compiledLoop = Result {
    let program = repository + "/.build/connloop"
    try run(["clang", "-O2", "-o", program, repository + "/scripts/bench.d/connloop.c"])
    return program
  }

  /// Runs to the end and returns standard output.
  @discardableResult
  static func run(_ words: [String], seconds: Int = 60, allowFailure: Bool = false) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/timeout")
    process.arguments = ["-k", "2", String(seconds)] + words
    let output = Pipe()
    let problems = Pipe()
    process.standardOutput = output
    process.standardError = problems
    process.standardInput = FileHandle.nullDevice
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    let trouble = String(decoding: problems.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 || allowFailure else {
      throw Failure(description: "\(words.joined(separator: " ")): \(process.terminationStatus) \(trouble)\(text)")
    }
    return text
  }

  static func ip(_ line: String) throws {
    try self.run(["ip"] + line.split(separator: " ").map(String.init))
  }
}

/// A process that runs until its standard input is closed, so that it also ends with the test that started it.
final class Server {
  private let process = Process()
  private let input = Pipe()

  init(_ words: [String]) throws {
    let output = Pipe()
    self.process.executableURL = URL(fileURLWithPath: "/usr/bin/timeout")
    self.process.arguments = ["-k", "2", "120"] + words
    self.process.standardInput = self.input
    self.process.standardOutput = output
    try self.process.run()
    // The line "ready", or nothing if it died.
    let line = output.fileHandleForReading.availableData
    guard !line.isEmpty else { throw Commands.Failure(description: "server did not start: \(words)") }
  }

  deinit {
    try? self.input.fileHandleForWriting.close()
    self.process.waitUntilExit()
  }
}
