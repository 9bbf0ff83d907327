import MeshHTTP

/// The places of path and query in a request's target.
struct HTTPTargetParts {
  let path: Range<Int>
  /// After the `?`.
  let query: Range<Int>?
  /// `OPTIONS *`: of the server, of no path.
  let isAsterisk: Bool

  init(_ target: Range<Int>, _ input: Span<UInt8>) {
    var end = target.lowerBound
    while end < target.upperBound, input[end] != 0x3f { end += 1 }
    self.path = target.lowerBound..<end
    self.query = end < target.upperBound ? end + 1..<target.upperBound : nil
    self.isAsterisk = self.path.count == 1 && input[self.path.lowerBound] == 0x2a
  }

  /// A target with another path and the same query.
  func target(_ path: [UInt8], _ input: Span<UInt8>) -> [UInt8] {
    var target = path
    if let query = self.query {
      target.append(0x3f)
      target.append(input.extracting(query))
    }
    return target
  }

  /// `host` of `host:port`.
  static func host(of authority: Range<Int>?, _ input: Span<UInt8>) -> Range<Int> {
    guard let authority else { return 0..<0 }
    var at = authority.upperBound
    while at > authority.lowerBound, input[at - 1] &- 0x30 < 10 { at -= 1 }
    let hasPort = at - 1 > authority.lowerBound && input[at - 1] == 0x3a
    // The last group of a bare IPv6 address has a bracket behind it.
    return hasPort ? authority.lowerBound..<at - 1 : authority
  }
}

extension [UInt8] {
  mutating func append(_ bytes: Span<UInt8>) { bytes.withUnsafeBufferPointer { self.append(contentsOf: $0) } }

  mutating func replace(with bytes: Span<UInt8>) {
    self.removeAll(keepingCapacity: true)
    self.append(bytes)
  }
}

extension Span<UInt8> {
  func string(_ range: Range<Int>) -> String {
    self.extracting(range).withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) }
  }
}
