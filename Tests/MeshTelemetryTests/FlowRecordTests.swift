import MeshBase
import Testing

@testable import MeshTelemetry

enum Sample {
  static let time = Timestamp(microseconds: 1_795_364_082_123_456)

  static func peer(_ workload: String, _ address: String) -> FlowPeer {
    FlowPeer(
      workload: workload, namespace: String(workload.prefix { $0 != "/" }),
      identity: "spiffe://cluster.local/ns/default/sa/\(workload.drop { $0 != "/" }.dropFirst())",
      app: String(workload.drop { $0 != "/" }.dropFirst()), version: "v1", address: address)
  }

  static func closed(_ source: String = "default/client") -> FlowRecord {
    FlowRecord(
      time: time, kind: .closed, tier: .kernel, verdict: .allow, source: peer(source, "10.0.0.1:40000"),
      destination: peer("default/web", "10.0.0.2:8080"), dialled: "10.96.0.1:80", service: "default/web",
      policy: "default/allow", policyVersion: "00000000000000ab", sentBytes: 1536, receivedBytes: 10,
      durationMicroseconds: 1500, rttMicroseconds: 90, retransmits: 2, pid: 77, hook: .sockops)
  }

  static func refused(_ reason: RefusalReason = .policyDenied) -> FlowRecord {
    FlowRecord(
      time: time, kind: .refused, tier: .kernel, verdict: .deny, reason: reason,
      source: peer("default/intruder", "10.0.0.9:0"), destination: peer("default/web", "10.0.0.2:8080"),
      dialled: "10.0.0.2:8080", policy: "default/deny", hook: .connect)
  }
}

@Suite struct FlowRecordTests {
  @Test("a closed connection is one line with what was dialled, who decided and how much flowed")
  func closedLine() {
    #expect(
      Sample.closed().line
        == "16:14:42.123 closed kernel default/client 10.0.0.1:40000 -> default/web 10.0.0.2:8080 "
        + "dialled default/web 10.96.0.1:80 allow by default/allow@00000000000000ab sent 1.5KiB received 10B in 1.5ms "
        + "rtt 90us retransmits 2 pid 77")
  }

  @Test("a refused connection names the reason and the policy, and no bytes")
  func refusedLine() {
    #expect(
      Sample.refused().line
        == "16:14:42.123 refused kernel default/intruder 10.0.0.9:0 -> default/web 10.0.0.2:8080 deny policy_denied "
        + "by default/deny")
  }

  @Test("a name with control characters cannot move the cursor")
  func terminalEscape() {
    var record = Sample.refused()
    record.source.workload = "a\u{1b}[2J\r\n\u{202e}b"
    #expect(record.line.contains("a?[2J???b"))
    #expect(record.cells.allSatisfy { !$0.unicodeScalars.contains("\u{1b}") })
  }

  @Test("there is a cell for each column")
  func cells() {
    #expect(Sample.closed().cells.count == FlowRecord.columns.count)
    #expect(Sample.refused().cells.suffix(3) == ["-", "-", "-"])
  }

  @Test("a record survives JSON, in a line of its own")
  func roundTrip() throws {
    let bytes = try ReportCoding.encode(FlowLine.record(Sample.closed()))
    #expect(!bytes.contains(0x0a))
    #expect(try ReportCoding.decode(FlowLine.self, from: bytes) == .record(Sample.closed()))
    let missed = try ReportCoding.encode(FlowLine.missed(7))
    #expect(String(decoding: missed, as: UTF8.self) == #"{"missed":7}"#)
    #expect(try ReportCoding.decode(FlowLine.self, from: missed) == .missed(7))
  }

  @Test("a word of a later version becomes unknown instead of an error")
  func laterWords() throws {
    let text = String(decoding: try ReportCoding.encode(Sample.refused()), as: UTF8.self)
    let later = text.split(separator: "policy_denied").joined(separator: "phase_of_the_moon")
    let record = try ReportCoding.decode(FlowRecord.self, from: Array(later.utf8))
    #expect(record.reason == .unknown)
    #expect(record.reason.nextStep != nil)
  }

  @Test("words and numbers of the kernel correspond")
  func numbers() {
    for reason in RefusalReason.allCases where reason != .unknown {
      #expect(reason.number.map { RefusalReason(number: $0) } == reason)
      #expect(!reason.explanation.isEmpty)
    }
    #expect(RefusalReason(number: 14) == .notReady)
    #expect(RefusalReason(number: 15) == .serviceLoop)
    #expect(RefusalReason(number: 16) == .notEnrolled)
    #expect(RefusalReason(number: 17) == .quarantined)
    #expect(RefusalReason(number: 18) == .unknown)
    #expect(RefusalReason(number: 255) == .unknown)
    #expect(FlowTier(number: 2) == .relay)
    #expect(FlowTier(number: 3) == .relay)
    #expect(FlowTier(number: 4) == .outside)
    #expect(FlowTier(number: 5) == .unknown)
    #expect(FlowKind(number: 0) == .unknown)
    #expect(FlowKind(number: 2) == .closed)
    #expect(FlowVerdict(number: 2) == .deny)
    #expect(FlowHook(number: 3) == .edge)
  }
}

