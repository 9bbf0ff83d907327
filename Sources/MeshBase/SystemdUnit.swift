/// Names of systemd units.
package enum SystemdUnit {
  private static let suffixes = [".service", ".scope", ".slice"]

  /// A unit that has processes, `web.service`, `app@blue.service`: at most 255 of the characters that systemd.unit(5)
  /// allows, a type that has a cgroup, no template without an instance.
  package static func isName(_ text: String) -> Bool {
    guard text.utf8.count <= 255, let suffix = self.suffixes.first(where: { text.hasSuffix($0) }) else { return false }
    let stem = text.dropLast(suffix.count)
    guard let first = stem.utf8.first, first != UInt8(ascii: "."), first != UInt8(ascii: "@"),
      stem.utf8.last != UInt8(ascii: "@")
    else { return false }
    return stem.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: ":"), UInt8(ascii: "-"), UInt8(ascii: "_"),
        UInt8(ascii: "."), UInt8(ascii: "\\"), UInt8(ascii: "@"):
        true
      default: false
      }
    }
  }

  /// Where its cgroup is if nothing else was configured, below the cgroup2 root: `/system.slice/web.service`, and for an
  /// instance `/system.slice/system-app.slice/app@blue.service` (systemd.resource-control(5), systemd.slice(5)).
  package static func usualCgroup(_ name: String) -> String {
    guard let at = name.firstIndex(of: "@") else { return "/system.slice/\(name)" }
    // "-" in a slice's name is a level, so that of a template is escaped.
    let prefix = name[..<at].split(separator: "-", omittingEmptySubsequences: false).joined(separator: "\\x2d")
    return "/system.slice/system-\(prefix).slice/\(name)"
  }
}
