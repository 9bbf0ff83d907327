import Glibc
package import MeshBase
package import MeshCompiler

/// The last good state of every resource file on disk, so that a restart with a broken file keeps what a running control
/// plane would keep: a sealed record a file, named by a hash of its path, and an index that shows when one is lost.
package struct LastGoodDirectory: Sendable {
  package struct Loaded: Sendable {
    package var records: [LastGoodRecord] = []
    package var owners: [ResourceKey: String] = [:]
    /// Everything that was known before is known again.
    package var isWhole = false
    /// What could not be used, and why.
    package var problems: [MeshError] = []
    fileprivate var saved: [String: ContentVersion] = [:]
    fileprivate var index: LastGoodIndex?
  }

  /// A file of 1 MiB in base64, and as much of what is kept of earlier contents several times.
  private static let recordLimit = 64 << 20
  private static let indexLimit = 16 << 20
  private static let indexName = "index"
  private static let suffix = ".good"

  package let path: String

  package init(path: String) { self.path = path }

  /// What is there. Damage is part of the result; it throws if the directory cannot be read at all.
  package func load() throws(MeshError) -> Loaded {
    var loaded = Loaded()
    guard let names = try self.names() else { return loaded }
    var files: Set<String> = []
    for name in names where name.hasSuffix(Self.suffix) {
      do throws(MeshError) {
        guard let bytes = try StateFile(path: "\(self.path)/\(name)").read(limit: Self.recordLimit) else { continue }
        let record = try LastGoodRecord(bytes)
        guard Self.name(record.file) == name else {
          throw MeshError(.conflict, record.file, "its record has another file's name", next: "remove it")
        }
        files.insert(record.file)
        loaded.saved[record.file] = ContentVersion(of: bytes)
        loaded.records.append(record)
      } catch {
        loaded.problems.append(Self.placed(error, "\(self.path)/\(name)"))
      }
    }
    do throws(MeshError) {
      if let bytes = try StateFile(path: "\(self.path)/\(Self.indexName)").read(limit: Self.indexLimit) {
        let index = try LastGoodIndex(bytes)
        loaded.index = index
        loaded.owners = index.owners
        let lost = index.files.subtracting(files).sorted()
        loaded.isWhole = lost.isEmpty
        for file in lost {
          loaded.problems.append(
            MeshError(
              .notFound, file, "its last good version is lost",
              next: "nothing is published until every file of the directory can be read"))
        }
      }
    } catch {
      loaded.problems.append(Self.placed(error, "\(self.path)/\(Self.indexName)"))
    }
    return loaded
  }

  private static func placed(_ error: MeshError, _ path: String) -> MeshError {
    MeshError(error.code, path, error.message, cause: error.cause, next: error.next)
  }

  /// Nil if there is no directory.
  private func names() throws(MeshError) -> [String]? {
    switch DirectoryListing.names(self.path) {
    case .success(let names): return names
    case .failure(let failure):
      if failure.code == ENOENT || failure.code == ENOTDIR { return nil }
      throw MeshError(
        .unavailable, self.path, "cannot be listed", cause: failure.reason,
        next: "check the state directory's owner and permissions")
    }
  }

  /// Paths of any length and bytes become names; two of one name are as likely as equal 128-bit hashes.
  static func name(_ file: String) -> String {
    let first = ContentVersion(of: file.utf8)
    return "\(first)\(ContentVersion(of: Array(file.utf8).reversed() + Array(first.description.utf8)))\(Self.suffix)"
  }

  func file(_ file: String) -> StateFile { StateFile(path: "\(self.path)/\(Self.name(file))") }

  /// Writes records, and afterwards the index, so that a name in the index always has its record.
  func save(_ records: [String: [UInt8]], index: LastGoodIndex?) throws(MeshError) {
    guard mkdir(self.path, 0o700) == 0 || errno == EEXIST else {
      throw StateFile.failure(self.path, "cannot be made")
    }
    for (name, bytes) in records { try self.file(name).replace(bytes) }
    StateFile.flush(directory: self.path)
    if let index { try StateFile(path: "\(self.path)/\(Self.indexName)").write(try index.encoded()) }
  }
}

/// Keeps a `LastGoodDirectory` as the compiler has it, writing what changed.
struct LastGoodKeeper: Sendable {
  private let directory: LastGoodDirectory
  /// Versions of the records on disk.
  private var saved: [String: ContentVersion]
  private var index: LastGoodIndex?
  /// Files whose record may differ from what is on disk.
  private var pending: Set<String> = []

  init(_ directory: LastGoodDirectory, _ loaded: LastGoodDirectory.Loaded) {
    self.directory = directory
    self.saved = loaded.saved
    self.index = loaded.index
  }

  mutating func didChange(_ file: String) { self.pending.insert(file) }

  /// Brings the disk up to date. What could not be written is tried again with the next call.
  /// - Parameter device: of the directory of a file.
  mutating func save(_ compiler: Compiler, device: (String) -> UInt64) throws(MeshError) {
    var bytes: [String: [UInt8]] = [:]
    var gone: Set<String> = []
    for file in self.pending {
      guard var record = compiler.record(of: file) else {
        if self.saved[file] != nil { gone.insert(file) }
        continue
      }
      record.device = device(file)
      let encoded = try record.encoded()
      if self.saved[file] != ContentVersion(of: encoded) { bytes[file] = encoded }
    }
    let index = LastGoodIndex(
      files: Set(self.saved.keys).union(bytes.keys).subtracting(gone), owners: compiler.contested)
    if !bytes.isEmpty || index != self.index {
      try self.directory.save(bytes, index: index == self.index ? nil : index)
    }
    self.index = index
    for (file, bytes) in bytes { self.saved[file] = ContentVersion(of: bytes) }
    for file in gone {
      self.directory.file(file).remove()
      self.saved[file] = nil
    }
    self.pending = []
  }
}
