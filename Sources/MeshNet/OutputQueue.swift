import CMeshRelay
import Glibc

/// Bytes on their way to a socket that may not take them yet.
struct OutputQueue {
  enum Outcome: Equatable {
    /// Nothing is left.
    case empty
    /// The socket takes no more now.
    case full
    case failed
  }

  /// Pieces of at least so many bytes are sent from where they are; copying smaller ones costs less than telling the kernel
  /// of two places.
  static let leastDirect = 2048
  private static let keptCapacity = 16 << 10

  /// What is written is appended here.
  var bytes: [UInt8] = []
  private var offset = 0
  /// Given to the socket so far.
  private(set) var sent: UInt64 = 0

  var count: Int { self.bytes.count - self.offset }
  var isEmpty: Bool { self.bytes.isEmpty }

  mutating func flush(to socket: CInt) -> Outcome {
    guard !self.bytes.isEmpty else { return .empty }
    let count = self.bytes.withUnsafeBytes {
      cmesh_relay_send(socket, $0.baseAddress?.advanced(by: self.offset), $0.count - self.offset)
    }
    guard count >= 0 else { return count == -Int(EAGAIN) ? .full : .failed }
    self.drop(count)
    // What the socket did not take now it says with an event.
    return self.bytes.isEmpty ? .empty : .full
  }

  /// All that waits, and `piece` behind it. What is not taken is kept.
  mutating func flush(to socket: CInt, with piece: UnsafeRawBufferPointer) -> Outcome {
    let waiting = self.count
    let result = self.bytes.withUnsafeBytes {
      cmesh_relay_send_both(
        socket, $0.baseAddress?.advanced(by: self.offset), waiting, piece.baseAddress, piece.count)
    }
    guard result >= 0 || result == -Int(EAGAIN) else { return .failed }
    let count = max(0, result)
    self.drop(min(count, waiting))
    let direct = max(0, count - waiting)
    self.sent &+= UInt64(direct)
    self.bytes.append(contentsOf: piece[direct...])
    return self.bytes.isEmpty ? .empty : .full
  }

  /// Gives all that waits to another way out. False: it did not take it.
  mutating func drain(_ body: (UnsafeRawBufferPointer) -> Bool) -> Bool {
    let isTaken = self.bytes.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[self.offset...])) }
    self.sent &+= UInt64(self.count)
    // Where much flows the next is as much: `rest` gives the memory back.
    self.bytes.removeAll(keepingCapacity: true)
    self.offset = 0
    return isTaken
  }

  private mutating func drop(_ count: Int) {
    self.sent &+= UInt64(count)
    self.offset += count
    if self.offset == self.bytes.count {
      if self.bytes.capacity <= Self.keptCapacity {
        self.bytes.removeAll(keepingCapacity: true)
      } else {
        self.bytes = []
      }
      self.offset = 0
    } else if self.offset > 64 << 10 {
      self.bytes.removeFirst(self.offset)
      self.offset = 0
    }
  }

  /// What waits, for another way out.
  mutating func takeAll() -> [UInt8] {
    defer {
      self.bytes = []
      self.offset = 0
    }
    return Array(self.bytes[self.offset...])
  }

  /// Gives back memory that nothing is in.
  mutating func rest() {
    if self.bytes.isEmpty { self.bytes = [] }
  }
}
