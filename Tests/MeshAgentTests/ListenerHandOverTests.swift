import MeshLink
import Testing

@testable import MeshAgent

@Suite("Listeners that a proxy takes over")
struct ListenerHandOverTests {
  private func key(_ workload: UInt32) -> ListenerKey {
    ListenerKey(workload: workload, namespaceCookie: UInt64(workload), isV4: true)
  }

  @Test("it is done with the last one, whether that is accepted on or withdrawn, and once")
  func last() {
    var handOver = ListenerHandOver(process: 7, awaited: [self.key(1), self.key(2)])
    let isLast = [3, 1, 1, 2, 2].map { handOver.settle(self.key($0)) }
    #expect(isLast == [false, false, false, true, false])
    #expect(handOver.awaited.isEmpty)
  }
}
