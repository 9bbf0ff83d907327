import MeshBase
import MeshLink
import MeshRouting
import MeshSnapshot
import Testing

@testable import MeshProxy

@Suite struct EndpointTellingTests {
  private func table(endpoints count: Int) throws -> RoutingTable {
    let service = try #require(ResourceName("a/web"))
    var snapshot = Snapshot()
    let port = ServicePort(
      port: 80, appProtocol: .http, backends: [Backend(service: service, port: 80)],
      traffic: TrafficSettings(origin: service, outliers: OutlierDetection(consecutiveErrors: 1)))
    snapshot.insert(
      VersionedEntry(
        .service(ServiceEntry(name: service, addresses: [IPAddress(v4: 0xf000_0001)], ports: [port])),
        version: ContentVersion(value: 1)))
    let endpoints = (1...count).map {
      Endpoint(
        addresses: [IPAddress(v4: 0x0a00_0000 | UInt32($0))], ports: [PortMapping(servicePort: 80, targetPort: 8080)])
    }
    snapshot.insert(
      VersionedEntry(
        .endpoints(EndpointsEntry(service: service, endpoints: endpoints)), version: ContentVersion(value: 2)))
    return RoutingTable(snapshot)
  }

  private func attempt(_ number: UInt32, in table: RoutingTable, as outcome: AttemptOutcome, now: UInt64) throws {
    var random = SystemRandomNumberGenerator()
    let share = try table.share(to: SocketEndpoint(IPAddress(v4: 0xf000_0001), 80), using: &random).get()
    let choice = try #require(
      table.endpoint(in: share, where: { $0.target.address == IPAddress(v4: 0x0a00_0000 | number) }))
    let ticket = choice.attempt()
    ticket?.answerBegan(after: 1_000, now: now)
    ticket?.ended(as: outcome, now: now)
  }

  @Test("an agent that is new is told all, even if that is nothing; any other what changed, every third second at most")
  func turns() throws {
    let table = try self.table(endpoints: 2)
    var telling = EndpointTelling()
    #expect(telling.messages(table, isNewAgent: true, now: 0) == [.upstreams(isFirst: true, [])])
    try self.attempt(1, in: table, as: .answered(200), now: 1)
    #expect(telling.messages(table, isNewAgent: false, now: 1).isEmpty)
    #expect(telling.messages(table, isNewAgent: false, now: 1).isEmpty)
    let told = telling.messages(table, isNewAgent: false, now: 1)
    guard case .upstreams(true, let states)? = told.first, told.count == 1 else {
      Issue.record("\(told)")
      return
    }
    #expect(states.map(\.endpoints.count) == [1])
    for _ in 0..<6 { #expect(telling.messages(table, isNewAgent: false, now: 2).isEmpty) }
    #expect(telling.messages(table, isNewAgent: true, now: 2) == told)
  }

  @Test("many endpoints are told in several messages, of which the first takes the place of the last ones")
  func many() throws {
    let table = try self.table(endpoints: 2_500)
    for number: UInt32 in 1...2_500 { try self.attempt(number, in: table, as: .answered(200), now: 1) }
    var telling = EndpointTelling()
    var counts: [Int] = []
    for (number, message) in telling.messages(table, isNewAgent: true, now: 1).enumerated() {
      guard case .upstreams(let isFirst, let states) = message else { continue }
      #expect(isFirst == (number == 0))
      counts.append(states.reduce(0) { $0 + $1.endpoints.count })
    }
    #expect(counts == [1_000, 1_000, 500])
  }

  @Test("counts for metrics: nothing before the first ejection")
  func counts() throws {
    let table = try self.table(endpoints: 2)
    #expect(EndpointTelling.counts(table, now: 0).isEmpty)
    try self.attempt(2, in: table, as: .answered(500), now: 1)
    let counts = EndpointTelling.counts(table, now: 1)
    #expect(counts.contains(NamedCount("endpoint_ejections.consecutive_errors", 1)))
    #expect(counts.contains(NamedCount("endpoint_ejected", 1)))
  }
}
