package import MeshBase
package import MeshTelemetry
package import MeshWire

/// `GET /v1/flows`: records as JSON lines, oldest first.
///
/// `last=N` begins with the last N that match (100 unless told otherwise, none with `follow`), `follow=true` goes on with
/// what happens; `source`, `destination`, `kind`, `verdict`, `reason`, `service` filter. A reader that is too slow gets a
/// line `{"missed": N}` where records are missing; the writer of the ring never waits for it.
package struct FlowStream: Sendable, Hashable {
  package var filter: FlowFilter
  package var follow: Bool
  package var last: Int

  /// Records in one write: what one reader can make the agent hold, together with the socket's buffer.
  private static let batch = 256

  package init(_ target: RequestTarget) throws(MeshError) {
    let query = target.query
    self.filter = try FlowFilter(
      source: query["source"], destination: query["destination"], kind: query["kind"], verdict: query["verdict"],
      reason: query["reason"], service: query["service"])
    self.follow = try target.flag("follow")
    self.last = try target.number("last", in: 0...1_000_000) ?? (self.follow ? 0 : 100)
  }

  func run(_ feed: FlowFeed, _ writer: ReportWriter) async throws {
    let end = feed.newest
    var cursor = feed.cursor(last: self.last, matching: self.filter)
    try await writer.begin(type: "application/x-ndjson")
    while !Task.isCancelled {
      let batch = feed.records(after: cursor, limit: Self.batch)
      cursor = batch.cursor
      var bytes: [UInt8] = []
      if batch.missed > 0 { bytes += try ReportCoding.encode(FlowLine.missed(batch.missed)) + [0x0a] }
      for record in batch.records where self.filter.matches(record) {
        if !self.follow, record.number > end { break }
        bytes += try ReportCoding.encode(record) + [0x0a]
      }
      try await writer.part(bytes)
      if self.follow {
        await feed.wait(after: cursor)
      } else if cursor >= end || batch.records.isEmpty {
        break
      }
    }
    try await writer.end()
  }
}
