import MeshHTTP
import MeshSnapshot

/// The failures on purpose of a service port, as they are tried for each request. Every fault is drawn by itself; the first delay and
/// the first abort that hold count. Compiled once for all tables in which the service is the same.
package final class HTTPFaults: Sendable {
  /// What one request meets with.
  package struct Drawn: Equatable, Sendable {
    /// Milliseconds before anything else happens.
    package var delay: UInt32?
    /// The status that is answered then.
    package var abort: UInt16?

    package static let none = Drawn()

    package init(delay: UInt32? = nil, abort: UInt16? = nil) {
      self.delay = delay
      self.abort = abort
    }
  }

  private struct Test: Sendable {
    let effect: Fault.Effect
    let share: UInt16
    let headers: [HTTPRouteTable.FieldTest]
  }

  /// `Fault.share` of all requests.
  private static let all: UInt16 = 10_000

  private let tests: [Test]

  /// Nil: there are none. A fault whose expression cannot be compiled never holds: who is not asked for is not failed.
  init?(_ faults: [Fault]) {
    self.tests = faults.compactMap { fault in
      guard fault.share > 0, let headers = try? HTTPRouteTable.FieldTest.tests(fault.headers) else { return nil }
      return Test(effect: fault.effect, share: fault.share, headers: headers)
    }
    if self.tests.isEmpty { return nil }
  }

  package func drawn(
    for request: HTTPRequestHead, in bytes: Span<UInt8>, using random: inout some RandomNumberGenerator
  ) -> Drawn {
    var drawn = Drawn.none
    for test in self.tests {
      switch test.effect {
      case .delay: if drawn.delay != nil { continue }
      case .abort: if drawn.abort != nil { continue }
      }
      guard test.headers.allSatisfy({ $0.holds(inHeadersOf: request, bytes) }),
        test.share >= Self.all || UInt16.random(in: 0..<Self.all, using: &random) < test.share
      else { continue }
      switch test.effect {
      case .delay(let milliseconds): drawn.delay = milliseconds
      case .abort(let status): drawn.abort = status
      }
    }
    return drawn
  }
}
