extension PolicyTable {
  /// The four-step look-up that the kernel does, on the rows as they stand. For tests and explanations: it is linear.
  package func verdict(sourceClass: UInt32, port: UInt16) -> PolicyVerdict? {
    var found: [PolicyVerdict?] = [nil, nil, nil, nil]
    for row in self.rows {
      switch (row.sourceClass, row.port) {
      case (sourceClass, port) where port != 0: found[0] = row.verdict
      case (sourceClass, 0): found[1] = row.verdict
      case (nil, port) where port != 0: found[2] = row.verdict
      case (nil, 0): found[3] = row.verdict
      default: break
      }
    }
    return found.lazy.compactMap(\.self).first
  }
}
