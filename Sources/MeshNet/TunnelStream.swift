import MeshHTTP

/// One CONNECT stream of a connection between nodes: an end of a relay whose other end is a socket. END_STREAM is its FIN, RST_STREAM
/// its RST, its window what a socket's buffers are. Confined to its loop.
final class TunnelStream {
  enum Phase: Equatable {
    /// A client's: its connection does not stand yet. A server's: the relay dials.
    case waiting
    /// CONNECT is sent.
    case asked
    case open
    case over
  }

  private(set) var wire: TunnelWire?
  private(set) var id: UInt32 = 0
  private(set) var phase = Phase.waiting
  weak var relay: RelayConnection?
  private var outflow = HTTP2Outflow()
  private var hasEnded = false

  init(on wire: TunnelWire, relay: RelayConnection? = nil) {
    self.wire = wire
    self.relay = relay
  }

  // MARK: what the connection tells

  /// CONNECT was sent, or came.
  func began(as id: UInt32) {
    self.id = id
    if self.wire?.isClient == true { self.phase = .asked }
  }

  /// The connection that it waited for has no room; another one takes it.
  func moved(to wire: TunnelWire) { self.wire = wire }

  /// The other node has connected.
  func opened() {
    guard self.phase == .asked else { return }
    self.phase = .open
    self.relay?.tunnelOpened()
  }

  /// The other node refused, or the stream or its connection is cut.
  /// - wasTried: the endpoint is at fault.
  func cut(wasTried: Bool) {
    guard self.phase != .over else { return }
    let wasOpen = self.phase == .open
    self.leave()
    self.relay?.tunnelCut(wasOpen: wasOpen, wasTried: wasTried)
  }

  func received(_ input: Span<UInt8>, ends: Bool) {
    if ends { self.hasEnded = true }
    guard let relay = self.relay, self.phase != .over else { return self.consumed(input.count) }
    relay.tunnelReceived(input, ends: ends)
    self.settle()
  }

  /// Writes more. True: the connection's output is full before all is written.
  func resume() -> Bool {
    if self.outflow.hasWork {
      guard let wire = self.wire else { return false }
      let isFull = wire.write(&self.outflow, of: self.id).isFull
      self.settle()
      if isFull || self.outflow.hasWork { return isFull }
    }
    self.relay?.tunnelHasRoom()
    return false
  }

  // MARK: what the relay does

  /// The relay's socket stands: the client hears of it.
  func accept() {
    guard self.phase == .waiting, let wire = self.wire else { return }
    self.phase = .open
    var answer = FieldBlock()
    answer.append(":status", "200")
    do {
      try wire.send(answer, on: self.id, ends: false)
    } catch {
      self.reset()
    }
  }

  /// How many bytes may be sent now. If none: `tunnelHasRoom` tells when.
  func room() -> Int {
    guard self.phase == .open, !self.outflow.hasWork, let wire = self.wire else { return 0 }
    let window = wire.machine.sendable(self.id)
    guard window > 0 else { return 0 }
    guard wire.pending < HTTP2Wire.most else {
      wire.wake(self.id)
      return 0
    }
    return window
  }

  /// Whether only the peer's window is in the way of more.
  var isHeldUp: Bool {
    guard self.phase == .open, let wire = self.wire else { return false }
    return wire.machine.sendable(self.id) == 0
  }

  func send(_ bytes: Span<UInt8>) {
    _ = self.wire?.send(bytes, &self.outflow, of: self.id)
  }

  /// Nothing more is sent.
  func finish() {
    guard self.phase == .open else { return }
    self.outflow.finish(nil)
    self.wire?.wake(self.id)
  }

  func consumed(_ count: Int) { self.wire?.consumed(count, of: self.id) }

  /// The relay is over before its streams are. - refused: nothing was connected, and why.
  func reset(refused: Bool = false) {
    guard self.phase != .over else { return }
    let (wire, id, phase) = (self.wire, self.id, self.phase)
    self.leave()
    guard let wire else { return }
    guard id > 0 else { return wire.forget(waiting: self) }
    if phase == .waiting, refused { return wire.answer(id, 503) }
    wire.reset(id, phase == .open ? .connectError : .cancel)
  }

  private func leave() {
    self.phase = .over
    self.wire?.streams[self.id] = nil
    self.wire?.streamEnded()
  }

  /// Ended both ways: nobody has to hear of it.
  private func settle() {
    guard self.hasEnded, self.outflow.isDone, self.phase == .open else { return }
    self.leave()
  }
}
