import Glibc
import MeshBase
import MeshNet
import MeshRouting
import MeshSnapshot
import Testing

/// Limits and health of a TrafficPolicy, of connections that are relayed.
@Suite(.serialized) struct RelayLimitTests {
  private func bench(_ backends: Int = 1, _ edit: (inout TrafficSettings) -> Void) async throws -> HTTPBench {
    var traffic = TrafficSettings(origin: try #require(ResourceName("a/policy")))
    edit(&traffic)
    return try await HTTPBench(backends: backends, appProtocol: .tcp, traffic: traffic, isOne: true)
  }

  @Test("a connection beyond the limit is reset, and the next one passes when there is room again")
  func connections() async throws {
    let bench = try await self.bench { $0.limits.connections = 1 }
    let first = bench.dial()
    let server = bench.accept()
    first.send("hello")
    #expect(server.read(5) == Array("hello".utf8))
    let second = bench.dial()
    #expect(second.readAll().end == -Int(ECONNRESET))
    #expect(bench.record?.open(.connections) == 1 && bench.record?.overflows(.connections) == 1)
    #expect(await bench.relay.counters().refused == ["upstream_overflow": 1])
    first.reset()
    #expect(server.readAll().end != 0)
    let record = try #require(bench.record)
    _ = try await bench.counters { _ in record.open(.connections) == 0 }
    let third = bench.dial()
    third.send("again")
    #expect(bench.accept().read(5) == Array("again".utf8))
    await bench.end()
  }

  @Test("an endpoint that takes no connection is left out; what stood is a success")
  func outliers() async throws {
    let bench = try await self.bench(2) {
      $0.balancer = .roundRobin
      $0.outliers = OutlierDetection(consecutiveErrors: 2, maximumEjectionPercent: 50)
      $0.panicThreshold = 0
    }
    close(bench.backends[0])
    for number in 0..<6 {
      let client = bench.dial()
      client.send("\(number)")
      #expect(bench.accept(1).read(1) == Array("\(number)".utf8))
      client.reset()
    }
    #expect(bench.record?.ejections == [.consecutiveErrors: 1])
    #expect(bench.table.endpointStates(now: 0).first?.endpoints.count == 2)
    close(bench.backends[1])
    await bench.relay.stop()
  }
}
