/// What is waited for, and for how long.
extension HTTP2Connection {
  /// When to call `expire`.
  package var deadline: UInt64? {
    var first = UInt64.max
    func consider(_ since: UInt64?, _ timeout: UInt64) {
      guard let since, timeout <= .max - since else { return }
      first = min(first, since + timeout)
    }
    consider(self.clocks.preface, self.limits.prefaceTimeout)
    consider(self.clocks.head, self.limits.headTimeout)
    consider(self.clocks.settings, self.limits.settingsTimeout)
    consider(self.clocks.ping, self.limits.pingTimeout)
    consider(self.clocks.drain, self.limits.drainGrace)
    return first == .max ? nil : first
  }

  /// `needsInput`: it is not time yet, or nothing has to be done but to write the output.
  package mutating func expire(now: UInt64, to output: inout [UInt8]) -> Event {
    func isOver(_ since: UInt64?, _ timeout: UInt64) -> Bool {
      guard let since, now >= since else { return false }
      return now - since >= timeout
    }
    if isOver(self.clocks.preface, self.limits.prefaceTimeout) {
      return self.fail(.connection(.protocolError, .prefaceTimeout), to: &output)
    }
    if isOver(self.clocks.head, self.limits.headTimeout) {
      return self.fail(.connection(.protocolError, .headTimeout), to: &output)
    }
    if isOver(self.clocks.settings, self.limits.settingsTimeout) {
      return self.fail(.connection(.settingsTimeout, .settingsTimeout), to: &output)
    }
    if isOver(self.clocks.ping, self.limits.pingTimeout) {
      return self.fail(.connection(.noError, .pingTimeout), to: &output)
    }
    if isOver(self.clocks.drain, self.limits.drainGrace) { self.finishDrain(to: &output) }
    return .needsInput
  }

  /// Asks whether the peer is there: `pong` with the same number, or the connection fails. Nil: it was asked already.
  package mutating func ping(now: UInt64, to output: inout [UInt8]) -> UInt64? {
    guard !self.hasFailed, self.awaitedPing == nil else { return nil }
    self.pingCount += 1
    self.awaitedPing = self.pingCount
    self.clocks.ping = now
    output.appendPing(self.pingCount, isAnswer: false)
    return self.pingCount
  }

  /// No more streams, and those that are open go on. A server says first that it will, and only a round trip later how many it
  /// took, so that none that was under way is lost. The driver closes when `isDone`.
  package mutating func drain(now: UInt64, to output: inout [UInt8]) {
    guard !self.hasFailed, self.shutdown == .none else { return }
    guard self.role == .server else {
      output.appendGoAway(0, .noError)
      self.shutdown = .final
      return
    }
    self.pingCount += 1
    output.appendGoAway(HTTP2FrameHeader.largestStream, .noError)
    output.appendPing(self.pingCount, isAnswer: false)
    self.shutdown = .announced(ping: self.pingCount)
    self.clocks.drain = now
  }

  /// The end, now: the peer hears which stream was the last, and those that are open are cut.
  package mutating func dismiss(to output: inout [UInt8]) {
    guard !self.hasFailed else { return }
    self.finishDrain(to: &output)
    for id in self.streams.all.map(\.id) { self.reset(id, .cancel, to: &output) }
  }

  mutating func finishDrain(to output: inout [UInt8]) {
    output.appendGoAway(self.lastAccepted, .noError)
    self.shutdown = .final
    self.clocks.drain = nil
  }
}
