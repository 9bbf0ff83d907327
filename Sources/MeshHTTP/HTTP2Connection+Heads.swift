/// HEADERS and CONTINUATION. A block is unpacked whatever becomes of its stream: the table behind it is the connection's.
extension HTTP2Connection {
  mutating func headers(
    _ header: HTTP2FrameHeader, _ payload: Span<UInt8>, now: UInt64, to output: inout [UInt8]
  ) throws(HTTP2Failure) -> Event? {
    let content = try header.content(of: payload)
    var block = Block(stream: header.stream, ends: header.flags.contains(.endStream), bytes: [])
    guard !header.flags.contains(.endHeaders) else {
      return try self.take(block, payload.extracting(content), now: now, to: &output)
    }
    block.bytes.append(payload, content)
    self.block = block
    self.clocks.head = now
    return nil
  }

  mutating func continuation(
    _ header: HTTP2FrameHeader, _ payload: Span<UInt8>, now: UInt64, to output: inout [UInt8]
  ) throws(HTTP2Failure) -> Event? {
    guard var block = self.block else { throw .connection(.protocolError, .continuation) }
    if payload.count < HTTP2Settings.smallestFrameLimit { block.frames += 1 }
    guard block.frames <= self.limits.blockFrames, block.bytes.count + payload.count <= self.limits.blockBytes else {
      throw .connection(.enhanceYourCalm, .blockTooLong)
    }
    self.block = nil
    block.bytes.append(payload, 0..<payload.count)
    guard header.flags.contains(.endHeaders) else {
      self.block = block
      return nil
    }
    self.clocks.head = nil
    return try self.take(block, block.bytes.span, now: now, to: &output)
  }

  private mutating func take(
    _ block: Block, _ bytes: Span<UInt8>, now: UInt64, to output: inout [UInt8]
  ) throws(HTTP2Failure) -> Event? {
    let fields = try self.decode(bytes)
    let id = block.stream
    if let index = self.streams.index(of: id) {
      do {
        let head = try self.next(fields, at: index, ends: block.ends)
        self.settle(at: index)
        return .head(id, head, ends: block.ends)
      } catch .stream(let code, let reason) {
        return try self.fault(id, code, reason, now: now, to: &output)
      } catch {
        throw error
      }
    }
    if self.isIdle(id) {
      guard self.role == .server, id & 1 == 1 else { throw .connection(.protocolError, .streamIdentifier) }
      return try self.accept(fields, block, now: now, to: &output)
    }
    self.ignoredFrames += 1
    if let entry = self.resets.index(of: id) {
      if !self.resets.takesBlock(at: entry) { try self.budgets.spend(.fault, now: now) }
    } else {
      guard id <= self.resets.forgottenUpTo else { throw .connection(.streamClosed, .streamClosed) }
      try self.budgets.spend(.fault, now: now)
    }
    return nil
  }

  private mutating func decode(_ bytes: Span<UInt8>) throws(HTTP2Failure) -> FieldBlock {
    do {
      return try self.codec.decode(bytes)
    } catch {
      throw error == .tooLarge
        ? .connection(.enhanceYourCalm, .fieldsTooLarge) : .connection(.compressionError, .compression)
    }
  }

  /// What follows in a stream that is open.
  private mutating func next(_ fields: FieldBlock, at index: Int, ends: Bool) throws(HTTP2Failure) -> HTTP2Head {
    switch self.streams[index].inbound {
    case .ended: throw .stream(.streamClosed, .streamClosed)
    case .head:
      let head = try HTTP2Head.response(fields, self.limits.headRules)
      guard case .response(let status) = head.start else { throw .stream(.protocolError, .status) }
      try self.streams[index].take(response: status, head, ends: ends, interims: self.limits.interimResponses)
      return head
    case .body:
      let head = try HTTP2Head.trailers(fields, self.limits.headRules)
      try self.streams[index].takeTrailers(ends: ends)
      return head
    }
  }

  private mutating func accept(
    _ fields: FieldBlock, _ block: Block, now: UInt64, to output: inout [UInt8]
  ) throws(HTTP2Failure) -> Event? {
    let id = block.stream
    self.lastAccepted = id
    guard self.shutdown != .final, self.streams.count < self.limits.concurrentStreams else {
      try self.budgets.spend(.refusal, now: now)
      return self.refuse(
        block, .refusedStream, self.shutdown == .final ? .draining : .streamsTooMany, to: &output)
    }
    do {
      let head = try HTTP2Head.request(fields, self.limits.headRules)
      var stream = HTTP2Stream(
        accepted: id, head, sendWindow: self.peer.initialWindow, receiveWindow: self.limits.streamWindow)
      if block.ends { try stream.endInbound() }
      self.streams.append(stream)
      self.budgets.streamOpened()
      return .head(id, head, ends: block.ends)
    } catch .stream(let code, let reason) {
      try self.budgets.spend(.fault, now: now)
      // What is only too much has an answer of its own.
      var answer = FieldBlock()
      answer.append(":status", "431")
      guard reason == .fieldsTooLarge, let bytes = try? self.encode(answer) else {
        return self.refuse(block, code, reason, to: &output)
      }
      self.write(block: bytes, of: id, ends: true, to: &output)
      return self.refuse(block, .noError, reason, to: &output)
    } catch {
      throw error
    }
  }

  /// A stream that never was. The peer may have sent of it what it was allowed.
  private mutating func refuse(
    _ block: Block, _ code: HTTP2ErrorCode, _ reason: HTTP2Reason, to output: inout [UInt8]
  ) -> Event {
    if code != .noError || !block.ends { output.appendReset(block.stream, code) }
    self.resets.insert(
      block.stream, peerKnows: block.ends, window: max(HTTP2Settings.protocolWindow, self.limits.streamWindow))
    return .refused(block.stream, code, reason)
  }
}
