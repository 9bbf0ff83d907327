import CMeshRelay
import Glibc

/// The bytes of one direction of a relay: taken from the source only while the sink has taken all that came before.
struct RelayStream {
  enum Outcome: Equatable {
    /// Nothing to do until an event comes.
    case waits
    /// There may be more; others get their turn first.
    case again
    /// The source sent FIN, and everything before it was handed to the sink's socket.
    case ended
    case sourceFailed
    case sinkFailed
  }

  /// Bytes of one turn, so that a fast connection does not starve the others of its loop.
  private static let turn = 2 << 20

  private(set) var bytes: UInt64 = 0
  /// The source had an event since it was last found empty (edge-triggered).
  private var isReadable = false
  /// FIN, RST or an error was announced: a short read is not the last then (epoll(7)).
  private var endIsNear = false
  private(set) var isEnded = false
  private var choice = TransferChoice()
  /// Copied and not taken by the sink yet.
  private var left: [UInt8] = []
  private var leftOffset = 0
  private var pipe: RelayPipe?
  private var inPipe = 0

  /// Taken from one socket, and not by the other yet.
  var heldBytes: Int { self.left.count - self.leftOffset + self.inPipe }

  /// - left: what the sink gets before all others.
  init(left: [UInt8] = []) { self.left = left }

  mutating func noteReadable(endIsNear: Bool) {
    self.isReadable = true
    if endIsNear { self.endIsNear = true }
  }

  mutating func move(from source: CInt, to sink: CInt, with kit: RelayKit) -> Outcome {
    if self.isEnded { return .waits }
    let stop = self.bytes &+ UInt64(kit.turn(Self.turn))
    while true {
      let error = self.drain(to: sink, kit)
      if error < 0 { return error == Self.full ? .waits : .sinkFailed }
      guard self.isReadable else { return .waits }
      guard self.bytes < stop else { return .again }
      let count = self.choice.way == .splice ? self.splice(from: source, kit) : self.copy(from: source, to: sink, kit)
      if count == Self.full {
        self.isReadable = false
        return .waits
      }
      if count == Self.sinkError { return .sinkFailed }
      if count < 0 { return .sourceFailed }
      if count == 0 {
        self.isEnded = true
        self.release(kit)
        return .ended
      }
    }
  }

