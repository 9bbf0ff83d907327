import MeshBase
import MeshProto
import MeshSnapshot
import MeshTestSupport
import SwiftProtobuf
import Testing

@Suite("Traffic settings, checks and places as bytes")
struct TrafficBytesTests {
  private typealias Service = Martlet_Entries_V1_Service
  private typealias Workload = Martlet_Entries_V1_Workload

  @Test("whatever a TrafficPolicy can say survives the way to bytes and back, with one encoding")
  func roundTrip() throws {
    var random = SplitMix64(seed: 7)
    for _ in 0..<2000 {
      let entry = Entry.service(
        ServiceEntry(
          name: try name("shop/web"), addresses: [],
          ports: [
            ServicePort(
              port: 80, backends: [Backend(service: try name("shop/web"), port: 80)],
              traffic: random.trafficSettings(try name("shop/policy")))
          ]))
      let bytes = entry.encoded()
      let decoded = try Entry.decode(.service, bytes: bytes)
      #expect(decoded == entry)
      #expect(decoded.encoded() == bytes)
    }
  }

  @Test("whatever a check can be survives too")
  func checks() throws {
    var random = SplitMix64(seed: 8)
    guard case .workload(var entry) = try Sample.workload() else { return }
    for _ in 0..<2000 {
      entry.readiness = random.readinessCheck()
      let bytes = Entry.workload(entry).encoded()
      let decoded = try Entry.decode(.workload, bytes: bytes)
      #expect(decoded == .workload(entry))
      #expect(decoded.encoded() == bytes)
    }
  }

  @Test(
    "a check that an earlier version could say has the bytes that it had: snapshots on disk stay readable, versions equal"
  )
  func earlierCheck() throws {
    guard case .workload(var entry) = try Sample.workload() else { return }
    entry.readiness = ReadinessCheck(
      port: 8080, periodMilliseconds: 5000, timeoutMilliseconds: 2000, failureThreshold: 4, successThreshold: 3)
    let message = try Workload(serializedBytes: Entry.workload(entry).encoded())
    let bytes: [UInt8] = try #require(message.readiness.first).serializedBytes()
    #expect(bytes == [0x08, 0x90, 0x3f, 0x10, 5, 0x18, 2, 0x20, 4, 0x28, 3])
  }

  @Test("places are written as far as they are known")
  func places() throws {
    for (text, place) in [
      ("", Locality.nowhere), ("eu", Locality(region: "eu")), ("eu/a", Locality(region: "eu", zone: "a")),
      ("eu/a/r1", Locality(region: "eu", zone: "a", subzone: "r1")), ("/a", Locality(region: "", zone: "a")),
    ] {
      #expect(Locality(text) == place)
      #expect(place.description == text)
    }
    for text in [
      "/", "eu/", "eu//r1", "/a/r1", "eu/a/r1/x", "-eu", "eu_", "e u", "é", String(repeating: "a", count: 64),
    ] {
      #expect(Locality(text) == nil, "\(text)")
    }
    var message = try Martlet_Entries_V1_Endpoints(serializedBytes: try Sample.endpoints().encoded())
    message.endpoints[0].locality = "eu/"
    let bytes: [UInt8] = try message.serializedBytes()
    #expect(throws: MeshError.self) { try Entry.decode(.endpoints, bytes: bytes) }
  }

