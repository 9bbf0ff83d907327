import Foundation
import MeshBase
import Testing

@testable import MeshTelemetry

@Suite("Access log") struct AccessLogTests {
  private func record(path: String = "/a?b=c", agent: String? = "curl/8") -> AccessRecord {
    AccessRecord(
      time: Timestamp(microseconds: 1_795_363_282_123_456),
      outcome: RequestOutcome(
        series: RequestSeries(source: 1, status: 503, flags: [.noHealthyUpstream]), microseconds: 1_500,
        requestBytes: 3,
        responseBytes: 19),
      source: ResourceName(namespace: "shop", name: "front"), service: ResourceName(namespace: "shop", name: "web"),
      sourceAddress: IPAddress("10.0.0.1"), method: "GET", path: path, authority: "web", version: "HTTP/1.1",
      userAgent: agent, route: "HTTPRoute shop/web rule 0", reason: "no endpoint is ready")
  }

  @Test("JSON, with Istio's names")
  func json() throws {
    #expect(
      AccessLogFormat.json.line(self.record()) == #"{"start_time":"2026-11-22T16:01:22.123456Z","method":"GET","#
        + #""path":"/a?b=c","protocol":"HTTP/1.1","response_code":503,"response_flags":"UH","#
        + #""response_code_details":"no endpoint is ready","bytes_received":3,"bytes_sent":19,"duration":1,"duration_us":1500,"#
        + #""authority":"web","user_agent":"curl/8","route_name":"HTTPRoute shop/web rule 0","source_workload":"shop/front","#
        + #""service":"shop/web","downstream_remote_address":"10.0.0.1"}"#)
  }

  @Test("Apache's combined format")
  func combined() {
    #expect(
      AccessLogFormat.combined.line(self.record())
        == #"10.0.0.1 - shop/front [22/Nov/2026:16:01:22 +0000] "GET /a?b=c HTTP/1.1" 503 19 "-" "curl/8""#)
  }

  @Test(
    "whatever a client sends, it is one line, and JSON gives it back",
    arguments: ["\"", "\\", "\n\r\t\u{0}", "\u{1b}[31m", "\u{9b}", "\u{2028}", "é🐦", "\u{301}"])
  func escaping(text: String) throws {
    for format in AccessLogFormat.allCases {
      let line = format.line(self.record(path: text, agent: text))
      #expect(
        line.unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7f...0x9f).contains($0.value) && $0 != "\u{2028}" })
      guard format == .json else { continue }
      let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
      #expect((object?["path"] as? String).map { Array($0.unicodeScalars) } == Array(text.unicodeScalars))
    }
  }

  @Test("what is written is decided by status, flags, duration, and else by chance")
  func filter() {
    var random = SystemRandomNumberGenerator()
    func takes(
      _ filter: AccessLogFilter, _ status: UInt16, _ flags: ResponseFlags = [], grpc: UInt8? = nil, us: UInt64 = 0
    ) -> Bool {
      filter.takes(
        RequestOutcome(
          series: RequestSeries(source: 1, status: status, grpcStatus: grpc, flags: flags), microseconds: us),
        using: &random)
    }
    #expect(takes(.all, 200) && !takes(.none, 500, .noRoute))
    let errors = AccessLogFilter(sampled: 0, errorsFrom: 500, slowMicroseconds: 1_000)
    #expect(takes(errors, 500) && takes(errors, 200, .downstreamConnectionTermination) && takes(errors, 200, grpc: 13))
    #expect(!takes(errors, 499) && !takes(errors, 200, grpc: 0, us: 999) && takes(errors, 200, us: 1_000))
    let half = AccessLogFilter(sampled: 5_000)
    let taken = (0..<2_000).count { _ in takes(half, 200) }
    #expect((800...1_200).contains(taken))
  }

  @Test("a filter is read strictly, and printed as it is read")
  func filterText() {
    #expect(AccessLogFilter("sample=100") == .all && AccessLogFilter("sample=0") == AccessLogFilter.none)
    #expect(AccessLogFilter("errors=500") == AccessLogFilter(sampled: 0, errorsFrom: 500))
    let all = AccessLogFilter(sampled: 250, errorsFrom: 400, slowMicroseconds: 1_000_000)
    #expect(AccessLogFilter("slow=1000,sample=2.5,errors=400") == all)
    #expect(all.description == "sample=2.50,errors=400,slow=1000" && AccessLogFilter(all.description) == all)
    #expect(AccessLogFilter("sample=0.07")?.sampled == 7 && AccessLogFilter("sample=0.7")?.sampled == 70)
    for text in [
      "", "sample", "sample=", "sample=-1", "sample=101", "sample=1.234", "sample=1.", "sample=.5", "sample=100.01",
      "sample=1,sample=2", "errors=99", "errors=600", "slow=0", "slow=1s", "slow=99999999999", "sample=1,", "x=1",
      "sample=+1", "sample=1.2.3", "sample=１",
    ] {
      #expect(AccessLogFilter(text) == nil, "\(text)")
    }
  }

  @Test("the log goes to stdout or to a full path")
  func target() {
    #expect(AccessLogConfiguration.Target("stdout") == .standardOutput)
    #expect(AccessLogConfiguration.Target("/var/log/a.log") == .file("/var/log/a.log"))
    for text in ["", "a.log", "/var/log/", "/a\0b", "STDOUT"] {
      #expect(AccessLogConfiguration.Target(text) == nil, "\(text)")
    }
  }
}
