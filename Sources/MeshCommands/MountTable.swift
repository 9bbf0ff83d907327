import Foundation
import Glibc
import MeshLinux

/// The text of /proc/self/mounts: which file system holds a path.
struct MountTable: Sendable, Hashable {
  struct Mount: Sendable, Hashable {
    var point: String
    var type: String
  }

  var mounts: [Mount] = []

  /// Octal escapes (fs/proc_namespace.c, mangle) are undone; lines that are no mount are left out.
  init(_ text: String) {
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ", omittingEmptySubsequences: false)
      guard words.count >= 3, words[1].hasPrefix("/") else { continue }
      var point = String(words[1])
      for (escape, character) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        point = point.replacingOccurrences(of: escape, with: character)
      }
      self.mounts.append(Mount(point: point, type: String(words[2])))
    }
  }

  private static let limit = 16 << 20

  /// Read to its end: the kernel gives some 4 KiB at once, and Foundation takes the first of them for the whole.
  static var current: MountTable {
    MountTable(
      (try? DiskFile.read("/proc/self/mounts", limit: self.limit)).map { String(decoding: $0, as: UTF8.self) } ?? "")
  }

  func mountPoint(ofType type: String) -> String? { self.mounts.first { $0.type == type }?.point }

  /// The mount that holds the path: the longest mount point above it, the latest of equal ones. Nil if there is no such
  /// path.
  func mount(of path: String) -> Mount? {
    guard let resolved = realpath(path, nil) else { return nil }
    defer { free(resolved) }
    return self.mount(ofResolved: String(cString: resolved))
  }

  /// The same for a path without links and dots.
  func mount(ofResolved path: String) -> Mount? {
    var best: Mount?
    for mount in self.mounts {
      let inside = mount.point == "/" || path == mount.point || path.hasPrefix(mount.point + "/")
      if inside, mount.point.utf8.count >= best?.point.utf8.count ?? 0 { best = mount }
    }
    return best
  }

  /// The path lies inside a mount of the type and is not its root.
  func isBelow(_ path: String, type: String) -> Bool {
    guard let resolved = realpath(path, nil) else { return false }
    defer { free(resolved) }
    let text = String(cString: resolved)
    guard let mount = self.mount(ofResolved: text) else { return false }
    return mount.type == type && mount.point != text
  }
}