  @Test("settings that are not understood, or that nobody can say, are refused with their field")
  func refusals() throws {
    let unknown: [UInt8] = [0x78, 1]
    let cases: [(String, (inout Martlet_Entries_V1_Traffic) throws -> Void)] = [
      ("traffic: holds", { try $0.merge(serializedBytes: unknown) }),
      ("traffic.origin: missing", { $0.origin = "" }),
      ("traffic.balancer: 9 is unknown", { $0.balancer = .UNRECOGNIZED(9) }),
      ("traffic.hash_keys: missing", { $0.hashKeys = [] }),
      ("traffic.hash_keys: beside", { $0.balancer = .random }),
      ("hash_keys[0]: missing", { $0.hashKeys[0].key = nil }),
      ("hash_keys[0].header: no name", { $0.hashKeys[0].key = .header("X-A") }),
      ("hash_keys[0].source: must be true", { $0.hashKeys[0].key = .source(false) }),
      ("locality: more than one", { $0.locality.append($0.locality[0]) }),
      ("locality.minimum: 101 is not", { $0.locality[0].minimum = 101 }),
      ("locality.failover[0]: no name", { $0.locality[0].failover = ["a b"] }),
      ("slow_start.window_milliseconds: 0 is not", { $0.slowStart[0].windowMilliseconds = 0 }),
      ("panic_threshold: 256 is not", { $0.panicThreshold = 256 }),
      ("outliers: holds", { try $0.outliers[0].merge(serializedBytes: unknown) }),
      ("outliers.interval_milliseconds: 0 is not", { $0.outliers[0].intervalMilliseconds = 0 }),
      ("success_rate.endpoints: 0 is not", { $0.outliers[0].successRate[0].endpoints = 0 }),
      ("limits.connections: 0 is not", { $0.limits[0].connections = 0 }),
      ("pool.streams_per_connection: 0 is not", { $0.pool[0].streamsPerConnection = 0 }),
      ("pool.warm_connections: 17 is not", { $0.pool[0].warmConnections = 17 }),
      ("retries: missing", { $0.retries = [] }), ("budget_percent: 101", { $0.retries[0].budgetPercent = 101 }),
      ("retries.rule.codes[0]: 200", { $0.retries[0].rule[0].codes = [200] }),
      ("body_bytes: 1048577 is not", { $0.retries[0].bodyBytes = 1_048_577 }),
      ("faults[0]: missing", { $0.faults[0].effect = nil }),
      ("faults[0].share: 10001 is not", { $0.faults[0].share = 10001 }),
      ("faults[0].headers[0].name: no name", { $0.faults[0].headers[0].name = "X-A" }),
      ("faults[1].abort_status: 399 is not", { $0.faults[1].effect = .abortStatus(399) }),
    ]
    for (text, change) in cases {
      var message = try Service(serializedBytes: try Sample.service().encoded())
      let index = try #require(message.ports.firstIndex { !$0.traffic.isEmpty })
      try change(&message.ports[index].traffic[0])
      let bytes: [UInt8] = try message.serializedBytes()
      do {
        _ = try Entry.decode(.service, bytes: bytes)
        Issue.record("accepted: \(text)")
      } catch {
        #expect("\(error)".contains(text), "\(error)")
      }
    }
  }

  @Test("checks that are not understood, or that nobody can say, are refused with their field")
  func checkRefusals() throws {
    let cases: [(String, (inout Martlet_Entries_V1_ReadinessCheck) throws -> Void)] = [
      ("readiness[0]: holds", { try $0.merge(serializedBytes: [0x78, 1]) }),
      ("readiness[0]: more than one kind", { $0.grpc = [.init()] }),
      ("http[0].path: not a path", { $0.http[0].path = "healthz" }),
      ("http[0].path: no path", { $0.http[0].path = "/a b" }),
      ("http[0].host: no name", { $0.http[0].host = "a\tb" }),
      ("http[0].expected: missing", { $0.http[0].expected = [] }),
      ("expected[0].last: 199 is not from 200", { $0.http[0].expected[0].last = 199 }),
      ("expected[0].first: 99 is not", { $0.http[0].expected[0].first = 99 }),
      ("headers: host is the check's own", { $0.http[0].headers[0].name = "host" }),
      ("period_seconds: beside", { $0.periodSeconds = 1 }),
      ("period_milliseconds: 99 is not", { $0.periodMilliseconds = 99 }),
      ("timeout_seconds: 61 is not", { $0.timeoutSeconds = 61 }),
      ("jitter_percent: 51 is not", { $0.jitterPercent = 51 }),
      ("tcp_port: 0 is no port", { $0.tcpPort = 0 }),
    ]
    for (text, change) in cases {
      var message = try Workload(serializedBytes: try Sample.workload().encoded())
      try change(&message.readiness[0])
      let bytes: [UInt8] = try message.serializedBytes()
      do {
        _ = try Entry.decode(.workload, bytes: bytes)
        Issue.record("accepted: \(text)")
      } catch {
        #expect("\(error)".contains(text), "\(error)")
      }
    }
  }
}

extension SplitMix64 {
  private mutating func number<Number: FixedWidthInteger>(_ range: ClosedRange<Number>) -> Number {
    self.oneIn(4) ? self.pick([range.lowerBound, range.upperBound]) : Number.random(in: range, using: &self)
  }

  private mutating func maybe<Number: FixedWidthInteger>(_ range: ClosedRange<Number>) -> Number? {
    self.oneIn(2) ? nil : self.number(range)
  }

