/// DATA toward this side, and the windows that let it come.
extension HTTP2Connection {
  mutating func beginData(
    _ header: HTTP2FrameHeader, _ rest: Span<UInt8>, _ at: inout Int, now: UInt64, to output: inout [UInt8]
  ) throws(HTTP2Failure) -> Event? {
    let id = header.stream
    var frame = DataFrame(
      stream: id, content: header.payloadLength, padding: 0, ends: header.flags.contains(.endStream))
    var begin = HTTP2FrameHeader.length
    if header.flags.contains(.padded) {
      guard header.payloadLength > 0 else { throw .connection(.frameSizeError, .frameSize) }
      guard rest.count > begin else { return self.wait(true, now) }
      frame.padding = Int(rest[begin])
      guard frame.padding < header.payloadLength else { throw .connection(.protocolError, .padding) }
      frame.content -= 1 + frame.padding
      begin += 1
    }
    guard !self.isIdle(id) else { throw .connection(.protocolError, .streamIdle) }
    guard self.receiveWindow.spend(header.payloadLength) else {
      throw .connection(.flowControlError, .windowExceeded)
    }
    at += begin
    self.clocks.head = nil
    self.place = .data(frame)
    // Padding is consumed by nobody else.
    let overhead = header.payloadLength - frame.content
    self.giveBack(overhead, to: &output)
    if frame.content == 0, !frame.ends { try self.budgets.spend(.emptyData, now: now) }

    guard let index = self.streams.index(of: id) else {
      self.ignoredFrames += 1
      if let entry = self.resets.index(of: id) {
        if !self.resets.takesData(header.payloadLength, at: entry) { try self.budgets.spend(.fault, now: now) }
      } else {
        guard id <= self.resets.forgottenUpTo else { throw .connection(.streamClosed, .streamClosed) }
        try self.budgets.spend(.fault, now: now)
      }
      return nil
    }
    guard self.streams[index].receiveWindow.spend(header.payloadLength) else {
      return try self.fault(id, .flowControlError, .windowExceeded, now: now, to: &output)
    }
    self.giveBack(overhead, at: index, to: &output)
    do {
      try self.streams[index].takeData(frame.content, ends: frame.ends)
      return nil
    } catch .stream(let code, let reason) {
      return try self.fault(id, code, reason, now: now, to: &output)
    } catch {
      throw error
    }
  }

  /// Tells what is there of the content. Of a stream that is gone nothing is told.
  mutating func continueData(
    _ begun: DataFrame, _ input: Span<UInt8>, _ at: inout Int, now: UInt64, to output: inout [UInt8]
  ) throws(HTTP2Failure) -> Event? {
    var frame = begun
    let content = at..<at + min(frame.content, input.count - at)
    at = content.upperBound
    frame.content -= content.count
    if frame.content == 0 {
      let padding = min(frame.padding, input.count - at)
      at += padding
      frame.padding -= padding
    }
    let isWhole = frame.content == 0 && frame.padding == 0
    self.place = isWhole ? .frame : .data(frame)
    let otherwise: Event? = isWhole ? nil : .needsInput
    guard let index = self.streams.index(of: frame.stream) else {
      self.giveBack(content.count, to: &output)
      return otherwise
    }
    let ends = isWhole && frame.ends
    if ends {
      do {
        try self.streams[index].endInbound()
      } catch .stream(let code, let reason) {
        return try self.fault(frame.stream, code, reason, now: now, to: &output)
      } catch {
        throw error
      }
      self.settle(at: index)
    }
    return ends || !content.isEmpty ? .data(frame.stream, content, ends: ends) : otherwise
  }

  /// So many of the bytes that were told of a stream are done with.
  package mutating func consumed(_ count: Int, of id: UInt32, to output: inout [UInt8]) {
    guard !self.hasFailed else { return }
    self.giveBack(count, to: &output)
    if let index = self.streams.index(of: id) { self.giveBack(count, at: index, to: &output) }
  }

  private mutating func giveBack(_ count: Int, to output: inout [UInt8]) {
    if let increment = self.receiveWindow.consume(count) { output.appendWindowUpdate(0, increment) }
  }

  private mutating func giveBack(_ count: Int, at index: Int, to output: inout [UInt8]) {
    guard self.streams[index].inbound != .ended else { return }
    guard let increment = self.streams[index].receiveWindow.consume(count) else { return }
    output.appendWindowUpdate(self.streams[index].id, increment)
  }
}
