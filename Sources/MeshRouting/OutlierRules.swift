import MeshSnapshot

/// What is decided of endpoints that fail while others do not, in plain numbers.
extension OutlierDetection {
  /// Whether one more of `count` endpoints may be ejected: one always, no more than the percentage.
  func mayEject(ejected: Int, of count: Int) -> Bool {
    ejected < max(1, count * Int(self.maximumEjectionPercent) / 100)
  }

  /// For which the endpoint stays out, the `times`th time in a row.
  func ejectionMilliseconds(times: UInt32) -> UInt64 {
    let base = UInt64(self.baseEjectionMilliseconds)
    return min(base * UInt64(max(1, times)), max(base, UInt64(self.maximumEjectionMilliseconds)))
  }
}

extension OutlierDetection.SuccessRate {
  /// Below which an endpoint is an outlier, of the rates of all with enough requests (0 to 1). Nil: they are too few.
  func threshold(of rates: [Double]) -> Double? {
    guard rates.count >= Int(self.endpoints), !rates.isEmpty else { return nil }
    let count = Double(rates.count)
    let mean = rates.reduce(0, +) / count
    let variance = rates.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count
    return mean - variance.squareRoot() * Double(self.deviations) / 1000
  }
}

extension SlowStart {
  /// Thousandths of its weight that an endpoint has: from the minimum to all of it in the window, in a line.
  func perMille(elapsed: UInt64) -> UInt64 {
    let window = UInt64(self.windowMilliseconds)
    guard elapsed < window else { return 1000 }
    let least = min(100, max(1, UInt64(self.minimum))) * 10
    return least + (1000 - least) * elapsed / window
  }

  func perMille(of endpoint: EndpointRecord, now: UInt64) -> UInt64 {
    switch endpoint.startMoment {
    case 0: 1000
    case let moment: self.perMille(elapsed: now > moment ? now - moment : 0)
    }
  }
}
