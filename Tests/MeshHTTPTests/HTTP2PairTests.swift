import Testing

@testable import MeshHTTP

/// SplitMix64: the same numbers each time.
struct Seeded: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    self.state &+= 0x9e37_79b9_7f4a_7c15
    var value = self.state
    value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
    return value ^ (value >> 31)
  }
}

/// A client and a server of ours, and a wire between them that cuts where it likes.
private struct Pair {
  static let client = 0
  static let server = 1

  var random: Seeded
  var sides = [HTTP2Connection(.client), HTTP2Connection(.server)]
  var wire: [[UInt8]] = [[], []]
  var inbox: [[UInt8]] = [[], []]
  /// Of each side: what is to be sent of a stream, what was, what came, what of it is not consumed, what ended.
  var toSend: [[UInt32: Int]] = [[:], [:]]
  var sent: [[UInt32: Int]] = [[:], [:]]
  var came: [[UInt32: Int]] = [[:], [:]]
  var held: [[UInt32: Int]] = [[:], [:]]
  var ended: [Set<UInt32>] = [[], []]
  var givenUp: Set<UInt32> = []
  var faults: [String] = []

  init(seed: UInt64) {
    self.random = Seeded(state: seed)
    for side in 0...1 { self.sides[side].start(now: 0, to: &self.wire[side]) }
  }

  static func byte(_ side: Int, _ id: UInt32, _ offset: Int) -> UInt8 {
    let place: Int = offset * 7
    let stream: Int = Int(id) * 31
    return UInt8(truncatingIfNeeded: place + stream + side)
  }

  mutating func chance(_ one: Int) -> Bool { Int.random(in: 0..<one, using: &self.random) == 0 }

  mutating func open(_ most: Int) {
    guard self.sides[Self.client].canOpen else { return }
    let length = self.chance(4) ? 0 : Int.random(in: 1...most, using: &self.random)
    let fields = HTTP2Rig.post + (self.chance(2) ? [("content-length", "\(length)")] : [])
    do {
      let id = try self.sides[Self.client].open(
        fieldBlock(fields), ends: length == 0, to: &self.wire[Self.client])
      self.toSend[Self.client][id] = length == 0 ? nil : length
    } catch {
      self.faults.append("open \(error)")
    }
  }

  mutating func send(_ side: Int) {
    for (id, length) in self.toSend[side].sorted(by: { $0.key < $1.key }) {
      let offset = self.sent[side][id] ?? 0
      let offered = min(length - offset, Int.random(in: 1...40_000, using: &self.random))
      guard
        let grant = try? self.sides[side].sendData(
          offered, of: id, ends: offset + offered == length, to: &self.wire[side])
      else {
        self.toSend[side][id] = nil
        continue
      }
      self.wire[side] += (offset..<offset + grant.count).map { Self.byte(side, id, $0) }
      self.sent[side][id] = offset + grant.count
      if grant.ends { self.toSend[side][id] = nil }
    }
  }

  mutating func deliver(_ side: Int, all: Bool) {
    let peer = 1 - side
    let count =
      all
      ? self.wire[peer].count
      : min(self.wire[peer].count, Int.random(in: 0...30_000, using: &self.random))
    self.inbox[side] += self.wire[peer].prefix(count)
    self.wire[peer].removeFirst(count)
    var at = 0
    let input = self.inbox[side]
    while true {
      let step = self.sides[side].receive(
        input.span.extracting(at..<input.count), now: 0, to: &self.wire[side])
      self.note(side, step.event, Array(input[at...]))
      at += step.consumed
      if step.event == .needsInput, step.consumed == 0 || at == input.count { break }
    }
    self.inbox[side] = Array(input[at...])
  }

