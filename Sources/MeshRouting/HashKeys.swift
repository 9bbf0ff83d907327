package import MeshBase
import MeshHTTP
import MeshSnapshot

/// What of a request chooses its endpoint where the balancer hashes: all parts that are there, in their order.
package struct HashKeys: Sendable {
  private enum Part: Sendable {
    case header([UInt8])
    case cookie([UInt8])
    case query([UInt8])
    case source
  }

  private let parts: [Part]

  init(_ keys: [HashKey]) {
    self.parts = keys.map { key in
      switch key {
      case .header(let name): .header(Array(name.utf8))
      case .cookie(let name): .cookie(Array(name.utf8))
      case .query(let name): .query(Array(name.utf8))
      case .source: .source
      }
    }
  }

  /// Of a request; the key for `BalancerContext`. Nil: none of them is there. Of several fields, cookies or parameters of a name the
  /// first counts. A parameter's value is taken as it stands, escapes and all.
  package func hash(of request: HTTPRequestHead, _ bytes: Span<UInt8>, source: IPAddress?) -> UInt64? {
    self.hash(source: source) { part, hash in
      switch part {
      case .header(let name):
        guard let value = request.fields.first(where: { bytes.extracting($0.name).equalsFoldingCase(name) })?.value
        else { return false }
        hash.combine(bytes.extracting(value))
      case .cookie(let name):
        guard let value = request.cookie(name, bytes) else { return false }
        hash.combine(bytes.extracting(value))
      case .query(let name):
        guard let query = request.query, let value = Self.parameter(name, in: query, bytes) else { return false }
        hash.combine(bytes.extracting(value))
      case .source: return false
      }
      return true
    }
  }

  /// Of a connection of which only its client is known.
  package func hash(source: IPAddress?) -> UInt64? { self.hash(source: source) { _, _ in false } }

  private func hash(source: IPAddress?, _ combine: (Part, inout KeyHash) -> Bool) -> UInt64? {
    var hash = KeyHash()
    var isThere = false
    for (number, part) in self.parts.enumerated() {
      // `a` and nothing is not nothing and `a`.
      hash.combine(UInt8(truncatingIfNeeded: number))
      if case .source = part {
        guard let source else { continue }
        hash.combine(source)
        isThere = true
      } else if combine(part, &hash) {
        isThere = true
      }
    }
    return isThere ? hash.value : nil
  }

  /// `name=value` between `&`; a name alone has the empty value.
  private static func parameter(_ name: [UInt8], in query: Range<Int>, _ bytes: Span<UInt8>) -> Range<Int>? {
    var at = query.lowerBound
    while at < query.upperBound {
      var end = at
      while end < query.upperBound, bytes[end] != 0x26 { end += 1 }
      let last = at + name.count
      if last <= end, bytes.extracting(at..<last).equals(name) {
        if last == end { return end..<end }
        if bytes[last] == 0x3d { return last + 1..<end }
      }
      at = end + 1
    }
    return nil
  }
}
