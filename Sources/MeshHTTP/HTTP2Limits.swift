/// What one peer can make a connection hold or do. Sizes are bytes, times are milliseconds.
package struct HTTP2Limits: Hashable, Sendable {
  /// So many at once, and so many a second after that.
  package struct Rate: Hashable, Sendable {
    package var perSecond: UInt32
    package var burst: UInt32

    package init(perSecond: UInt32, burst: UInt32) {
      self.perSecond = perSecond
      self.burst = burst
    }
  }

  /// Open at one time: what a peer may open, and what is opened toward one that has not said yet how many it takes.
  package var concurrentStreams = 100
  /// Of a head, as SETTINGS_MAX_HEADER_LIST_SIZE counts: unpacked.
  package var fieldListSize = 32 * 1024
  package var fieldCount = 128
  /// HEADERS and its CONTINUATIONs, which may be empty. Those that are full are bounded by `blockBytes`.
  package var blockFrames = 5
  package var allowsUnderscores = false
  package var allowsConnect = false
  package var interimResponses = 8
  /// What may be told of a stream, or of all streams, before it is consumed. At least the protocol's 65,535, so that no window
  /// has to shrink.
  package var streamWindow = 65_535
  package var connectionWindow = 1024 * 1024
  /// The largest DATA frame that is taken: a frame of a kind that is held until it is whole is never larger than 16,384.
  package var largestFrame = 16_384
  /// The largest DATA frame that is written, if the peer takes it.
  package var largestDataFrame = 16_384
  /// Streams that were reset and of which the peer may still be sending.
  package var rememberedResets = 128

  /// Until the peer's first SETTINGS are there.
  package var prefaceTimeout: UInt64 = 5000
  /// Until a head that has begun is whole.
  package var headTimeout: UInt64 = 5000
  package var settingsTimeout: UInt64 = 10_000
  package var pingTimeout: UInt64 = 20_000
  /// Between the two steps of GOAWAY, if the peer does not answer the ping between them.
  package var drainGrace: UInt64 = 1000

  package var pings = Rate(perSecond: 10, burst: 50)
  package var settings = Rate(perSecond: 2, burst: 20)
  package var priorities = Rate(perSecond: 20, burst: 200)
  package var windowUpdates = Rate(perSecond: 200, burst: 2000)
  package var resets = Rate(perSecond: 50, burst: 200)
  package var refusals = Rate(perSecond: 100, burst: 1000)
  package var faults = Rate(perSecond: 10, burst: 100)
  package var emptyData = Rate(perSecond: 10, burst: 50)
  package var unknownFrames = Rate(perSecond: 10, burst: 100)
  package var goAways = Rate(perSecond: 1, burst: 5)

  package static let defaults = HTTP2Limits()

  package init() {}

  /// Of a head as it is sent. Huffman's code has up to 30 bits for a byte (RFC 7541, appendix B), so that a list within its bound
  /// can be nearly four times as long.
  var blockBytes: Int { self.fieldListSize / 4 * 15 }

  var headRules: HTTP2HeadRules {
    var rules = HTTP2HeadRules()
    rules.mostFields = self.fieldCount
    rules.largestList = self.fieldListSize
    rules.allowsConnect = self.allowsConnect
    rules.allowsUnderscores = self.allowsUnderscores
    return rules
  }
}

/// What a peer has spent of its limits. What this side does for it earns it more: updates and pings for data that it is sent,
/// resets for streams that came to their end.
struct HTTP2Budgets: Hashable, Sendable {
  private var pings: RateBudget
  private var settings: RateBudget
  private var priorities: RateBudget
  private var windowUpdates: RateBudget
  private var resets: RateBudget
  private var refusals: RateBudget
  private var faults: RateBudget
  private var emptyData: RateBudget
  private var unknownFrames: RateBudget
  private var goAways: RateBudget

  init(_ limits: HTTP2Limits) {
    self.pings = RateBudget(limits.pings)
    self.settings = RateBudget(limits.settings)
    self.priorities = RateBudget(limits.priorities)
    self.windowUpdates = RateBudget(limits.windowUpdates)
    self.resets = RateBudget(limits.resets)
    self.refusals = RateBudget(limits.refusals)
    self.faults = RateBudget(limits.faults)
    self.emptyData = RateBudget(limits.emptyData)
    self.unknownFrames = RateBudget(limits.unknownFrames)
    self.goAways = RateBudget(limits.goAways)
  }

  enum Deed {
    case ping, settings, priority, windowUpdate, goAway, unknownFrame, emptyData
    /// The peer reset a stream that it had not been answered.
    case reset
    case refusal
    /// An error of the peer in a stream, which this side has to reset then (CVE-2025-8671), or a frame for a stream that is closed.
    case fault
  }

  mutating func spend(_ deed: Deed, now: UInt64) throws(HTTP2Failure) {
    let (isLeft, reason): (Bool, HTTP2Reason) =
      switch deed {
      case .ping: (self.pings.spend(now: now), .pingFlood)
      case .settings: (self.settings.spend(now: now), .settingsFlood)
      case .priority: (self.priorities.spend(now: now), .priorityFlood)
      case .windowUpdate: (self.windowUpdates.spend(now: now), .windowUpdateFlood)
      case .goAway: (self.goAways.spend(now: now), .goAwayFlood)
      case .unknownFrame: (self.unknownFrames.spend(now: now), .unknownFrameFlood)
      case .emptyData: (self.emptyData.spend(now: now), .emptyDataFlood)
      case .reset: (self.resets.spend(now: now), .resetFlood)
      case .refusal: (self.refusals.spend(now: now), .refusalFlood)
      case .fault: (self.faults.spend(now: now), .faultFlood)
      }
    guard isLeft else { throw .connection(.enhanceYourCalm, reason) }
  }

  /// Some clients tell a priority and a window with each stream.
  mutating func streamOpened() {
    self.priorities.earn(2)
    self.windowUpdates.earn(2)
  }

  mutating func streamEnded() {
    self.resets.earn(1)
  }

  mutating func headSent() {
    self.pings.earn(1)
  }

  /// Receivers give both windows back for each frame, and measure the way with pings. A few bytes earn nothing: who opens a
  /// window by one byte at a time would pay for that with itself.
  mutating func dataSent(_ count: Int) {
    guard count >= 64 else { return }
    self.windowUpdates.earn(2 + UInt32(truncatingIfNeeded: count / 512))
    self.pings.earn(1)
  }
}

extension RateBudget {
  fileprivate init(_ rate: HTTP2Limits.Rate) {
    self.init(perSecond: rate.perSecond, burst: rate.burst)
  }
}
