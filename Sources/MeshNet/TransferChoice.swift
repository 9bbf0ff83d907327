/// Whether a direction copies its bytes through the loop's buffer or splices them through a pipe.
///
/// A splice takes a pipe and one more system call per burst, and saves two copies per byte: it pays for bulk only. So a
/// direction begins to splice when a read filled the whole buffer, and copies again after a few small moves.
package struct TransferChoice: Sendable, Equatable {
  package enum Way: Sendable, Equatable {
    case copy
    case splice
  }

  /// Bytes of the loop's buffer.
  package static let bufferSize = 64 << 10
  /// A spliced move of fewer bytes is a small one.
  package static let small = 16 << 10
  /// So many small moves in a row end splicing.
  package static let patience: UInt8 = 4

  package private(set) var way = Way.copy
  private var smallMoves: UInt8 = 0

  package init() {}

  /// So many bytes came in one move.
  package mutating func record(_ count: Int) {
    switch self.way {
    case .copy:
      guard count >= Self.bufferSize else { return }
      self.way = .splice
      self.smallMoves = 0
    case .splice:
      self.smallMoves = count < Self.small ? self.smallMoves + 1 : 0
      if self.smallMoves >= Self.patience { self.copy() }
    }
  }

  /// No pipe is to be had, or none needed.
  package mutating func copy() {
    self.way = .copy
    self.smallMoves = 0
  }
}
