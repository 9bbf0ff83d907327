import MeshBase
import MeshTelemetry
import NIOCore

/// A `RequestCount` in a frame: the series, names as texts (empty: none), three histograms. `overflow` is a series of its own kind,
/// so that its odd numbers are not taken for a status.
extension ByteBuffer {
  mutating func writeRequestCount(_ count: RequestCount) {
    let series = count.series
    self.writeInteger(UInt8(series == .overflow ? 1 : 0))
    self.writeInteger(series.source)
    self.writeText(count.service?.description ?? "")
    self.writeText(count.destination?.description ?? "")
    self.writeInteger(series.kind.rawValue)
    self.writeInteger(series.status)
    self.writeInteger(UInt8(series.grpcStatus == nil ? 0 : 1))
    self.writeInteger(series.grpcStatus ?? 0)
    self.writeInteger(series.flags.rawValue)
    for histogram in [count.duration, count.requestBytes, count.responseBytes] {
      self.writeInteger(histogram.sum)
      for number in histogram.counts { self.writeInteger(number) }
    }
  }
}

extension LinkReader {
  mutating func requestCount() throws(MeshError) -> RequestCount {
    let isOverflow = try self.flag()
    let source: UInt32 = try self.integer()
    let (service, destination) = (try self.resourceName(), try self.resourceName())
    guard let kind = RequestSeries.Kind(rawValue: try self.integer()) else { throw self.malformed("kind of a request") }
    let status: UInt16 = try self.integer()
    let hasGRPCStatus = try self.flag()
    let grpcStatus: UInt8 = try self.integer()
    let series = RequestSeries(
      source: source, kind: kind, status: status, grpcStatus: hasGRPCStatus ? grpcStatus : nil,
      flags: ResponseFlags(rawValue: try self.integer()))
    return RequestCount(
      series: isOverflow ? .overflow : series, service: service, destination: destination,
      duration: try self.histogram(), requestBytes: try self.histogram(), responseBytes: try self.histogram())
  }

  private mutating func resourceName() throws(MeshError) -> ResourceName? {
    let text = try self.text()
    guard !text.isEmpty else { return nil }
    guard let name = ResourceName(text) else { throw self.malformed("name of a request's end") }
    return name
  }

  private mutating func histogram() throws(MeshError) -> RequestHistogram {
    var histogram = RequestHistogram()
    histogram.sum = try self.integer()
    for index in histogram.counts.indices { histogram.counts[index] = try self.integer() }
    return histogram
  }
}
