import MeshHTTP

/// What a stream has still to say: bytes that the peer's windows or the socket do not take yet, and how it ends.
struct HTTP2Outflow {
  enum End {
    case open
    /// Nothing comes behind the bytes.
    case data
    case trailers(FieldBlock)
    case written
  }

  private(set) var bytes: [UInt8] = []
  private var offset = 0
  private(set) var end = End.open

  /// Bytes that wait.
  var count: Int { self.bytes.count - self.offset }

  var isDone: Bool { if case .written = self.end { true } else { false } }

  /// Whether there is something to write.
  var hasWork: Bool {
    switch self.end {
    case .open: self.count > 0
    case .data, .trailers: true
    case .written: false
    }
  }

  /// Whether the bytes are the last.
  var endsWithData: Bool { if case .data = self.end { true } else { false } }

  mutating func append(_ input: Span<UInt8>) { self.bytes.append(input) }

  /// Nothing more comes. The first end holds.
  mutating func finish(_ trailers: FieldBlock?) {
    guard case .open = self.end else { return }
    self.end = trailers.map { .trailers($0) } ?? .data
  }

  mutating func ended() { self.end = .written }

  /// The first bytes that wait.
  func prefix(_ count: Int) -> ArraySlice<UInt8> { self.bytes[self.offset..<self.offset + count] }

  mutating func drop(_ count: Int) {
    self.offset += count
    if self.offset == self.bytes.count {
      self.bytes = []
      self.offset = 0
    } else if self.offset > 32 << 10 {
      self.bytes.removeFirst(self.offset)
      self.offset = 0
    }
  }
}
