/// Frames by their kind. DATA and field blocks have files of their own.
extension HTTP2Connection {
  mutating func frame(
    _ input: Span<UInt8>, _ at: inout Int, now: UInt64, to output: inout [UInt8]
  ) throws(HTTP2Failure) -> Event? {
    let rest = input.extracting(at..<input.count)
    guard let header = HTTP2FrameHeader(rest) else { return self.wait(!rest.isEmpty, now) }
    do {
      try self.check(header)
    } catch .stream(let code, let reason) {
      at += HTTP2FrameHeader.length
      self.clocks.head = nil
      self.place = .skip(header.payloadLength)
      return try self.fault(header.stream, code, reason, now: now, to: &output)
    } catch {
      throw error
    }
    if header.kind == .data { return try self.beginData(header, rest, &at, now: now, to: &output) }
    guard header.kind.rawValue <= HTTP2FrameHeader.Kind.continuation.rawValue else {
      // Kinds that nobody here knows are passed over (RFC 9113 section 5.5).
      try self.budgets.spend(.unknownFrame, now: now)
      at += HTTP2FrameHeader.length
      self.clocks.head = nil
      self.place = .skip(header.payloadLength)
      return nil
    }
    let end = HTTP2FrameHeader.length + header.payloadLength
    guard rest.count >= end else { return self.wait(true, now) }
    let payload = rest.extracting(HTTP2FrameHeader.length..<end)
    at += end
    if self.block == nil { self.clocks.head = nil }
    switch header.kind {
    case .headers: return try self.headers(header, payload, now: now, to: &output)
    case .continuation: return try self.continuation(header, payload, now: now, to: &output)
    case .priority:
      try self.budgets.spend(.priority, now: now)
      return nil
    case .resetStream: return try self.resetStream(header.stream, payload, now: now)
    case .settings: return try self.settings(header, payload, now: now, to: &output)
    case .ping: return try self.ping(header, payload, now: now, to: &output)
    case .goAway: return try self.goAway(payload, now: now)
    default: return try self.windowUpdate(header.stream, payload, now: now, to: &output)
    }
  }

  /// What can be said before the payload is there.
  private func check(_ header: HTTP2FrameHeader) throws(HTTP2Failure) {
    if let block {
      guard header.kind == .continuation, header.stream == block.stream else {
        throw .connection(.protocolError, .continuation)
      }
    } else if header.kind == .continuation {
      throw .connection(.protocolError, .continuation)
    }
    guard self.sawSettings || (header.kind == .settings && !header.flags.contains(.acknowledge)) else {
      throw .connection(.protocolError, .preface)
    }
    try header.check(
      largestPayload: header.kind == .data
        ? max(HTTP2Settings.smallestFrameLimit, self.limits.largestFrame) : HTTP2Settings.smallestFrameLimit)
  }

  func isIdle(_ stream: UInt32) -> Bool {
    let isPeers = (stream & 1 == 1) == (self.role == .server)
    return isPeers ? stream > self.lastAccepted : stream >= self.nextOpened
  }

  /// For the rest of a frame, if one has begun.
  mutating func wait(_ hasBegun: Bool, _ now: UInt64) -> Event {
    if hasBegun, self.clocks.head == nil { self.clocks.head = now }
    return .needsInput
  }

  /// The peer broke a law in a stream, which ends. There is none to end if it was never opened.
  mutating func fault(
    _ id: UInt32, _ code: HTTP2ErrorCode, _ reason: HTTP2Reason, now: UInt64, to output: inout [UInt8]
  ) throws(HTTP2Failure) -> Event {
    guard !self.isIdle(id) else { throw .connection(code, reason) }
    try self.budgets.spend(.fault, now: now)
    output.appendReset(id, code)
    if let index = self.streams.index(of: id) { self.abandon(at: index, peerKnows: false) }
    return .refused(id, code, reason)
  }

  mutating func abandon(at index: Int, peerKnows: Bool) {
    let stream = self.streams[index]
    self.streams.remove(at: index)
    self.resets.insert(stream.id, peerKnows: peerKnows, window: stream.receiveWindow.available)
  }

  /// A stream whose two sides have ended is forgotten.
  mutating func settle(at index: Int) {
    guard self.streams[index].phase == .closed else { return }
    self.streams.remove(at: index)
    self.budgets.streamEnded()
  }

  private mutating func resetStream(
    _ id: UInt32, _ payload: Span<UInt8>, now: UInt64
  ) throws(HTTP2Failure) -> Event? {
    guard !self.isIdle(id) else { throw .connection(.protocolError, .streamIdle) }
    guard let index = self.streams.index(of: id) else {
      self.ignoredFrames += 1
      if let entry = self.resets.index(of: id), self.resets.crosses(at: entry) { return nil }
      try self.budgets.spend(.reset, now: now)
      return nil
    }
    // Work that was begun and is not wanted (CVE-2023-44487). One that was answered has waited for it.
    if self.role == .server, self.streams[index].outbound == .head { try self.budgets.spend(.reset, now: now) }
    self.abandon(at: index, peerKnows: true)
    let code = HTTP2ErrorCode(rawValue: payload.bigEndian32(at: 0))
    return .reset(id, code, isUnprocessed: code == .refusedStream)
  }

