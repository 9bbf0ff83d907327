import Glibc

/// Where commands print. A test puts one of its own in its place.
package struct Console: Sendable {
  package var out: @Sendable (String) -> Void
  package var error: @Sendable (String) -> Void

  package init(out: @escaping @Sendable (String) -> Void, error: @escaping @Sendable (String) -> Void) {
    self.out = out
    self.error = error
  }

  @TaskLocal package static var current = Console(
    out: { Console.write($0, to: STDOUT_FILENO) }, error: { Console.write($0, to: STDERR_FILENO) })

  /// Prints lines to standard output.
  package static func print(_ text: String) { self.current.out(text.hasSuffix("\n") ? text : text + "\n") }

  /// Prints lines to standard error.
  package static func complain(_ text: String) { self.current.error(text.hasSuffix("\n") ? text : text + "\n") }

  /// A reader that went away (`martlet observe | head`) ends the command: nobody is left to tell.
  private static func write(_ text: String, to descriptor: CInt) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count > 0 {
        rest = rest.dropFirst(count)
      } else if errno != EINTR {
        exit(CommandLineRun.Status.no.rawValue)
      }
    }
  }
}