  mutating func note(_ side: Int, _ event: HTTP2Connection.Event, _ input: [UInt8]) {
    switch event {
    case .head(let id, _, let ends):
      if ends { self.ended[side].insert(id) }
      if side == Self.server {
        let length = self.chance(3) ? 0 : Int.random(in: 1...100_000, using: &self.random)
        do {
          try self.sides[side].send(
            fieldBlock(HTTP2Rig.ok), on: id, ends: length == 0, to: &self.wire[side])
        } catch {
          self.faults.append("send \(error)")
        }
        if length > 0 { self.toSend[side][id] = length }
      }
    case .data(let id, let range, let ends):
      let offset = self.came[side][id] ?? 0
      for index in range
      where input[index] != Self.byte(1 - side, id, offset + index - range.lowerBound) {
        self.faults.append("byte \(offset + index) of \(id)")
        break
      }
      self.came[side][id] = offset + range.count
      self.held[side][id, default: 0] += range.count
      if ends { self.ended[side].insert(id) }
    case .reset(let id, _, _): self.givenUp.insert(id)
    case .refused, .failed, .closed, .goAway: self.faults.append("\(event)")
    case .needsInput, .settings, .writable, .pong: break
    }
  }

  mutating func consume(_ side: Int, all: Bool) {
    for (id, count) in self.held[side].sorted(by: { $0.key < $1.key }) {
      let part = all ? count : Int.random(in: 0...count, using: &self.random)
      self.sides[side].consumed(part, of: id, to: &self.wire[side])
      self.held[side][id] = part == count ? nil : count - part
    }
  }
}

@Suite("HTTP/2: one side against the other")
struct HTTP2PairTests {
  @Test(
    "A client and a server of ours, cut at random, lose and mix no byte, and give every window back",
    arguments: 1...4)
  func pair(seed: Int) {
    var pair = Pair(seed: UInt64(seed))
    for _ in 0..<150 {
      if pair.chance(5) { pair.open(100_000) }
      let side = pair.chance(2) ? Pair.client : Pair.server
      pair.send(side)
      pair.deliver(1 - side, all: false)
      if pair.chance(2) { pair.consume(1 - side, all: false) }
      if pair.chance(20), let id = pair.toSend[side].keys.max() {
        pair.sides[side].reset(id, .cancel, to: &pair.wire[side])
        pair.givenUp.insert(id)
      }
      #expect(pair.sides[side].heldBytes <= 1 << 20)
    }
    for _ in 0..<400 {
      for side in 0...1 {
        pair.send(side)
        pair.deliver(1 - side, all: true)
        pair.consume(1 - side, all: true)
      }
    }
    #expect(pair.faults == [])
    #expect(pair.ended[Pair.server].count > 10)
    for side in 0...1 {
      #expect(pair.sides[side].openStreams == 0)
      #expect(pair.sides[side].heldBytes == 0)
      #expect(pair.toSend[side].isEmpty)
      for (id, count) in pair.sent[side] where !pair.givenUp.contains(id) {
        #expect(pair.came[1 - side][id] == count)
        #expect(pair.ended[1 - side].contains(id))
      }
    }
  }

  @Test(
    "Frames at random: whole and byte by byte come to the same, and none traps", arguments: 1...4)
  func random(seed: Int) {
    var random = Seeded(state: UInt64(seed))
    for role in [HTTP2Connection.Role.server, .client] {
      for _ in 0..<40 {
        let bytes = Self.frames(&random)
        _ = ways(role) { rig in
          if role == .client { for _ in 0..<2 { _ = rig.open() } }
          rig.give(bytes)
          #expect(rig.connection.heldBytes >= 0)
        }
      }
    }
  }

  private static func frames(_ random: inout Seeded) -> [UInt8] {
    let lengths: [Int] = [0, 4, 5, 6, 8, 30]
    let flags: [UInt8] = [0, 1, 4, 5, 8, 0x2d]
    let fills: [UInt8] = [0, 1, 0x82, 0xff]
    var bytes: [UInt8] = []
    for _ in 0..<12 {
      let length = lengths.randomElement(using: &random) ?? 0
      var payload: [UInt8] = []
      for _ in 0..<length { payload.append(fills.randomElement(using: &random) ?? 0) }
      let kind = HTTP2FrameHeader.Kind(rawValue: UInt8.random(in: 0...10, using: &random))
      let flag = HTTP2FrameHeader.Flags(rawValue: flags.randomElement(using: &random) ?? 0)
      bytes += frame(kind, flag, UInt32.random(in: 0...5, using: &random), payload)
    }
    return bytes
  }
}