  /// Into a tunnel, no more than its peer takes: nothing of it is held here.
  mutating func move(from source: CInt, into tunnel: TunnelStream, with kit: RelayKit) -> Outcome {
    if self.isEnded { return .waits }
    let stop = self.bytes &+ UInt64(kit.turn(Self.turn))
    while true {
      if !self.left.isEmpty {
        guard tunnel.room() > 0 else { return .waits }
        tunnel.send(self.left.span)
        self.left = []
      }
      guard self.isReadable else { return .waits }
      let room = min(kit.buffer.count, tunnel.room())
      guard room > 0 else { return .waits }
      guard self.bytes < stop else { return .again }
      let count = cmesh_relay_receive(source, kit.buffer.baseAddress, room)
      guard count > 0 else {
        if count == Self.full {
          self.isReadable = false
          return .waits
        }
        guard count == 0 else { return .sourceFailed }
        self.isEnded = true
        return .ended
      }
      self.bytes &+= UInt64(count)
      if count < room, !self.endIsNear { self.isReadable = false }
      let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(kit.buffer)[..<count])
      tunnel.send(Span(_unsafeElements: bytes.bindMemory(to: UInt8.self)))
    }
  }

  /// From a tunnel. - sink: -1: it does not stand yet. Returns how many of the bytes went on; nil: the sink failed.
  mutating func take(_ input: Span<UInt8>, to sink: CInt) -> Int? {
    self.bytes &+= UInt64(input.count)
    var sent = 0
    if sink >= 0, self.left.isEmpty {
      sent = input.withUnsafeBufferPointer { cmesh_relay_send(sink, $0.baseAddress, $0.count) }
      if sent == Self.full { sent = 0 }
      guard sent >= 0 else { return nil }
    }
    guard sent < input.count else { return sent }
    if self.leftOffset > Self.mostPassed || self.left.isEmpty {
      self.left.removeFirst(self.left.isEmpty ? 0 : self.leftOffset)
      self.leftOffset = 0
    }
    input.extracting(sent..<input.count).withUnsafeBufferPointer { self.left.append(contentsOf: $0) }
    return sent
  }

  /// Bytes in front of those that wait, kept at most.
  private static let mostPassed = 256 << 10

  /// From a tunnel: what waits for the sink. - ended: nothing comes behind it.
  mutating func deliver(to sink: CInt, ended: Bool, with kit: RelayKit) -> (outcome: Outcome, count: Int) {
    if self.isEnded { return (.waits, 0) }
    let before = self.heldBytes
    let error = self.drain(to: sink, kit)
    let count = before - self.heldBytes
    if error < 0 { return (error == Self.full ? .waits : .sinkFailed, count) }
    guard ended else { return (.waits, count) }
    self.isEnded = true
    return (.ended, count)
  }

  /// The socket has nothing, or takes nothing, now.
  private static let full = -Int(EAGAIN)
  /// Not an errno.
  private static let sinkError = Int.min

  /// Receives once and sends at once. The bytes received, 0 at FIN, -errno of the source, or `sinkError`.
  private mutating func copy(from source: CInt, to sink: CInt, _ kit: RelayKit) -> Int {
    let count = cmesh_relay_receive(source, kit.buffer.baseAddress, kit.buffer.count)
    guard count > 0 else { return count }
    self.bytes &+= UInt64(count)
    self.choice.record(count)
    if count < kit.buffer.count, !self.endIsNear { self.isReadable = false }
    var sent = cmesh_relay_send(sink, kit.buffer.baseAddress, count)
    if sent == Self.full { sent = 0 }
    guard sent >= 0 else { return Self.sinkError }
    if sent < count {
      self.left = Array(kit.buffer[sent..<count])
      self.leftOffset = 0
    }
    return count
  }

  /// Fills the empty pipe. The bytes, 0 at FIN, or -errno of the source.
  private mutating func splice(from source: CInt, _ kit: RelayKit) -> Int {
    if self.pipe == nil { self.pipe = kit.takePipe() }
    guard let pipe = self.pipe else {
      self.choice.copy()
      return 1
    }
    let count = cmesh_relay_splice(source, pipe.writing, Int(CMESH_PIPE_SIZE))
    guard count > 0 else { return count }
    self.bytes &+= UInt64(count)
    self.inPipe = count
    self.choice.record(count)
    return count
  }

  /// Gives the sink what waits for it. 0: all of it, else -errno.
  private mutating func drain(to sink: CInt, _ kit: RelayKit) -> Int {
    while !self.left.isEmpty {
      let sent = self.left.withUnsafeBytes {
        cmesh_relay_send(sink, $0.baseAddress?.advanced(by: self.leftOffset), $0.count - self.leftOffset)
      }
      guard sent > 0 else { return sent == 0 ? Self.full : sent }
      self.leftOffset += sent
      if self.leftOffset == self.left.count {
        self.left = []
        self.leftOffset = 0
      }
    }
    guard let pipe = self.pipe else { return 0 }
    while self.inPipe > 0 {
      let sent = cmesh_relay_splice(pipe.reading, sink, self.inPipe)
      guard sent > 0 else { return sent == 0 ? -Int(EPIPE) : sent }
      self.inPipe -= sent
    }
    if self.choice.way == .copy { self.release(kit) }
    return 0
  }

  /// Gives the pipe back, when the source is quiet or the connection over.
  mutating func release(_ kit: RelayKit) {
    guard let pipe = self.pipe else { return }
    self.pipe = nil
    kit.giveBack(pipe, isEmpty: self.inPipe == 0)
    self.inPipe = 0
  }

  /// Gives back an empty pipe of a quiet direction.
  mutating func rest(_ kit: RelayKit) {
    guard self.inPipe == 0, self.pipe != nil else { return }
    self.choice.copy()
    self.release(kit)
  }
}
