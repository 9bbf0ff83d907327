package enum HTTP2SendRefusal: Error, Hashable, Sendable {
  /// It is gone, or none can be opened.
  case noStream
  /// A head behind the final one, data behind the end: nothing was written.
  case order
  /// A name or a value that cannot be written.
  case unencodable
  /// More than the peer takes in one head.
  case tooLarge
}

/// What this side says.
extension HTTP2Connection {
  /// How many of a body's bytes have to follow what was written.
  package struct DataGrant: Hashable, Sendable {
    package var count: Int
    /// END_STREAM is in this frame.
    package var ends: Bool
  }

  /// Whether a request can be sent here. If not, `isDone` tells whether one ever can.
  package var canOpen: Bool {
    self.role == .client && !self.hasFailed && self.shutdown == .none && self.lastProcessed == nil
      && self.nextOpened <= HTTP2FrameHeader.largestStream
      && self.streams.count < min(self.peer.concurrentStreams ?? .max, self.limits.concurrentStreams)
  }

  package mutating func open(
    _ request: FieldBlock, ends: Bool, to output: inout [UInt8]
  ) throws(HTTP2SendRefusal) -> UInt32 {
    guard self.canOpen else { throw .noStream }
    guard let method = request.value(of: ":method") else { throw .order }
    let block = try self.encode(request)
    let id = self.nextOpened
    self.nextOpened += 2
    var stream = HTTP2Stream(
      opened: id, method: method, sendWindow: self.peer.initialWindow, receiveWindow: self.limits.streamWindow)
    if ends { stream.outbound = .ended }
    self.streams.append(stream)
    self.budgets.streamOpened()
    self.write(block: block, of: id, ends: ends, to: &output)
    return id
  }

  /// A response, an interim one, or trailers.
  package mutating func send(
    _ fields: FieldBlock, on id: UInt32, ends: Bool, to output: inout [UInt8]
  ) throws(HTTP2SendRefusal) {
    guard !self.hasFailed, let index = self.streams.index(of: id) else { throw .noStream }
    let status = fields.value(of: ":status")
    switch self.streams[index].outbound {
    case .head:
      guard let status else { throw .order }
      let isInterim = status.first == UInt8(ascii: "1")
      guard !isInterim || !ends else { throw .order }
      let block = try self.encode(fields)
      if !isInterim { self.streams[index].outbound = ends ? .ended : .body }
      self.write(block: block, of: id, ends: ends, to: &output)
    case .body:
      guard status == nil, ends else { throw .order }
      let block = try self.encode(fields)
      self.streams[index].outbound = .ended
      self.write(block: block, of: id, ends: true, to: &output)
    case .ended: throw .order
    }
    self.budgets.headSent()
    self.settle(at: index)
  }

  /// How many bytes of a stream the peer takes now.
  package func sendable(_ id: UInt32) -> Int {
    guard !self.hasFailed, let index = self.streams.index(of: id), self.streams[index].outbound == .body else {
      return 0
    }
    return max(0, min(self.sendWindow.available, self.streams[index].sendWindow.available))
  }

  /// Begins a frame for as many of the bytes at hand as may be sent in one: they are to be written behind it. `ends`: nothing
  /// comes behind them. Nothing is written if nothing may be sent; `writable` or `settings` tells when to ask again.
  package mutating func sendData(
    _ available: Int, of id: UInt32, ends: Bool, to output: inout [UInt8]
  ) throws(HTTP2SendRefusal) -> DataGrant {
    guard !self.hasFailed, let index = self.streams.index(of: id) else { throw .noStream }
    guard self.streams[index].outbound == .body else { throw .order }
    let count = max(
      0, min(available, self.sendable(id), self.peer.largestPayload, self.limits.largestDataFrame))
    let isLast = ends && count >= available
    guard count > 0 || isLast else { return DataGrant(count: 0, ends: false) }
    do {
      try self.sendWindow.spend(count)
      try self.streams[index].sendWindow.spend(count)
    } catch {
      return DataGrant(count: 0, ends: false)
    }
    HTTP2FrameHeader(payloadLength: count, kind: .data, flags: isLast ? .endStream : [], stream: id).write(to: &output)
    self.budgets.dataSent(count)
    if isLast {
      self.streams[index].outbound = .ended
      self.settle(at: index)
    }
    return DataGrant(count: count, ends: isLast)
  }

  /// The stream is given up. NO_ERROR asks a client not to send the rest of a request that was answered whole.
  package mutating func reset(_ id: UInt32, _ code: HTTP2ErrorCode, to output: inout [UInt8]) {
    guard !self.hasFailed, let index = self.streams.index(of: id) else { return }
    output.appendReset(id, code)
    self.abandon(at: index, peerKnows: false)
  }

  mutating func encode(_ fields: FieldBlock) throws(HTTP2SendRefusal) -> [UInt8] {
    guard fields.listSize <= self.peer.fieldListSize ?? .max else { throw .tooLarge }
    var block: [UInt8] = []
    do {
      try self.codec.encode(fields, to: &block)
    } catch {
      throw .unencodable
    }
    return block
  }

  /// In frames of the size that everybody takes.
  func write(block: [UInt8], of id: UInt32, ends: Bool, to output: inout [UInt8]) {
    var start = 0
    repeat {
      let end = min(start + HTTP2Settings.smallestFrameLimit, block.count)
      var flags: HTTP2FrameHeader.Flags = end == block.count ? .endHeaders : []
      if start == 0, ends { flags.insert(.endStream) }
      HTTP2FrameHeader(
        payloadLength: end - start, kind: start == 0 ? .headers : .continuation, flags: flags, stream: id
      ).write(to: &output)
      output += block[start..<end]
      start = end
    } while start < block.count
  }
}

extension FieldBlock {
  func value(of name: String) -> ArraySlice<UInt8>? {
    for field in self.fields where self.name(field).elementsEqual(name.utf8) { return self.value(field) }
    return nil
  }
}
