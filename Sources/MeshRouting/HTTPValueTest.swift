package import MeshBase

/// A value of a match, compiled.
package enum ValueTest: Sendable {
  case exact([UInt8])
  case regex(LinearRegex)

  func holds(_ value: Span<UInt8>) -> Bool {
    switch self {
    case .exact(let expected): value.equals(expected)
    case .regex(let regex): regex.matches(value)
    }
  }
}

/// A value that comes byte by byte: joined from several fields, or with its escapes undone, without being stored.
struct ValueRun {
  private let test: ValueTest
  private var count = 0
  private var isEqual = true
  private var run: LinearRegex.Run?

  init(_ test: ValueTest) {
    self.test = test
    if case .regex(let regex) = test { self.run = regex.run() }
  }

  mutating func feed(_ byte: UInt8) {
    switch self.test {
    case .exact(let expected):
      self.isEqual = self.isEqual && self.count < expected.count && expected[self.count] == byte
      self.count += 1
    case .regex(let regex):
      guard var run = self.run.take() else { return }
      regex.feed(byte, to: &run)
      self.run = run
    }
  }

  var isAccepted: Bool {
    switch self.test {
    case .exact(let expected): self.isEqual && self.count == expected.count
    case .regex(let regex): self.run.map { regex.accepts($0) } ?? false
    }
  }
}

extension Span<UInt8> {
  func equals(_ other: [UInt8]) -> Bool {
    guard self.count == other.count else { return false }
    for i in self.indices where self[i] != other[i] { return false }
    return true
  }

  /// `other` is in lower case.
  func equalsFoldingCase(_ other: [UInt8]) -> Bool {
    guard self.count == other.count else { return false }
    for i in self.indices {
      let byte = self[i]
      guard (0x41...0x5a).contains(byte) ? byte | 0x20 == other[i] : byte == other[i] else { return false }
    }
    return true
  }

  /// The byte at the place, an escape as one; what is no escape stands for itself.
  func unescaped(_ at: inout Int, before end: Int) -> UInt8 {
    let byte = self[at]
    if byte == 0x25, at + 2 < end, let high = CanonicalPath.digit(self[at + 1]),
      let low = CanonicalPath.digit(self[at + 2])
    {
      at += 3
      return high << 4 | low
    }
    at += 1
    return byte
  }
}
