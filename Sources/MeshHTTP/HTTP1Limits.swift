/// What one peer can make a connection hold or do. Everything is a count of bytes unless its name says otherwise.
package struct HTTP1Limits: Hashable, Sendable {
  /// Request or status line, all fields and the empty line; a trailer section has the same bound.
  package var headBytes = 32 * 1024
  package var fieldCount = 128
  package var methodBytes = 32
  package var targetBytes = 8 * 1024
  /// Empty lines before a request line (RFC 9112 section 2.2 asks for one at least).
  package var emptyLineCount = 2
  package var chunkExtensionBytes = 16 * 1024
  /// Connection options that are names of fields which this code does not know.
  package var connectionOptionCount = 16
  package var interimResponseCount = 8
  /// Of a request's body that nobody wants any more, so that the connection can be kept.
  package var drainedBytes = 64 * 1024
  /// Of bytes behind a request whose answer has not ended: then the connection is not read.
  package var readAheadBytes = 32 * 1024
  /// Names with an underscore: many applications take them for the same name with a hyphen.
  package var allowsUnderscores = false

  package static let defaults = HTTP1Limits()

  package init() {}
}
