import MeshTelemetry

/// The block of mesh names in hosts(5). Pure: text in, text out. Bytes that are not the block's stay as they are, whatever
/// they are.
struct HostsFile {
  static let begin = "# BEGIN martlet: kept by 'martlet hosts', changes are lost"
  static let end = "# END martlet"
  /// What a line begins with that opens a block, of another version's words too.
  private static let beginMark = Array("# BEGIN martlet".utf8)
  private static let endMark = Array(Self.end.utf8)

  /// One address and its names, the whole one first: it is what programs see as the name of the address.
  static func lines(of services: [ServiceReport]) -> [String] {
    var lines: [String] = []
    for service in services.sorted(by: { $0.name < $1.name }) {
      let parts = service.name.split(separator: "/")
      guard parts.count == 2 else { continue }
      let short = "\(parts[1]).\(parts[0])"
      var addresses = service.addresses
      if addresses.isEmpty { addresses = service.endpoints.filter(\.ready).flatMap(\.addresses) }
      var seen: Set<String> = []
      for address in addresses where seen.insert(address).inserted {
        lines.append("\(address) \(short).svc.cluster.local \(short).svc \(short)")
      }
    }
    return lines
  }

  /// Nil: the marks do not fit each other, and what is between them cannot be told from what is not.
  ///
  /// - lines: of the block; nil: no block.
  static func replacing(_ lines: [String]?, in bytes: [UInt8]) -> [UInt8]? {
    var before: [UInt8] = []
    var after: [UInt8] = []
    var isInside = false
    var wasInside = false
    for line in self.split(bytes) {
      if line.starts(with: self.beginMark) {
        if isInside { return nil }
        isInside = true
        wasInside = true
      } else if line.starts(with: self.endMark) {
        if !isInside { return nil }
        isInside = false
      } else if !isInside {
        if wasInside { after += line } else { before += line }
      }
    }
    guard !isInside else { return nil }
    guard let lines else { return before + after }
    // A last line that does not end would swallow the first one of the block.
    if let last = before.last, last != UInt8(ascii: "\n") { before.append(UInt8(ascii: "\n")) }
    return before + Array(([self.begin] + lines + [self.end]).map { $0 + "\n" }.joined().utf8) + after
  }

  /// Lines with their ends.
  private static func split(_ bytes: [UInt8]) -> [ArraySlice<UInt8>] {
    var lines: [ArraySlice<UInt8>] = []
    var start = bytes.startIndex
    while start < bytes.endIndex {
      let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? bytes.endIndex
      lines.append(bytes[start..<end])
      start = end
    }
    return lines
  }
}
