import MeshBase
package import MeshSnapshot

/// What a request is matched by: ranges of one span of bytes. The canonical path is given beside it (`CanonicalPath`).
package struct HTTPRequestHead: Sendable {
  package struct Field: Sendable {
    package var name: Range<Int>
    package var value: Range<Int>

    package init(name: Range<Int>, value: Range<Int>) {
      self.name = name
      self.value = value
    }
  }

  package var method: Range<Int>
  /// Without a port.
  package var host: Range<Int>
  /// After the `?`.
  package var query: Range<Int>?
  package var fields: [Field]

  package init(method: Range<Int>, host: Range<Int>, query: Range<Int>?, fields: [Field]) {
    self.method = method
    self.host = host
    self.query = query
    self.fields = fields
  }
}

/// The rules for the requests of a client to a service port, ordered by precedence and indexed by path. Never changes.
///
/// Order (HTTPRoute and GRPCRoute of Gateway API v1): host name without wildcard by length, host name by length; exact path; regular
/// expression, by length; prefix, by length; a method; number of headers; number of query parameters; then as given. The
/// specification leaves the place of expressions open: before prefixes, so that a catch-all `/` does not hide them. GRPCRoute:
/// a service before none, a method before none, number of headers; exact before expressions.
package struct HTTPRouteTable: Sendable {
  package struct Match: Equatable, Sendable {
    /// Index into `actions`.
    package var action: Int
    /// Bytes of the path that the rule's prefix matched, without a slash at the end. Nil: not matched by a prefix.
    package var prefix: Int?
  }

  package struct Unusable: Equatable, Sendable {
    package var origin: RouteOrigin
    package var why: String
  }

  struct Candidate: Sendable {
    enum Path: Sendable {
      case exact([UInt8])
      case prefix([UInt8])
      case regex(LinearRegex)
      case grpc(service: ValueTest?, method: ValueTest?)
    }

    enum Host: Sendable {
      case exact([UInt8])
      /// With the dot.
      case suffix([UInt8])
    }

    let action: Int
    let host: Host?
    let path: Path
    let method: [UInt8]?
    let headers: [FieldTest]
    let query: [FieldTest]
  }

  struct FieldTest: Sendable {
    let name: [UInt8]
    let value: ValueTest
  }

  package let actions: [HTTPRouteAction]
  package let unusable: [Unusable]
  /// In the order of precedence.
  let candidates: [Candidate]
  /// By hash of the whole path, and of the prefix.
  let exact: [UInt64: [Int]]
  let prefixes: [UInt64: [Int]]
  let longestPrefix: Int
  /// Those that only trying tells.
  let others: [Int]

  /// The rule that wins. Nil: 404.
  package func match(_ head: HTTPRequestHead, in bytes: Span<UInt8>, path: Span<UInt8>) -> Match? {
    var best = self.candidates.count
    var hash = PathHash()
    for i in 0...path.count {
      if i == 0 || i == path.count || path[i] == 0x2f, i <= self.longestPrefix {
        self.take(self.prefixes[hash.value], into: &best, head, bytes, path)
      }
      if i == path.count { break }
      hash.combine(path[i])
    }
    self.take(self.exact[hash.value], into: &best, head, bytes, path)
    self.take(self.others, into: &best, head, bytes, path)
    guard best < self.candidates.count else { return nil }
    let winner = self.candidates[best]
    let prefix: Int? = if case .prefix(let prefix) = winner.path { prefix.count } else { nil }
    return Match(action: winner.action, prefix: prefix)
  }

  /// The first of the candidates (ascending) that holds, if it is before `best`.
  private func take(
    _ indices: [Int]?, into best: inout Int, _ head: HTTPRequestHead, _ bytes: Span<UInt8>, _ path: Span<UInt8>
  ) {
    guard let indices else { return }
    for index in indices {
      if index >= best { return }
      if self.candidates[index].holds(head, in: bytes, path: path) {
        best = index
        return
      }
    }
  }
}

extension HTTPRouteTable.Candidate {
  func holds(_ head: HTTPRequestHead, in bytes: Span<UInt8>, path: Span<UInt8>) -> Bool {
    if let method = self.method, !bytes.extracting(head.method).equals(method) { return false }
    switch self.host {
    case nil: break
    case .exact(let name): guard bytes.extracting(head.host).equalsFoldingCase(name) else { return false }
    case .suffix(let suffix):
      let count = head.host.count
      guard count > suffix.count,
        bytes.extracting(head.host).extracting(count - suffix.count..<count).equalsFoldingCase(suffix)
      else { return false }
    }
    return self.path.holds(path) && self.headers.allSatisfy { $0.holds(inHeadersOf: head, bytes) }
      && self.query.allSatisfy { $0.holds(inQueryOf: head, bytes) }
  }
}

extension HTTPRouteTable.Candidate.Path {
  func holds(_ path: Span<UInt8>) -> Bool {
    switch self {
    case .exact(let expected): return path.equals(expected)
    case .prefix(let prefix):
      guard path.count >= prefix.count, path.extracting(0..<prefix.count).equals(prefix) else { return false }
      return path.count == prefix.count || path[prefix.count] == 0x2f
    case .regex(let regex): return regex.matches(path)
    case .grpc(nil, nil): return true
    case .grpc(let service, let method):
      // `/service/method`, no more and no less.
      var slash = 1
      while slash < path.count, path[slash] != 0x2f { slash += 1 }
      guard slash > 1, slash + 1 < path.count else { return false }
      for i in slash + 1..<path.count where path[i] == 0x2f { return false }
      return (service?.holds(path.extracting(1..<slash)) ?? true)
        && (method?.holds(path.extracting(slash + 1..<path.count)) ?? true)
    }
  }
}

extension HTTPRouteTable.FieldTest {
  /// Several fields of one name are one list: their values are joined by a comma (RFC 9110, 5.3).
  func holds(inHeadersOf head: HTTPRequestHead, _ bytes: Span<UInt8>) -> Bool {
    var run = ValueRun(self.value)
    var isFound = false
    for field in head.fields
    where field.name.count == self.name.count && bytes.extracting(field.name).equalsFoldingCase(self.name) {
      if isFound { run.feed(0x2c) }
      isFound = true
      for i in field.value { run.feed(bytes[i]) }
    }
    return isFound && run.isAccepted
  }

  /// The first parameter of the name counts. Escapes are undone, `+` stays.
  func holds(inQueryOf head: HTTPRequestHead, _ bytes: Span<UInt8>) -> Bool {
    guard let query = head.query else { return false }
    var at = query.lowerBound
    while at < query.upperBound {
      var name = ValueRun(.exact(self.name))
      while at < query.upperBound, bytes[at] != 0x26, bytes[at] != 0x3d {
        name.feed(bytes.unescaped(&at, before: query.upperBound))
      }
      var value = ValueRun(self.value)
      if at < query.upperBound, bytes[at] == 0x3d {
        at += 1
        while at < query.upperBound, bytes[at] != 0x26 {
          let byte = bytes.unescaped(&at, before: query.upperBound)
          if name.isAccepted { value.feed(byte) }
        }
      }
      if name.isAccepted { return value.isAccepted }
      at += 1
    }
    return false
  }
}

/// FNV-1a. Only routes fill the tables, so nobody can choose what collides.
struct PathHash {
  private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

  init() {}

  init(_ bytes: [UInt8]) {
    for byte in bytes { self.combine(byte) }
  }

  mutating func combine(_ byte: UInt8) {
    self.value = (self.value ^ UInt64(byte)) &* 0x100_0000_01b3
  }
}
