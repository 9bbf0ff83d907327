/// One exchange: what each side may still say. The states of RFC 9113 section 5.1 are the two directions together; none is
/// reserved, because nothing is pushed.
///
/// ```
///                    a head, interim or final            trailers, or data
///  inbound, outbound:   head ──────────────────► body ────────────────────► ended
///                         └───────── with END_STREAM ──────────────────────►
/// ```
struct HTTP2Stream: Hashable, Sendable {
  enum Half: Hashable, Sendable { case head, body, ended }

  enum Phase: Hashable, Sendable { case open, halfClosedLocal, halfClosedRemote, closed }

  let id: UInt32
  var inbound: Half
  var outbound: Half
  var sendWindow: FlowWindow
  var receiveWindow: HTTP2ReceiveWindow
  private var answersHead: Bool
  private var isConnect: Bool
  private var forbidsContent = false
  /// Of the content that the peer announced.
  private var contentLeft: UInt64?
  private var interims = 0

  /// A request that came.
  init(accepted id: UInt32, _ head: HTTP2Head, sendWindow: Int, receiveWindow: Int) {
    self.id = id
    self.inbound = .body
    self.outbound = .head
    self.sendWindow = FlowWindow(sendWindow)
    self.receiveWindow = HTTP2ReceiveWindow(size: receiveWindow)
    self.answersHead = false
    if case .connect = head.start { self.isConnect = true } else { self.isConnect = false }
    self.contentLeft = head.contentLength
  }

  /// A request that is sent.
  init(opened id: UInt32, method: ArraySlice<UInt8>, sendWindow: Int, receiveWindow: Int) {
    self.id = id
    self.inbound = .head
    self.outbound = .body
    self.sendWindow = FlowWindow(sendWindow)
    self.receiveWindow = HTTP2ReceiveWindow(size: receiveWindow)
    self.answersHead = method.elementsEqual("HEAD".utf8)
    self.isConnect = method.elementsEqual("CONNECT".utf8)
  }

  var phase: Phase {
    switch (self.inbound, self.outbound) {
    case (.ended, .ended): .closed
    case (.ended, _): .halfClosedRemote
    case (_, .ended): .halfClosedLocal
    default: .open
    }
  }

  /// A response, interim or final.
  mutating func take(response status: UInt16, _ head: HTTP2Head, ends: Bool, interims most: Int) throws(HTTP2Failure) {
    if status < 200 {
      self.interims += 1
      guard !ends, self.interims <= most else { throw .stream(.protocolError, .interim) }
      return
    }
    self.inbound = .body
    self.forbidsContent = self.answersHead || status == 204 || status == 304
    if self.isConnect, status >= 300 { self.isConnect = false }
    // Of HEAD and 304 the length is of what is not sent.
    self.contentLeft = self.forbidsContent || self.isConnect ? nil : head.contentLength
    if ends { try self.endInbound() }
  }

  /// A tunnel has only data (RFC 9113 section 8.5).
  mutating func takeTrailers(ends: Bool) throws(HTTP2Failure) {
    guard ends, !self.isConnect else { throw .stream(.protocolError, .trailers) }
    try self.endInbound()
  }

  /// So many bytes of content are in the frame that begins here.
  mutating func takeData(_ count: Int, ends: Bool) throws(HTTP2Failure) {
    switch self.inbound {
    case .head: throw .stream(.protocolError, .dataBeforeHead)
    case .ended: throw .stream(.streamClosed, .streamClosed)
    case .body: break
    }
    guard count > 0 else { return }
    guard !self.forbidsContent else { throw .stream(.protocolError, .contentLength) }
    guard let left = self.contentLeft else { return }
    guard UInt64(count) <= left, !ends || UInt64(count) == left else { throw .stream(.protocolError, .contentLength) }
    self.contentLeft = left - UInt64(count)
  }

  mutating func endInbound() throws(HTTP2Failure) {
    guard (self.contentLeft ?? 0) == 0 else { throw .stream(.protocolError, .contentLength) }
    self.inbound = .ended
  }
}

/// The streams that are not closed, in the order of their numbers, which is that in which they were opened.
struct HTTP2Streams: Hashable, Sendable {
  private(set) var all: [HTTP2Stream] = []

  var count: Int { self.all.count }

  subscript(index: Int) -> HTTP2Stream {
    get { self.all[index] }
    _modify { yield &self.all[index] }
  }

  func index(of id: UInt32) -> Int? {
    var low = 0
    var high = self.all.count
    while low < high {
      let middle = (low + high) / 2
      if self.all[middle].id < id { low = middle + 1 } else { high = middle }
    }
    return low < self.all.count && self.all[low].id == id ? low : nil
  }

  /// Its number is above all others'.
  mutating func append(_ stream: HTTP2Stream) {
    self.all.append(stream)
  }

  mutating func remove(at index: Int) {
    self.all.remove(at: index)
  }

  /// The last one, if its number is above this.
  mutating func popLast(above id: UInt32) -> HTTP2Stream? {
    guard let last = self.all.last, last.id > id else { return nil }
    return self.all.removeLast()
  }

  /// The peer changed what its windows begin with. False: one would be larger than a window can be.
  mutating func moveSendWindows(by difference: Int) -> Bool {
    for index in self.all.indices {
      do {
        try self.all[index].sendWindow.move(by: difference)
      } catch {
        return false
      }
    }
    return true
  }
}
