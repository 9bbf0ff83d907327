/// The mean latency of an endpoint, which a slower answer raises at once and faster ones lower little by little: a peak-sensitive
/// exponentially weighted moving average, in one word, so that it is stored and replaced as one.
struct PeakLatency: Equatable {
  /// After which a sample counts for 1/e, in milliseconds.
  static let constant: Float = 10_000

  /// The mean's bits above, the low half of the moment below. 0: no sample.
  private(set) var word: UInt64 = 0

  init() {}

  init(word: UInt64) { self.word = word }

  private init(_ mean: Float, now: UInt64) {
    self.word = UInt64(mean.bitPattern) << 32 | UInt64(UInt32(truncatingIfNeeded: now))
  }

  var isKnown: Bool { self.word != 0 }

  /// As of `now`: what was heard long ago says little, so that an endpoint that was slow is asked again.
  func mean(now: UInt64) -> Float {
    let mean = Float(bitPattern: UInt32(truncatingIfNeeded: self.word >> 32))
    return mean * Self.decay(self.age(now))
  }

  /// As of the last sample.
  var last: UInt64? {
    guard self.isKnown else { return nil }
    return UInt64(exactly: Float(bitPattern: UInt32(truncatingIfNeeded: self.word >> 32)).rounded())
  }

  /// With one more sample, in microseconds.
  func heard(_ microseconds: UInt64, now: UInt64) -> PeakLatency {
    // Less than a microsecond is a sample too.
    let sample = max(1, Float(microseconds))
    guard self.isKnown else { return PeakLatency(sample, now: now) }
    let weight = Self.decay(self.age(now))
    let mean = Float(bitPattern: UInt32(truncatingIfNeeded: self.word >> 32))
    return PeakLatency(sample >= mean * weight ? sample : mean * weight + sample * (1 - weight), now: now)
  }

  /// Milliseconds since the last sample. Threads read their clocks at different moments: one that is behind sees none.
  private func age(_ now: UInt64) -> UInt32 {
    let age = UInt32(truncatingIfNeeded: now) &- UInt32(truncatingIfNeeded: self.word)
    return age > .max / 2 ? 0 : age
  }

  /// Within two percent of e to the power of -age/constant up to twice the constant, and above it beyond: falling to 0.
  static func decay(_ milliseconds: UInt32) -> Float {
    guard milliseconds > 0 else { return 1 }
    let x = Float(milliseconds) / Self.constant
    return 1 / (1 + x * (1 + x * (1 / 2 + x * (1 / 6 + x * (1 / 24 + x / 120)))))
  }
}