@Suite struct TimestampTests {
  @Test(
    "a time prints as RFC 3339 and parses back",
    arguments: [
      (0, "1970-01-01T00:00:00.000000Z"), (-1, "1969-12-31T23:59:59.999999Z"),
      (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
      (1_795_364_082_123_456, "2026-11-22T16:14:42.123456Z"),
      (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
    ] as [(Int64, String)])
  func known(microseconds: Int64, text: String) {
    #expect(Timestamp(microseconds: microseconds).description == text)
    #expect(Timestamp(text)?.microseconds == microseconds)
  }

  @Test("every time within the years 0 to 9999 comes back; others are held at the ends")
  func property() {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<2000 {
      let time = Timestamp(
        microseconds: Int64.random(in: -62_167_219_200_000_000...253_402_300_799_999_999, using: &generator))
      #expect(Timestamp(time.description) == time)
    }
    #expect(Timestamp(Timestamp(microseconds: .max).description) != nil)
    #expect(Timestamp(Timestamp(microseconds: .min).description) != nil)
  }

  @Test(
    "what is no time is refused",
    arguments: [
      "", "Z", "2026-11-22", "2026-11-22T16:14:42", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z",
      "2026-11-22T24:00:00Z", "2026-11-22T16:14:42.Z", "2026-11-22T16:14:42.1234567Z", "2026-11-22 16:14:42.00Z",
      "2026-11-22T16:14:42.12a456Z", "２026-11-22T16:14:42Z",
    ])
  func refused(text: String) {
    #expect(Timestamp(text) == nil)
  }
}

@Suite struct QuantityTests {
  @Test(
    "bytes are short and have a unit",
    arguments: [(0, "0B"), (1023, "1023B"), (1024, "1.0KiB"), (1536, "1.5KiB"), (UInt64.max, "15.9EiB")]
      as [(UInt64, String)])
  func bytes(value: UInt64, text: String) { #expect(Quantity.bytes(value) == text) }

  @Test(
    "durations are short and have a unit",
    arguments: [
      (0, "0us"), (999, "999us"), (1000, "1.0ms"), (12_040_000, "12.0s"), (185_000_000, "3m05s"),
      (7_380_000_000, "2h03m"), (353_000_000_000, "4d02h"), (UInt64.max, "213503982d08h"),
    ] as [(UInt64, String)])
  func durations(value: UInt64, text: String) { #expect(Quantity.duration(microseconds: value) == text) }

  @Test("a share never shows something as nothing and does not overflow")
  func percent() {
    #expect(Quantity.percent(0, of: 10) == 0)
    #expect(Quantity.percent(1, of: 1_000_000) == 1)
    #expect(Quantity.percent(5, of: 10) == 50)
    #expect(Quantity.percent(.max, of: .max) == 100)
    #expect(Quantity.percent(1, of: 0) == 0)
  }
}
