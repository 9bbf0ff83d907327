import Synchronization

/// Why handshakes of one client failed. TLS itself reports only that they did.
final class Reasons: Sendable {
  private let reasons = Mutex<[String]>([])

  func add(_ reason: String) {
    self.reasons.withLock { reasons in
      // One connection may be tried several times.
      if reasons.count < 8 { reasons.append(reason) }
    }
  }

  var first: String? { self.reasons.withLock { $0.first } }

  func forget() { self.reasons.withLock { $0 = [] } }
}
