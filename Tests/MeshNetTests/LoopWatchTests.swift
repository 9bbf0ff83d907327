import Glibc
import Logging
import MeshBase
import MeshNet
import Synchronization
import Testing

/// F-27.
@Suite("Loops that do not come back")
struct LoopWatchTests {
  @Test("told once after two seconds, lost after ten, back when it turns; waiting is not being stuck")
  func findings() {
    var watch = LoopWatch(loops: 2)
    var now: UInt64 = 5_000
    func look(_ turns: [UInt64]) -> [LoopWatch.Finding] {
      defer { now += LoopWatch.interval }
      return watch.look(turns, now: now)
    }
    // The other one waits all the time, or works on something new at each look.
    #expect(look([7, 2]) == [])
    #expect(look([7, 2]) == [])
    #expect(look([7, 3]) == [.stuck(loop: 0, milliseconds: 2_000)])
    #expect(look([7, 5]) == [])
    #expect(look([8, 7]) == [.recovered(loop: 0, milliseconds: 3_000)])
    #expect(look([9, 9]) == [])
    for second in 1...10 {
      let expected: [LoopWatch.Finding] =
        switch second {
        case 2: [.stuck(loop: 0, milliseconds: 2_000)]
        case 10: [.lost(loop: 0, milliseconds: 10_000)]
        default: []
        }
      #expect(look([9, 8]) == expected, "\(second)")
    }
  }

  @Test("a process that was stopped for an hour has no stuck loop, and wrong numbers do no harm")
  func stopped() {
    var watch = LoopWatch(loops: 1)
    for (turns, now): ([UInt64], UInt64) in [
      ([1], 1_000), ([1], 3_601_000), ([1], 3_600_000), ([], 3_602_000), ([1, 3, 5], 0),
    ] {
      let findings = watch.look(turns, now: now)
      #expect(findings == [], "\(now)")
    }
  }

  private struct Silent: LogHandler {
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.critical
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { nil }
      set {}
    }
    func log(event: LogEvent) {}
  }

  @Test("a loop that is held up is seen, and the other one serves meanwhile")
  func held() async throws {
    let relay = try Relay(loops: 2, stock: nil, logger: Logger(label: "test") { _ in Silent() })
    #expect(relay.loopCount == 2)
    let listener = try LocalListener.open(SocketEndpoint(.loopbackV4, 0))
    let endpoint = RelayBench.endpoint(of: listener)
    let isFirst = Atomic(true)
    let (held, entered) = AsyncStream.makeStream(of: Void.self)
    var gate: [CInt] = [-1, -1]
    #expect(pipe(&gate) == 0)
    let shut = gate[0]
    _ = try relay.listen(
      listener,
      .init { _ in
        if isFirst.exchange(false, ordering: .relaxed) {
          entered.yield()
          var byte: UInt8 = 0
          _ = read(shut, &byte, 1)
        }
        return .failure(.wrongNamespace)
      })
    let first = HTTPBench.Peer(RelayBench.dial(endpoint))
    for await _ in held { break }
    var watch = LoopWatch(loops: 2)
    _ = watch.look(relay.turns, now: 0)
    let second = HTTPBench.Peer(RelayBench.dial(endpoint))
    #expect(second.readAll().end != 0)
    let findings = watch.look(relay.turns, now: 1_000) + watch.look(relay.turns, now: 2_000)
    #expect(findings.count == 1)
    for case .stuck(let loop, _) in findings { relay.traceLoop(loop) }
    // At its end the one who reads goes on.
    close(gate[1])
    #expect(first.readAll().end != 0)
    await relay.stop()
    close(shut)
  }
}
