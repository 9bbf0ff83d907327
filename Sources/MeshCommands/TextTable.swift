import MeshTelemetry

/// Aligned columns for a terminal or a pipe: headings, two spaces between columns, numbers to the right, no trailing
/// spaces, nothing cut and nothing wrapped.
package struct TextTable: Sendable, Hashable {
  package var columns: [String]
  package var rows: [[String]]

  package init(_ columns: [String], _ rows: [[String]]) {
    self.columns = columns
    self.rows = rows
  }

  package var text: String {
    let rows = self.rows.map { row in
      (0..<self.columns.count).map { index in
        let cell = index < row.count ? Quantity.printable(row[index]) : ""
        return cell.isEmpty ? "-" : cell
      }
    }
    var widths = self.columns.map(\.count)
    for row in rows {
      for (index, cell) in row.enumerated() { widths[index] = max(widths[index], cell.count) }
    }
    let numeric = self.columns.indices.map { index in
      let cells = rows.lazy.map { $0[index] }.filter { $0 != "-" }
      return !cells.isEmpty && cells.allSatisfy(Self.isQuantity)
    }
    return ([self.columns] + rows).map { row in
      var line = ""
      for (index, cell) in row.enumerated() {
        let padding = String(repeating: " ", count: max(0, widths[index] - cell.count))
        line += (numeric[index] ? padding + cell : cell + padding) + (index + 1 < row.count ? "  " : "")
      }
      while line.last == " " { line.removeLast() }
      return line + "\n"
    }.joined()
  }

  /// Digits, at most one dot, and a short unit: `12`, `1.5KiB`, `80%`. Addresses and versions are text.
  private static func isQuantity(_ text: String) -> Bool {
    guard let first = text.first, first.isASCII, first.isNumber else { return false }
    let tail = text.drop { $0.isASCII && $0.isNumber || $0 == "." }
    return text.count { $0 == "." } <= 1 && tail.count <= 4 && tail.allSatisfy { $0.isLetter || $0 == "%" }
  }
}
