import CMeshRelay
import Glibc

/// Both ends of a pipe that bytes are spliced through; closed with its last reference.
final class RelayPipe {
  let reading: CInt
  let writing: CInt

  /// Nil: no descriptor or no pipe memory is left.
  init?() {
    var reading: CInt = -1
    var writing: CInt = -1
    guard cmesh_relay_pipe(&reading, &writing) == 0 else { return nil }
    self.reading = reading
    self.writing = writing
  }

  deinit {
    close(self.reading)
    close(self.writing)
  }
}

/// What the directions of one loop share: the buffer for copying, and empty pipes.
final class RelayKit {
  /// Pipes in use at a time; directions beyond copy. Bounds descriptors and pipe memory (pipe(7): 64 MiB for a user).
  static let mostPipes = 32
  private static let mostIdlePipes = 8

  /// Bytes of one turn at most, while other workloads wait for theirs.
  private static let contendedTurn = 128 << 10

  let buffer: UnsafeMutableRawBufferPointer
  /// Of what TLS decrypts, while `buffer` holds the records: several of them, so that what follows is done for all at once.
  var plain: UnsafeMutableRawBufferPointer {
    if let plain = self.plainBuffer { return plain }
    let plain = UnsafeMutableRawBufferPointer.allocate(byteCount: 128 << 10, alignment: 4096)
    self.plainBuffer = plain
    return plain
  }
  private var plainBuffer: UnsafeMutableRawBufferPointer?
  /// Other workloads wait.
  var isContended = false
  private var idle: [RelayPipe] = []
  private var used = 0

  init() {
    self.buffer = .allocate(byteCount: TransferChoice.bufferSize, alignment: 4096)
  }

  deinit {
    self.buffer.deallocate()
    self.plainBuffer?.deallocate()
  }

  /// Of the bytes that a connection may move before others have their turn.
  func turn(_ most: Int) -> Int { self.isContended ? min(most, Self.contendedTurn) : most }

  func takePipe() -> RelayPipe? {
    guard self.used < Self.mostPipes, let pipe = self.idle.popLast() ?? RelayPipe() else { return nil }
    self.used += 1
    return pipe
  }

  /// A pipe that still holds bytes is dropped.
  func giveBack(_ pipe: RelayPipe, isEmpty: Bool) {
    self.used -= 1
    if isEmpty, self.idle.count < Self.mostIdlePipes { self.idle.append(pipe) }
  }
}
