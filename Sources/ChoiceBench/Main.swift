import Glibc
import MeshBase
import MeshRouting
import MeshSnapshot

/// What one choice of an endpoint costs, for scripts/bench: a line of JSON for each balancer and number of endpoints, `ns` being
/// the nanoseconds of one choice in a loop that does nothing else. Built by that script alone.
@main struct ChoiceBench {
  private static let balancers: [(String, Balancer)] = [
    ("random", .random), ("round robin", .roundRobin), ("least request", .leastRequest),
    ("ring hash", .ringHash([.source])),
    ("maglev", .maglev([.source])),
  ]
  private static let original = SocketEndpoint(IPAddress(v4: 0xf000_0001), 80)

  static func main() {
    let times = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 2_000_000
    guard (1...1_000_000_000).contains(times) else { return }
    for count in [10, 100, 1000] {
      for (name, balancer) in Self.balancers {
        guard let bench = Bench(balancer, count) else { continue }
        let (choice, attempt) = bench.run(times)
        print(
          "{\"balancer\": \"\(name)\", \"endpoints\": \(count), \"ns\": \(choice), \"attempt_ns\": \(attempt)}")
      }
    }
  }

  private struct Bench {
    let table: RoutingTable
    let share: RoutingTable.Share
    var random = Steps(state: 1)

    init?(_ balancer: Balancer, _ count: Int) {
      guard let name = ResourceName("a/web") else { return nil }
      let port = ServicePort(
        port: 80, appProtocol: .http, backends: [Backend(service: name, port: 80)],
        traffic: TrafficSettings(origin: name, balancer: balancer))
      let endpoints = (1...count).map {
        Endpoint(
          addresses: [IPAddress(v4: 0x0a00_0000 | UInt32($0))],
          ports: [PortMapping(servicePort: 80, targetPort: 8080)])
      }
      let version = ContentVersion(value: 1)
      self.table = RoutingTable(
        Snapshot([
          VersionedEntry(.config(ConfigEntry(trustDomain: "m")), version: version),
          VersionedEntry(
            .service(ServiceEntry(name: name, addresses: [ChoiceBench.original.address], ports: [port])),
            version: version),
          VersionedEntry(.endpoints(EndpointsEntry(service: name, endpoints: endpoints)), version: version),
        ]))
      guard let share = try? self.table.share(to: ChoiceBench.original, using: &self.random).get() else { return nil }
      self.share = share
    }

    /// Nanoseconds of a choice, and of what is counted of the attempt that follows.
    func run(_ times: Int) -> (choice: Double, attempt: Double) {
      var random = self.random
      var sum: UInt64 = 0
      func choose(_ number: Int) -> RoutingTable.Choice? {
        let context = BalancerContext(isRequest: true, key: random.next(), now: UInt64(number >> 10))
        return self.table.endpoint(in: self.share, except: [], context, using: &random)
      }
      // Every endpoint has answered before, so that costs are compared.
      for number in 0..<20_000 { Self.attempt(at: choose(number), number) }
      let began = Self.nanoseconds()
      for number in 0..<times { sum &+= UInt64(choose(number)?.target.port ?? 0) }
      let chosen = Self.nanoseconds()
      for number in 0..<times { Self.attempt(at: choose(number), number) }
      let tried = Self.nanoseconds()
      guard sum > 0 else { return (0, 0) }
      let choice = Double(chosen - began) / Double(times)
      return (choice, Double(tried - chosen) / Double(times) - choice)
    }

    private static func attempt(at choice: RoutingTable.Choice?, _ number: Int) {
      guard let choice, let ticket = choice.attempt() else { return }
      let now = UInt64(number >> 10)
      ticket.answerBegan(after: 900 + UInt64(number & 255), now: now)
      ticket.ended(as: .answered(200), now: now)
    }

    /// Of this thread's CPU time: other work on the machine does not count.
    private static func nanoseconds() -> UInt64 {
      var time = timespec()
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
      return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
  }

  /// SplitMix64: as fast as the proxy's own, and the same in every run.
  private struct Steps: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
      self.state &+= 0x9e37_79b9_7f4a_7c15
      var word = self.state
      word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
      word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
      return word ^ (word >> 31)
    }
  }
}
