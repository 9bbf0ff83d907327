import Foundation
import MeshBase

/// Rounds of iperf3, two ways beside each other, and what they say.
struct BenchResult: Codable, Sendable, Hashable {
  struct Round: Codable, Sendable, Hashable {
    /// Bits a second, as the receiver counted them.
    var direct: Double
    var mesh: Double
    var ratio: Double { self.direct > 0 ? self.mesh / self.direct : 0 }
  }

  var seconds: Int
  var streams: Int
  var rounds: [Round]
  var directMedian: Double
  var meshMedian: Double
  /// Median of the ratios of each round: noise that hits both halves of a round cancels.
  var ratioMedian: Double
  /// The lower end of the 95 % interval of that median: with few rounds it is the worst of them.
  var ratioLower95: Double

  init(seconds: Int, streams: Int, rounds: [Round]) {
    self.seconds = seconds
    self.streams = streams
    self.rounds = rounds
    self.directMedian = Self.median(rounds.map(\.direct))
    self.meshMedian = Self.median(rounds.map(\.mesh))
    self.ratioMedian = Self.median(rounds.map(\.ratio))
    self.ratioLower95 = Self.lowerBound(rounds.map(\.ratio))
  }

  /// By bootstrap, as scripts/bench does: 2,000 resamples, from a fixed seed so that equal rounds give an equal bound.
  static func lowerBound(_ values: [Double]) -> Double {
    guard !values.isEmpty else { return 0 }
    var state: UInt64 = 0x9e37_79b9_7f4a_7c15
    // xorshift64*: the high bits are the good ones.
    func next() -> Int {
      state ^= state >> 12
      state ^= state << 25
      state ^= state >> 27
      return Int((state &* 0x2545_f491_4f6c_dd1d) >> 33) % values.count
    }
    let medians = (0..<2000).map { _ in Self.median(values.map { _ in values[next()] }) }.sorted()
    return medians[medians.count / 40]
  }

  static func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    guard !sorted.isEmpty else { return 0 }
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  }

  static func gigabits(_ bits: Double) -> String { String(format: "%.2f", bits / 1e9) }

  var text: String {
    var rows = self.rounds.enumerated().map { index, round in
      ["\(index + 1)", Self.gigabits(round.direct), Self.gigabits(round.mesh), String(format: "%.3f", round.ratio)]
    }
    rows.append([
      "median", Self.gigabits(self.directMedian), Self.gigabits(self.meshMedian),
      String(format: "%.3f", self.ratioMedian),
    ])
    return TextTable(["ROUND", "DIRECT GBIT/S", "MESH GBIT/S", "RATIO"], rows).text
      + "ratio of mesh to direct: median \(String(format: "%.3f", self.ratioMedian)), "
      + "at least \(String(format: "%.3f", self.ratioLower95)) with 95 % confidence"
      + (self.rounds.count < 6 ? " (few rounds: take 15)" : "") + "\n"
  }

  /// Bits a second from the JSON of `iperf3 -J`: what the receiver got.
  static func bitsPerSecond(_ json: String) throws(MeshError) -> Double {
    struct Report: Decodable {
      struct End: Decodable {
        struct Sum: Decodable {
          var bitsPerSecond: Double?
          enum CodingKeys: String, CodingKey { case bitsPerSecond = "bits_per_second" }
        }
        var received: Sum?
        enum CodingKeys: String, CodingKey { case received = "sum_received" }
      }
      var end: End?
      var error: String?
    }
    guard let report = try? JSONDecoder().decode(Report.self, from: Data(json.utf8)) else {
      throw MeshError(.unavailable, "iperf3", "gave no JSON")
    }
    if let error = report.error { throw MeshError(.unavailable, "iperf3", error) }
    guard let bits = report.end?.received?.bitsPerSecond else {
      throw MeshError(.unavailable, "iperf3", "gave no result")
    }
    return bits
  }
}
