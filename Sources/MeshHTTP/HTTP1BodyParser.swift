/// How the end of a message is known (RFC 9112 section 6).
package enum HTTP1Framing: Hashable, Sendable {
  case none
  case length(UInt64)
  case chunked
  /// Responses only: the end of the stream.
  case untilClose
}

/// Finds a body's bytes in the stream. They are told as ranges of the input and never copied; what frames them is eaten.
struct HTTP1BodyParser {
  enum Piece: Equatable {
    /// Needs more input; so many bytes are done with.
    case more(consumed: Int)
    case data(Range<Int>)
    /// The message ends before this place. Trailers, if any, are in `trailers`, their places counted from `from`.
    case end(consumed: Int, trailersFrom: Int)
  }

  private enum Place: Equatable {
    case counted(UInt64)
    case untilClose
    case size(UInt64, digits: Int)
    case chunkExtension(UInt64)
    case sizeFeed(UInt64)
    case chunk(UInt64)
    case chunkReturn, chunkFeed
    case trailers
    case end
  }

  private let limits: HTTP1Limits
  private var place: Place
  private var extensionBytes = 0
  private(set) var trailers: HTTP1HeadParser

  init(limits: HTTP1Limits) {
    self.limits = limits
    self.place = .end
    self.trailers = HTTP1HeadParser(.trailers, limits: limits)
  }

  mutating func begin(_ framing: HTTP1Framing) {
    self.extensionBytes = 0
    self.trailers.reset()
    switch framing {
    case .none: self.place = .end
    case .length(let count): self.place = count == 0 ? .end : .counted(count)
    case .chunked: self.place = .size(0, digits: 0)
    case .untilClose: self.place = .untilClose
    }
  }

  /// The stream ends here: whether that is the message's end.
  var endsWithStream: Bool { self.place == .untilClose || self.place == .end }

  /// What is left of a body whose length is known.
  var remaining: UInt64? {
    switch self.place {
    case .counted(let count): count
    case .end: 0
    default: nil
    }
  }

  mutating func next(_ input: Span<UInt8>) throws(HTTP1Fault) -> Piece {
    var at = 0
    let end = input.count
    while true {
      switch self.place {
      case .end: return .end(consumed: at, trailersFrom: at)

      case .counted(let count):
        guard at < end else { return .more(consumed: at) }
        let take = Int(truncatingIfNeeded: min(count, UInt64(end - at)))
        self.place = count == UInt64(take) ? .end : .counted(count - UInt64(take))
        return .data(at..<at + take)

      case .untilClose: return at < end ? .data(at..<end) : .more(consumed: at)

      case .chunk(let count):
        guard at < end else { return .more(consumed: at) }
        let take = Int(truncatingIfNeeded: min(count, UInt64(end - at)))
        self.place = count == UInt64(take) ? .chunkReturn : .chunk(count - UInt64(take))
        return .data(at..<at + take)

      case .trailers:
        let rest = input.extracting(at..<end)
        switch try self.trailers.parse(rest) {
        case .done(let length):
          self.place = .end
          return .end(consumed: at + length, trailersFrom: at)
        case .more, .skip: return .more(consumed: at)
        }

      default:
        guard at < end else { return .more(consumed: at) }
        try self.frame(input[at])
        at += 1
      }
    }
  }

  /// One byte of what stands between the chunks.
  private mutating func frame(_ byte: UInt8) throws(HTTP1Fault) {
    switch self.place {
    case .size(let size, let digits):
      if let digit = HTTPBytes.hexDigit(byte) {
        // Fifteen digits stay below 2^60.
        guard digits < 15 else { throw .chunkSize }
        self.place = .size(size << 4 | digit, digits: digits + 1)
      } else if digits > 0, byte == HTTPBytes.carriageReturn {
        self.place = .sizeFeed(size)
      } else if digits > 0, byte == HTTPBytes.semicolon {
        self.place = .chunkExtension(size)
      } else {
        throw .chunkSize
      }
    case .chunkExtension(let size):
      if byte == HTTPBytes.carriageReturn {
        self.place = .sizeFeed(size)
      } else {
        self.extensionBytes += 1
        guard HTTPBytes.isValue(byte), self.extensionBytes <= self.limits.chunkExtensionBytes else {
          throw .chunkExtension
        }
      }
    case .sizeFeed(let size):
      guard byte == HTTPBytes.lineFeed else { throw .chunkSize }
      self.place = size == 0 ? .trailers : .chunk(size)
    case .chunkReturn:
      guard byte == HTTPBytes.carriageReturn else { throw .chunkEnd }
      self.place = .chunkFeed
    case .chunkFeed:
      guard byte == HTTPBytes.lineFeed else { throw .chunkEnd }
      self.place = .size(0, digits: 0)
    default: break
    }
  }
}
