import MeshBase
import Testing

@testable import MeshLink

@Suite("Descriptors that overtake an order") struct DescriptorGateTests {
  private func header(after: UInt64) -> DescriptorHeader {
    DescriptorHeader(kind: .listener, isV4: true, workload: 1, count: 1, namespaceCookie: 7, after: after)
  }

  /// What passes of a course of arrivals and orders, step by step.
  private enum Step {
    case arrives(CInt, after: UInt64)
    case obeyed
  }

  private func passed(_ steps: [Step]) -> [[CInt]] {
    var state = DescriptorGate.State()
    return steps.map { step in
      switch step {
      case .arrives(let number, let after): state.arrived(self.header(after: after), [number]) ? [number] : []
      case .obeyed: state.obey().flatMap(\.descriptors)
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
    let isFree = state.arrived(self.header(after: 1), [10])
    let inVain = state.end().map(\.descriptors)
    let later = state.obey().count
    #expect(!isFree)
    #expect(inVain == [[10]])
    #expect(later == 0)
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
