/// Paths as command lines give them: a process that changes its directory, or starts another one elsewhere, needs full ones.
package enum AbsolutePath {
  /// `path` as seen from `directory`, which is a full path. Nothing else is changed: links and `..` stay.
  package static func of(_ path: String, in directory: String) -> String {
    if path.hasPrefix("/") { return path }
    var rest = Substring(path)
    while rest.hasPrefix("./") { rest = rest.dropFirst(2).drop { $0 == "/" } }
    let base = directory.hasSuffix("/") ? directory : directory + "/"
    return rest.isEmpty || rest == "." ? directory : base + rest
  }
}
