import ArgumentParser
import MeshBase

struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench", abstract: "Compare iperf3 through the mesh with iperf3 direct.",
    discussion: """
      Runs an iperf3 server in the network namespace --server and clients in --client, --rounds times, each round once to \
      --direct and once to --mesh, in turns of who is first. --mesh is what the mesh decides on: a service's or a \
      workload's ADDRESS:PORT. --direct is an address that leads to the same server past the mesh; if the namespaces are \
      enrolled, give a pair that is not with --direct-client and --direct-server. The port of the server is that of \
      --direct; --server-port where --mesh leads to another one. Prints Gbit/s of each round, the medians, the median of the rounds' ratios and \
      the lower end of its 95 % interval (by bootstrap). Progress goes to standard error. It takes about two times --rounds \
      times --seconds and stops by itself; interrupted, it ends the iperf3 processes that it started. Needs root and iperf3; \
      exit status 1 if a side cannot be measured.

      EXAMPLE
        martlet bench --rounds 15 --client client --server server --mesh 10.96.0.10:5201 \\
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
  @Option(help: "Pairs of runs, 1 to 100. 15 give a bound that means something.") var rounds = 5
  @Option(help: "Length of a run in seconds, 1 to 60.") var seconds = 2
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
    guard let iperf3 = Tool.find("iperf3"), let nsenter = Tool.find("nsenter"), let timeout = Tool.find("timeout")
    else {
      throw MeshError(
        .unsupported, "iperf3, nsenter or timeout", "is not installed",
        next: "apt-get install iperf3 util-linux coreutils")
    }
    let run = IperfRun(
      iperf3: iperf3, nsenter: nsenter, timeout: timeout, seconds: self.seconds, streams: self.streams)
    let sides = [
      (
        target: direct, client: try IperfRun.namespace(self.directClient ?? self.client),
        server: try IperfRun.namespace(self.directServer ?? self.server), port: direct.port
      ),
      (
        target: mesh, client: try IperfRun.namespace(self.client), server: try IperfRun.namespace(self.server),
        port: self.serverPort ?? mesh.port
      ),
    ]
    IperfRun.endOnSignals()
    Console.complain(
      "\(self.rounds) rounds, about \(self.rounds * (2 * self.seconds + 1)) s, at most \(self.rounds * 2 * run.limit) s"
    )
    var rounds: [BenchResult.Round] = []
    for number in 0..<self.rounds {
      var bits: [Double] = [0, 0]
      for side in number % 2 == 0 ? [0, 1] : [1, 0] {
        let (target, client, server, port) = sides[side]
        do throws(MeshError) {
          bits[side] = try run.measure(target, client: client, server: server, port: port)
        } catch {
          throw MeshError(
            error.code, "\(side == 0 ? "direct" : "mesh") to \(target)", "cannot be measured", cause: "\(error)",
            next: side == 0
              ? "does the address lead to \(server), and is its port \(port) free?"
              : "martlet explain says what the mesh does with it; is port \(port) of \(server) free?")
        }
      }
      let round = BenchResult.Round(direct: bits[0], mesh: bits[1])
      rounds.append(round)
      Console.complain(
        "round \(number + 1) of \(self.rounds): direct \(BenchResult.gigabits(round.direct)) Gbit/s, "
          + "mesh \(BenchResult.gigabits(round.mesh)) Gbit/s")
    }
    let result = BenchResult(seconds: self.seconds, streams: self.streams, rounds: rounds)
    Console.print(try Presentation.text(result, self.output.output) { $0.text })
  }
}
