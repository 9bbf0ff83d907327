/// Quantities for people: short, one decimal, the unit always there.
package enum Quantity {
  /// `512B`, `1.5KiB`, `3.0GiB`.
  package static func bytes(_ value: UInt64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    var unit = 0
    var whole = value
    var remainder: UInt64 = 0
    while whole >= 1024, unit + 1 < units.count {
      remainder = whole % 1024
      whole /= 1024
      unit += 1
    }
    return unit == 0 ? "\(whole)B" : "\(whole).\(remainder * 10 / 1024)\(units[unit])"
  }

  /// `17us`, `1.5ms`, `12.0s`, `3m05s`, `2h03m`, `4d02h`.
  package static func duration(microseconds value: UInt64) -> String {
    if value < 1000 { return "\(value)us" }
    if value < 1_000_000 { return "\(value / 1000).\(value % 1000 / 100)ms" }
    let seconds = value / 1_000_000
    if seconds < 60 { return "\(seconds).\(value % 1_000_000 / 100_000)s" }
    func two(_ number: UInt64) -> String { number < 10 ? "0\(number)" : "\(number)" }
    if seconds < 3600 { return "\(seconds / 60)m\(two(seconds % 60))s" }
    if seconds < 86_400 { return "\(seconds / 3600)h\(two(seconds / 60 % 60))m" }
    return "\(seconds / 86_400)d\(two(seconds / 3600 % 24))h"
  }

  /// Share in percent, rounded down, except that something is never shown as nothing: `1` for one of a million.
  package static func percent(_ part: UInt64, of whole: UInt64) -> UInt64 {
    guard whole > 0, part > 0 else { return 0 }
    let (scaled, overflow) = part.multipliedReportingOverflow(by: 100)
    return max(1, overflow ? part / max(1, whole / 100) : scaled / whole)
  }

  /// Control characters replaced by `?`: what stands in a name must not move a terminal's cursor.
  package static func printable(_ text: String) -> String {
    let unsafe = { (scalar: Unicode.Scalar) in
      scalar.value < 0x20 || (0x7f..<0xa0).contains(scalar.value) || (0x2028...0x202e).contains(scalar.value)
        || (0x2066...0x2069).contains(scalar.value)
    }
    guard text.unicodeScalars.contains(where: unsafe) else { return text }
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars { result.append(unsafe(scalar) ? "?" : scalar) }
    return String(result)
  }
}
