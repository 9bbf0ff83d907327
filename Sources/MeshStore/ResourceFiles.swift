import Glibc
package import MeshBase
package import MeshCompiler

/// Resources compiled once, without being watched or served: what a user wants to know before a control plane sees them.
package enum ResourceFiles {
  /// - Parameter paths: directories, listed as a control plane does, and single files.
  /// Throws if one is not there or holds no resource file. Who owns the files, and who may write them, is a warning:
  /// they need not lie here when they are served.
  package static func compile(_ paths: [String]) throws(MeshError) -> CompileResult {
    var compiler = Compiler()
    var warnings: [Problem] = []
    for path in paths {
      var status = stat()
      guard stat(path, &status) == 0 else {
        throw MeshError(.notFound, path, "cannot be read", cause: DirectoryListing.reason(errno))
      }
      guard FileStamp(status).isDirectory else {
        Self.read(path, as: path, &compiler, &warnings)
        continue
      }
      let listing = DirectoryListing.read(path, isTrusting: true)
      if let reason = listing.unreadable[""], listing.files.isEmpty {
        throw MeshError(.denied, path, "cannot be listed", cause: reason)
      }
      guard !listing.files.isEmpty else {
        throw MeshError(
          .notFound, path, "holds no resource file", next: "give a directory that holds .yaml, .yml or .json files")
      }
      let prefix = path.hasSuffix("/") ? path : path + "/"
      for (name, found) in listing.files {
        switch found {
        case .file: Self.read(prefix + name, as: prefix + name, &compiler, &warnings)
        case .refused(let message, let next): compiler.fail(file: prefix + name, message: message, next: next)
        }
      }
      for (directory, reason) in listing.unreadable {
        compiler.fail(file: prefix + directory, message: reason, next: "correct it, or remove it")
      }
    }
    var result = compiler.compile(now: ResourceDirectory.now() / 1_000_000_000)
    result.problems = (result.problems + warnings).sorted()
    return result
  }

  private static func read(_ path: String, as name: String, _ compiler: inout Compiler, _ warnings: inout [Problem]) {
    for _ in 0..<10 {
      switch ResourceFileReader.read(path, isTrusting: true) {
      case .changing: usleep(50_000)
      case .failure(let message, let next): return compiler.fail(file: name, message: message, next: next)
      case .content(let bytes, let stamp):
        if let distrust = stamp.distrust(user: geteuid()) {
          warnings.append(
            Problem(
              .warning, file: name, position: FieldPosition(line: 1, column: 1), object: "file",
              message: "a control plane would not read it here, because \(distrust.message)", next: distrust.next))
        }
        return compiler.update(file: name, bytes: bytes)
      }
    }
    compiler.fail(file: name, message: "changes while it is read", next: "try again when it is written")
  }
}
