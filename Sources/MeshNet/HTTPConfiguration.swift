package import MeshHTTP
package import MeshRouting

/// How the proxy speaks HTTP. Times are milliseconds.
package struct HTTPConfiguration: Sendable, Hashable {
  package var limits = HTTP1Limits.defaults
  package var http2 = HTTP2Limits.defaults
  /// From the first byte of a head to its last one.
  package var headTimeout: UInt64 = 10_000
  /// A client that sends nothing of a body, or takes nothing of an answer.
  package var stallTimeout: UInt64 = 60_000
  /// Nothing at all happens, between requests or while an answer is waited for. 0: for ever.
  package var idleTimeout: UInt64 = 3_600_000
  /// Of an upstream connection without a request.
  package var upstreamIdleTimeout: UInt64 = 60_000
  /// What a client may still send that closes, until its answer is taken for read.
  package var lingerTimeout: UInt64 = 2000
  package var forwarding = HTTPForwarding.defaults

  package static let defaults = HTTPConfiguration()

  package init() {}
}
