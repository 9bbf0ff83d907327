import ArgumentParser
import Foundation
import MeshBase

struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench", abstract: "Compare iperf3 through the mesh with iperf3 direct.",
    discussion: """
      Runs an iperf3 server in the network namespace --server and clients in --client, --rounds times, each round once to \
      --direct and once to --mesh, in turns of who is first. --mesh is what the mesh decides on: a service's or a \
      workload's ADDRESS:PORT. --direct is an address that leads to the same server past the mesh; if the namespaces are \
      enrolled, give a pair that is not with --direct-client and --direct-server. The port of the server is that of \
      --direct; --server-port where --mesh leads to another one. Prints Gbit/s and the median of the rounds' ratios.

      EXAMPLE
        martlet bench --client client --server server --mesh 10.96.0.10:5201 \\
          --direct-client plain-a --direct-server plain-b --direct 10.9.0.2:5201
      """)

  @Option(help: ArgumentHelp("Network namespace of the client, a name in /run/netns or a path.", valueName: "netns"))
  var client: String
  @Option(help: ArgumentHelp("Network namespace of the server.", valueName: "netns"))
  var server: String
  @Option(help: ArgumentHelp("Dialled through the mesh.", valueName: "address:port"))
  var mesh: String
  @Option(help: ArgumentHelp("Dialled direct.", valueName: "address:port"))
  var direct: String
  @Option(help: ArgumentHelp("Client's namespace for --direct.", valueName: "netns"))
  var directClient: String?
  @Option(help: ArgumentHelp("Server's namespace for --direct.", valueName: "netns"))
  var directServer: String?
  @Option(help: ArgumentHelp("Port that the mesh's server listens on.", valueName: "port"))
  var serverPort: UInt16?
  @Option(help: "Rounds, 1 to 100.") var rounds = 5
  @Option(help: "Seconds a run, 1 to 60.") var seconds = 2
  @Option(help: "Parallel streams, 1 to 128.") var streams = 1
  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard SocketEndpoint(self.mesh) != nil, SocketEndpoint(self.direct) != nil else {
      throw ValidationError("--mesh and --direct take ADDRESS:PORT")
    }
    guard (1...100).contains(self.rounds), (1...60).contains(self.seconds), (1...128).contains(self.streams) else {
      throw ValidationError("--rounds is 1 to 100, --seconds 1 to 60, --streams 1 to 128")
    }
  }

  func run() throws {
    guard let mesh = SocketEndpoint(self.mesh), let direct = SocketEndpoint(self.direct) else { return }
    guard Tool.find("iperf3") != nil else {
      throw MeshError(.unsupported, "iperf3", "is not installed", next: "apt-get install iperf3")
    }
    var rounds: [BenchResult.Round] = []
    for round in 0..<self.rounds {
      var result = BenchResult.Round(direct: 0, mesh: 0)
      for way in round % 2 == 0 ? [0, 1] : [1, 0] {
        if way == 0 {
          result.direct = try self.measure(
            direct, client: self.directClient ?? self.client, server: self.directServer ?? self.server,
            port: direct.port)
        } else {
          result.mesh = try self.measure(
            mesh, client: self.client, server: self.server, port: self.serverPort ?? mesh.port)
        }
      }
      rounds.append(result)
      if self.output.output == .table { Console.complain("round \(round + 1) of \(self.rounds) done") }
    }
    let result = BenchResult(seconds: self.seconds, streams: self.streams, rounds: rounds)
    Console.print(try Presentation.text(result, self.output.output) { $0.text })
  }

  /// One server for one run (`-1`), ended by its own deadline whatever happens.
  private func measure(_ target: SocketEndpoint, client: String, server: String, port: UInt16) throws -> Double {
    let limit = self.seconds + 10
    let listener = Process()
    guard let nsenter = Tool.find("nsenter"), let timeout = Tool.find("timeout") else {
      throw MeshError(.unsupported, "nsenter", "is not installed")
    }
    listener.executableURL = URL(fileURLWithPath: timeout)
    listener.arguments = [
      "-k", "1", String(limit), nsenter, "--net=" + Self.path(server), "iperf3", "-s", "-1", "-p", String(port),
    ]
    listener.standardInput = FileHandle.nullDevice
    listener.standardOutput = FileHandle.nullDevice
    listener.standardError = FileHandle.nullDevice
    try listener.run()
    defer {
      if listener.isRunning { listener.terminate() }
      listener.waitUntilExit()
    }
    var last: (any Error)?
    // The server needs a moment to listen: a client that comes too early is refused and tries again.
    for _ in 0..<20 {
      usleep(100_000)
      let run = Tool.run(
        [
          nsenter, "--net=" + Self.path(client), "iperf3", "-J", "-c", target.address.description, "-p",
          String(target.port), "-t", String(self.seconds), "-P", String(self.streams),
        ], seconds: limit)
      do {
        return try BenchResult.bitsPerSecond(run?.output ?? "")
      } catch {
        last = error
        if !listener.isRunning { break }
      }
    }
    throw last ?? MeshError(.unavailable, "iperf3", "did not run")
  }

  private static func path(_ name: String) -> String { name.contains("/") ? name : "/run/netns/" + name }
}
