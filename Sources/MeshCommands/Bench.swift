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

  init(seconds: Int, streams: Int, rounds: [Round]) {
    self.seconds = seconds
    self.streams = streams
    self.rounds = rounds
    self.directMedian = Self.median(rounds.map(\.direct))
    self.meshMedian = Self.median(rounds.map(\.mesh))
    self.ratioMedian = Self.median(rounds.map(\.ratio))
  }

  static func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    guard !sorted.isEmpty else { return 0 }
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  }

  var text: String {
    func gigabits(_ value: Double) -> String { String(format: "%.2f", value / 1e9) }
    var rows = self.rounds.enumerated().map { index, round in
      ["\(index + 1)", gigabits(round.direct), gigabits(round.mesh), String(format: "%.3f", round.ratio)]
    }
    rows.append([
      "median", gigabits(self.directMedian), gigabits(self.meshMedian), String(format: "%.3f", self.ratioMedian),
    ])
    return TextTable(["ROUND", "DIRECT GBIT/S", "MESH GBIT/S", "RATIO"], rows).text
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
