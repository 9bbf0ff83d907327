import MeshBase
import Testing

@testable import MeshLink

@Suite("Descriptors that overtake an order, or are overtaken by one") struct DescriptorGateTests {
  private func header(after: UInt64, _ kind: DescriptorHeader.Kind = .listener, workload: UInt32 = 1)
    -> DescriptorHeader
  {
    DescriptorHeader(kind: kind, isV4: true, workload: workload, count: 1, namespaceCookie: 7, after: after)
  }

  /// What passes of a course of arrivals and orders, step by step.
  private enum Step {
    case arrives(CInt, after: UInt64)
    /// Of another workload.
    case obeyed
  }

  private func passed(_ steps: [Step]) -> [[CInt]] {
    var state = DescriptorGate.State()
    return steps.map { step in
      switch step {
      case .arrives(let number, let after):
        state.arrived(self.header(after: after), [number]) == .passes ? [number] : []
      case .obeyed: state.obeyed(.withdraw(workload: 2)).flatMap(\.descriptors)
      }
    }
  }

  @Test("what was sent before any order passes at once; what was sent after one waits until it was obeyed")
  func waits() {
    let passed = self.passed([
      .arrives(10, after: 0), .arrives(11, after: 2), .arrives(12, after: 1), .obeyed, .arrives(13, after: 1), .obeyed,
      .obeyed,
    ])
    #expect(passed == [[10], [], [], [12], [13], [11], []])
  }

  @Test("they pass in the order in which they came")
  func inOrder() {
    let arrivals = (0..<CInt(5)).map { Step.arrives($0, after: 1) }
    #expect(self.passed(arrivals + [.obeyed]).last == [0, 1, 2, 3, 4])
  }

  @Test("those that wait when the connection ends are returned, and nothing passes them on later")
  func ends() {
    var state = DescriptorGate.State()
    let arrival = state.arrived(self.header(after: 1), [10])
    let inVain = state.end().map(\.descriptors)
    let later = state.obeyed(.withdraw(workload: 1)).count
    #expect(arrival == .waits)
    #expect(inVain == [[10]])
    #expect(later == 0)
  }

  @Test("what an order that was sent later closes is closed when it comes; what it does not concern passes")
  func overtaken() {
    let orders: [(AgentMessage, closes: [DescriptorHeader.Kind])] = [
      (.withdraw(workload: 1), [.listener, .nameDatagrams, .nameListener]), (.withdraw(workload: 2), []),
      (.retainListeners(cookies: [8]), [.listener]), (.retainListeners(cookies: [7, 8]), []),
      (.retainNames(cookies: []), [.nameDatagrams, .nameListener]), (.retainNames(cookies: [7]), []),
    ]
    for (order, closes) in orders {
      for kind in [DescriptorHeader.Kind.listener, .stock, .nameDatagrams, .nameListener, .nameStock] {
        var state = DescriptorGate.State()
        _ = state.obeyed(order)
        let arrival = state.arrived(self.header(after: 0, kind), [10])
        #expect(arrival == (closes.contains(kind) ? .isTooLate : .passes), "\(order) \(kind)")
      }
    }
  }

  @Test("an order closes nothing that was sent after it, whether it waited for the order or came later")
  func sentAfter() {
    var state = DescriptorGate.State()
    let early = state.arrived(self.header(after: 1), [10])
    let freed = state.obeyed(.withdraw(workload: 1)).flatMap(\.descriptors)
    let late = state.arrived(self.header(after: 1), [11])
    #expect(early == .waits)
    #expect(freed == [10])
    #expect(late == .passes)
  }

  @Test("orders are forgotten when what comes was sent after them, and there is an end to how many are kept")
  func forgotten() {
    var state = DescriptorGate.State()
    for _ in 0..<5 { _ = state.obeyed(.withdraw(workload: 1)) }
    _ = state.arrived(self.header(after: 3), [10])
    let afterThree = state.overtaking
    for _ in 0..<2 * DescriptorGate.State.maximumOrders { _ = state.obeyed(.withdraw(workload: 1)) }
    #expect(afterThree == 2)
    #expect(state.overtaking == DescriptorGate.State.maximumOrders)
  }

  @Test("the number of orders survives the wire, and stock has a destination in its place")
  func wire() throws {
    let listener = self.header(after: 0x0102_0304_0506_0708)
    #expect(try DescriptorHeader(bytes: listener.bytes, descriptors: 1) == listener)
    let stock = DescriptorHeader(
      kind: .stock, isV4: true, workload: 1, count: 2, namespaceCookie: 7, destination: .loopbackV4)
    #expect(try DescriptorHeader(bytes: stock.bytes, descriptors: 2) == stock)
  }
}
