import MeshTelemetry
import Testing

@testable import MeshNet

@Suite("Whose work a loop does")
struct LoopBillTests {
  @Test("a turn's time is shared by its events, and told once")
  func shared() {
    var bill = LoopBill()
    #expect(!bill.isOpen)
    for workload: UInt32 in [1, 2, 1, 1] { bill.event(of: workload) }
    #expect(bill.isOpen)
    bill.end(microseconds: 100)
    bill.event(of: 2)
    bill.end(microseconds: 7)
    let costs = bill.take([]).sorted { $0.workload < $1.workload }
    #expect(costs == [WorkloadCost(workload: 1, microseconds: 75), WorkloadCost(workload: 2, microseconds: 32)])
    #expect(bill.take([]).isEmpty)
  }

  @Test("requests cost their caller, and its connections are counted with what waits in them")
  func requests() async throws {
    let bench = try await HTTPBench()
    let client = bench.dial()
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    let server = bench.accept()
    _ = server.readHead()
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    #expect(client.read(through: "\r\n\r\nok").hasPrefix("HTTP/1.1 200"))
    let costs = await bench.relay.takeCosts()
    #expect(costs.map(\.workload) == [7])
    // Of the client and to the backend.
    #expect(costs[0].connections == 2 && costs[0].memory >= 2 * LoopBill.memberBytes && costs[0].microseconds > 0)
    await bench.end()
  }
}