  private mutating func settings(
    _ header: HTTP2FrameHeader, _ payload: Span<UInt8>, now: UInt64, to output: inout [UInt8]
  ) throws(HTTP2Failure) -> Event? {
    if header.flags.contains(.acknowledge) {
      if self.awaitsAcknowledgement {
        self.awaitsAcknowledgement = false
        self.clocks.settings = nil
      } else {
        try self.budgets.spend(.settings, now: now)
      }
      return nil
    }
    try self.budgets.spend(.settings, now: now)
    let before = self.peer
    try self.peer.apply(payload, fromServer: self.role == .client)
    guard self.streams.moveSendWindows(by: self.peer.initialWindow - before.initialWindow) else {
      throw .connection(.flowControlError, .windowOverflow)
    }
    // One value after the other: a table that was made small in between has lost its entries.
    for offset in stride(from: 0, to: payload.count, by: 6) where payload[offset] == 0 && payload[offset + 1] == 1 {
      self.codec.peerAllowsTable(of: Int(payload.bigEndian32(at: offset + 2)))
    }
    self.sawSettings = true
    self.clocks.preface = nil
    HTTP2FrameHeader(payloadLength: 0, kind: .settings, flags: .acknowledge, stream: 0).write(to: &output)
    return .settings
  }

  private mutating func ping(
    _ header: HTTP2FrameHeader, _ payload: Span<UInt8>, now: UInt64, to output: inout [UInt8]
  ) throws(HTTP2Failure) -> Event? {
    let value = UInt64(payload.bigEndian32(at: 0)) << 32 | UInt64(payload.bigEndian32(at: 4))
    guard header.flags.contains(.acknowledge) else {
      try self.budgets.spend(.ping, now: now)
      output.appendPing(value, isAnswer: true)
      return nil
    }
    if self.shutdown == .announced(ping: value) {
      self.finishDrain(to: &output)
      return nil
    }
    guard value == self.awaitedPing else {
      try self.budgets.spend(.ping, now: now)
      return nil
    }
    self.awaitedPing = nil
    self.clocks.ping = nil
    return .pong(value)
  }

  private mutating func goAway(_ payload: Span<UInt8>, now: UInt64) throws(HTTP2Failure) -> Event? {
    try self.budgets.spend(.goAway, now: now)
    if self.role == .client {
      // It cannot take back what it gave up (RFC 9113 section 6.8).
      let last = payload.bigEndian32(at: 0) & HTTP2FrameHeader.largestStream
      self.lastProcessed = min(self.lastProcessed ?? last, last)
    }
    return .goAway(HTTP2ErrorCode(rawValue: payload.bigEndian32(at: 4)))
  }

  /// A stream that the peer's GOAWAY left out.
  mutating func rejected() -> Event? {
    guard let last = self.lastProcessed, let stream = self.streams.popLast(above: last) else { return nil }
    self.resets.insert(stream.id, peerKnows: true, window: 0)
    return .reset(stream.id, .refusedStream, isUnprocessed: true)
  }

  private mutating func windowUpdate(
    _ id: UInt32, _ payload: Span<UInt8>, now: UInt64, to output: inout [UInt8]
  ) throws(HTTP2Failure) -> Event? {
    try self.budgets.spend(.windowUpdate, now: now)
    let increment = payload.bigEndian32(at: 0)
    if id == 0 {
      let wasOpen = self.sendWindow.available > 0
      do {
        try self.sendWindow.open(by: increment)
      } catch {
        throw .connection(error.code, error.reason)
      }
      return wasOpen ? nil : .writable(0)
    }
    guard !self.isIdle(id) else { throw .connection(.protocolError, .streamIdle) }
    guard let index = self.streams.index(of: id) else {
      self.ignoredFrames += 1
      return nil
    }
    let wasOpen = self.streams[index].sendWindow.available > 0
    do {
      try self.streams[index].sendWindow.open(by: increment)
    } catch {
      return try self.fault(id, error.code, error.reason, now: now, to: &output)
    }
    return wasOpen || self.streams[index].sendWindow.available <= 0 ? nil : .writable(id)
  }
}

extension FlowWindow.Refusal {
  fileprivate var code: HTTP2ErrorCode { self == .zero ? .protocolError : .flowControlError }
  fileprivate var reason: HTTP2Reason { self == .zero ? .windowIncrement : .windowOverflow }
}
