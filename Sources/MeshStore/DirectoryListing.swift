import Glibc
import MeshBase

/// Names one state of a file: if nothing of it changed, the content did not either.
struct FileStamp: Hashable, Sendable {
  var device: UInt64
  var inode: UInt64
  var size: Int64
  /// Nanoseconds since 1970.
  var modified: Int64
  var changed: Int64
  var mode: UInt32
  var owner: UInt32

  init(
    device: UInt64 = 1, inode: UInt64 = 1, size: Int64 = 0, modified: Int64 = 0, changed: Int64 = 0,
    mode: UInt32 = 0o100644, owner: UInt32 = 0
  ) {
    self.device = device
    self.inode = inode
    self.size = size
    self.modified = modified
    self.changed = changed
    self.mode = mode
    self.owner = owner
  }

  init(_ status: stat) {
    func nanoseconds(_ time: timespec) -> Int64 {
      Int64(time.tv_sec).multipliedReportingOverflow(by: 1_000_000_000).partialValue &+ Int64(time.tv_nsec)
    }
    self.init(
      device: UInt64(status.st_dev), inode: UInt64(status.st_ino), size: Int64(status.st_size),
      modified: nanoseconds(status.st_mtim), changed: nanoseconds(status.st_ctim), mode: status.st_mode,
      owner: status.st_uid)
  }

  /// Nil if the descriptor says nothing.
  init?(descriptor: CInt) {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { return nil }
    self.init(status)
  }

  var isRegular: Bool { self.mode & S_IFMT == S_IFREG }
  var isDirectory: Bool { self.mode & S_IFMT == S_IFDIR }

  /// Why the file may not be trusted (CF-05). Nil: it may.
  func distrust(user: UInt32) -> (message: String, next: String)? {
    if self.mode & S_IWOTH != 0, !self.isDirectory || self.mode & S_ISVTX == 0 {
      return ("everybody may write it (mode \(String(self.mode & 0o7777, radix: 8)))", "chmod o-w")
    }
    if self.owner != 0, self.owner != user {
      return ("it belongs to user \(self.owner)", "chown it to root or to the user of the control plane")
    }
    return nil
  }
}

/// What a resource directory holds at one moment: its `*.yaml`, `*.yml` and `*.json` files and those of its
/// subdirectories, one level deep. Hidden names are left out; links are followed while they stay inside.
struct DirectoryListing: Sendable {
  static let maximumFiles = 4_096

  enum Found: Hashable, Sendable {
    case file(FileStamp)
    /// It is there, but may not or cannot be used.
    case refused(message: String, next: String)
  }

  var files: [String: Found] = [:]
  /// Directories that could be listed ("" is the root), with their devices: a mount that went shows here.
  var devices: [String: UInt64] = [:]
  /// Directories that could not be listed, with the reason.
  var unreadable: [String: String] = [:]
  /// Where the directory is, without links. Empty if it cannot be found.
  var root = ""
  private var isTrusting = false

  func stamp(_ path: String) -> FileStamp? {
    guard case .file(let stamp) = self.files[path] else { return nil }
    return stamp
  }

  /// The directory of a listed path: "" or the subdirectory.
  static func directory(of path: String) -> String {
    path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
  }
}

extension DirectoryListing {
  /// Lists the directory. A failure is part of the result.
  /// - Parameter isTrusting: list also what others may write, or own.
  static func read(_ root: String, isTrusting: Bool = false) -> DirectoryListing {
    var listing = DirectoryListing()
    listing.isTrusting = isTrusting
    guard let real = Self.realPath(root) else {
      listing.unreadable[""] = Self.reason(errno)
      return listing
    }
    listing.root = real
    listing.list("", at: real, inside: real)
    return listing
  }

  private mutating func list(_ prefix: String, at path: String, inside root: String) {
    var status = stat()
    guard stat(path, &status) == 0 else {
      self.unreadable[prefix] = Self.reason(errno)
      return
    }
    let stamp = FileStamp(status)
    guard stamp.isDirectory else {
      self.unreadable[prefix] = "it is no directory"
      return
    }
    if !self.isTrusting, let distrust = stamp.distrust(user: geteuid()) {
      self.unreadable[prefix] = "\(distrust.message); \(distrust.next)"
      return
    }
    let names: [String]
    switch Self.names(path) {
    case .failure(let failure):
      self.unreadable[prefix] = failure.reason
      return
    case .success(let list): names = list
    }
    self.devices[prefix] = stamp.device
    for name in names where !name.hasPrefix(".") {
      let relative = prefix.isEmpty ? name : prefix + "/" + name
      let isResource = [".yaml", ".yml", ".json"].contains { name.hasSuffix($0) }
      if isResource {
        guard self.files.count < Self.maximumFiles else {
          self.unreadable[prefix] = "more than \(Self.maximumFiles) files"
          return
        }
        self.files[relative] = self.examine(path + "/" + name, inside: root)
      } else if prefix.isEmpty {
        var status = stat()
        if stat(path + "/" + name, &status) == 0, FileStamp(status).isDirectory {
          guard let real = Self.realPath(path + "/" + name), Self.isInside(real, root) else {
            self.unreadable[relative] = "it leads out of the directory"
            continue
          }
          self.list(relative, at: real, inside: root)
        }
      }
    }
  }

  private func examine(_ path: String, inside root: String) -> Found {
    guard let real = Self.realPath(path) else {
      return .refused(message: "cannot be read: \(Self.reason(errno))", next: "correct the link or the permissions")
    }
    guard Self.isInside(real, root) else {
      return .refused(message: "a link that leads out of the directory", next: "link inside of the directory only")
    }
    var status = stat()
    guard stat(real, &status) == 0 else {
      return .refused(message: "cannot be read: \(Self.reason(errno))", next: "correct the link or the permissions")
    }
    let stamp = FileStamp(status)
    guard stamp.isRegular else {
      return .refused(message: "no regular file", next: "remove it, or give it another ending")
    }
    if !self.isTrusting, let distrust = stamp.distrust(user: geteuid()) {
      return .refused(message: "not read, because \(distrust.message)", next: distrust.next)
    }
    return .file(stamp)
  }

  static func isInside(_ path: String, _ root: String) -> Bool {
    path == root || path.hasPrefix(root == "/" ? "/" : root + "/")
  }

  private static func realPath(_ path: String) -> String? {
    guard let resolved = realpath(path, nil) else { return nil }
    defer { free(resolved) }
    return String(cString: resolved)
  }

  struct Failure: Error {
    var code: Int32
    var reason: String { DirectoryListing.reason(self.code) }
  }

  /// Sorted. An error in the middle of the list fails the whole: a missing name would look like a removed file.
  static func names(_ path: String) -> Result<[String], Failure> {
    guard let directory = opendir(path) else { return .failure(Failure(code: errno)) }
    defer { closedir(directory) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(directory) else {
        return errno == 0 ? .success(names.sorted()) : .failure(Failure(code: errno))
      }
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      names.append(name)
    }
  }

  static func reason(_ code: Int32) -> String { String(cString: strerror(code)) }
}