  private mutating func matches() -> [FieldMatch] {
    (0..<Int.random(in: 0...2, using: &self)).map {
      FieldMatch(name: "x-\($0)", value: self.oneIn(2) ? .exact("a") : .regex("b+"))
    }
  }

  mutating func trafficSettings(_ origin: ResourceName) -> TrafficSettings {
    let keys: [HashKey] = [self.pick([.header("x-user"), .cookie("Sid"), .query("q"), .source]), .source]
    let balancers: [Balancer?] = [nil, .roundRobin, .random, .leastRequest, .ringHash(keys), .maglev(keys)]
    var result = TrafficSettings(
      origin: origin, balancer: self.pick(balancers), panicThreshold: self.number(TrafficSettings.panicThresholds))
    if self.oneIn(2) {
      result.locality = LocalityPreference(
        minimum: self.number(LocalityPreference.minimums), failover: self.oneIn(2) ? [] : ["eu-1", "us"])
    }
    if self.oneIn(2) {
      result.slowStart = SlowStart(
        windowMilliseconds: self.number(SlowStart.windows), minimum: self.number(SlowStart.minimums))
    }
    if self.oneIn(2) {
      let counts = OutlierDetection.SuccessRate.counts
      let rate = OutlierDetection.SuccessRate(
        endpoints: self.number(counts), requests: self.number(counts),
        deviations: self.number(OutlierDetection.SuccessRate.allDeviations))
      result.outliers = OutlierDetection(
        consecutiveErrors: self.number(OutlierDetection.counts),
        consecutiveGatewayErrors: self.number(OutlierDetection.counts), successRate: self.oneIn(2) ? nil : rate,
        intervalMilliseconds: self.number(OutlierDetection.times),
        baseEjectionMilliseconds: self.number(OutlierDetection.times),
        maximumEjectionMilliseconds: self.number(OutlierDetection.times),
        maximumEjectionPercent: self.number(OutlierDetection.percents))
    }
    let counts = ConnectionLimits.counts
    result.limits = ConnectionLimits(
      connections: self.maybe(1...counts.upperBound), pendingRequests: self.maybe(counts),
      requests: self.maybe(1...counts.upperBound), retries: self.maybe(counts))
    result.pool = PoolSettings(
      idleMilliseconds: self.maybe(PoolSettings.times), lifetimeMilliseconds: self.maybe(PoolSettings.times),
      requestsPerConnection: self.maybe(PoolSettings.counts), streamsPerConnection: self.maybe(PoolSettings.counts),
      warmConnections: self.maybe(PoolSettings.warmCounts))
    result.retries = RetrySettings(
      budget: .init(percent: self.number(RetrySettings.percents), perSecond: self.number(RetrySettings.rates)),
      rule: self.oneIn(2)
        ? nil : HTTPRetry(codes: [503], attempts: self.number(1...100), backoffMilliseconds: self.number(0...1000)),
      repeatsAll: self.oneIn(2), perTryMilliseconds: self.maybe(RetrySettings.times),
      bodyBytes: self.number(RetrySettings.bodies))
    result.faults = (0..<Int.random(in: 0...2, using: &self)).map { _ in
      Fault(
        self.oneIn(2)
          ? .delay(milliseconds: self.number(Fault.delays)) : .abort(status: self.number(Fault.statuses)),
        share: self.number(Fault.shares), headers: self.matches())
    }
    return result
  }

  mutating func readinessCheck() -> ReadinessCheck {
    let http = ReadinessCheck.HTTPProbe(
      path: self.pick(["/", "/healthz?full=1"]), host: self.pick([nil, "web.example", "[::1]:80"]),
      headers: self.oneIn(2) ? [] : [HeaderField(name: "x-a", value: "")],
      expected: self.pick([ReadinessCheck.HTTPProbe.usual, [200...200, 204...299]]))
    let probes: [ReadinessCheck.Probe] = [.tcp, .http(http), .grpc(service: ""), .grpc(service: "shop.v1.Cart")]
    return ReadinessCheck(
      port: self.number(1...65_535), probe: self.pick(probes), periodMilliseconds: self.number(ReadinessCheck.periods),
      timeoutMilliseconds: self.number(ReadinessCheck.timeouts),
      failureThreshold: self.number(ReadinessCheck.thresholds),
      successThreshold: self.number(ReadinessCheck.thresholds), jitterPercent: self.number(ReadinessCheck.jitters))
  }
}
