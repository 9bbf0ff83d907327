package import MeshBase

/// The file `cgroups` of a run directory: a line `agent PATH` and a line `proxy PATH`. Written by an agent when it starts,
/// read when it is gone and its cgroups have to be removed.
package struct InstanceCgroups: Hashable, Sendable {
  package static let fileName = "cgroups"

  package var agent: String?
  package var proxy: String?

  package init(agent: String?, proxy: String?) {
    self.agent = agent
    self.proxy = proxy
  }

  /// Beside and renamed: a reader sees the old file or the new one.
  package func write(to runDirectory: String) throws(MeshError) {
    var text = ""
    if let agent = self.agent { text += "agent \(agent)\n" }
    if let proxy = self.proxy { text += "proxy \(proxy)\n" }
    let path = runDirectory + "/" + Self.fileName
    try DiskFile.write(Array(text.utf8), to: path + ".new", mode: 0o600)
    try DiskFile.rename(path + ".new", to: path)
  }

  /// Nil if there is no such file. One of another owner, or that others may write, is an error: whoever wrote it would
  /// choose what is killed.
  package static func read(from runDirectory: String) throws(MeshError) -> InstanceCgroups? {
    let path = runDirectory + "/" + Self.fileName
    guard let status = try DiskFile.status(path, followLinks: false) else { return nil }
    guard status.owner == 0 || status.owner == DiskFile.effectiveUser, status.mode & 0o022 == 0 else {
      throw MeshError(
        .denied, path, "belongs to another user or can be written by others",
        next: "name the cgroups with --agent-cgroup and --proxy-cgroup")
    }
    return Self(text: String(decoding: try DiskFile.read(path, limit: 16_384), as: UTF8.self))
  }

  /// Lines of other kinds are a later version's.
  init(text: String) {
    self.init(agent: nil, proxy: nil)
    for line in text.split(separator: "\n") {
      guard let space = line.firstIndex(of: " ") else { continue }
      let path = String(line[line.index(after: space)...])
      guard path.hasPrefix("/") else { continue }
      switch line[..<space] {
      case "agent": self.agent = path
      case "proxy": self.proxy = path
      default: break
      }
    }
  }
}
