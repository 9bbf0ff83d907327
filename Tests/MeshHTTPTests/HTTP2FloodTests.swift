import Testing

@testable import MeshHTTP

/// Rows of the list of hostile inputs in which the number is the attack. Ten frames come in each millisecond.
@Suite("HTTP/2: floods")
struct HTTP2FloodTests {
  /// How many times this could be given until the connection was closed, and why; nil: it never was.
  private func flood(
    rounds: Int = 10_000, _ prepare: (inout HTTP2Rig) -> Void = { _ in }, _ give: (inout HTTP2Rig, Int) -> [UInt8]
  ) -> (count: Int, why: String)? {
    var rig = HTTP2Rig(.server)
    prepare(&rig)
    for round in 0..<rounds {
      rig.now = 2000 + UInt64(round / 10)
      rig.give(give(&rig, round))
      if let last = rig.told.last, last.hasPrefix("failed") {
        #expect(rig.written().last?.hasPrefix("goaway") == true)
        return (round + 1, last)
      }
    }
    return nil
  }

  private func stream(_ round: Int) -> UInt32 { UInt32(2 * round + 1) }

  @Test("H2-01: rapid reset is closed within some hundred streams; resets behind an answer, and few of them, are not")
  func rapidReset() throws {
    let rapid = try #require(
      self.flood { rig, round in
        rig.headers(self.stream(round), HTTP2Rig.get, ends: true)
          + frame(.resetStream, [], self.stream(round), word(8))
      })
    #expect(rapid.why == "failed 11 reset_flood")
    #expect(rapid.count < 300)
    let patient = self.flood(rounds: 1000) { rig, round in
      rig.give(rig.headers(self.stream(round), HTTP2Rig.get, ends: true))
      rig.respond(self.stream(round), ends: false)
      rig.output = []
      return frame(.resetStream, [], self.stream(round), word(8))
    }
    #expect(patient == nil)
    let half = self.flood(rounds: 1000) { rig, round in
      rig.give(rig.headers(self.stream(round), HTTP2Rig.get, ends: true))
      guard round % 2 == 0 else { return frame(.resetStream, [], self.stream(round), word(8)) }
      rig.respond(self.stream(round))
      rig.output = []
      return []
    }
    #expect(half == nil)
  }

  @Test("H2-02: who makes us reset streams is closed as soon")
  func madeYouReset() throws {
    let errors: [(HTTP2Rig, UInt32) -> [UInt8]] = [
      { _, stream in frame(.windowUpdate, [], stream, word(0x7fff_ffff)) },
      { _, stream in frame(.windowUpdate, [], stream, word(0)) },
      { _, stream in frame(.priority, [], stream, [1]) },
      { _, stream in frame(.data, [], stream, [1]) },
    ]
    for error in errors {
      let closed = try #require(
        self.flood { rig, round in
          rig.headers(self.stream(round), HTTP2Rig.get, ends: true) + error(rig, self.stream(round))
        })
      #expect(closed.why == "failed 11 fault_flood")
      #expect(closed.count < 150)
    }
    let malformed = try #require(self.flood { rig, round in rig.headers(self.stream(round), [], ends: true) })
    #expect(malformed.why == "failed 11 fault_flood")
  }

  @Test("H2-04: pings")
  func pings() throws {
    let ping = try #require(self.flood { _, _ in frame(.ping, [], 0, word(0) + word(0)) })
    #expect(ping.why == "failed 11 ping_flood")
    #expect(ping.count <= 52)
    let stray = try #require(self.flood { _, _ in frame(.ping, .acknowledge, 0, word(0) + word(0)) })
    #expect(stray.why == "failed 11 ping_flood")
    let slow = self.flood(rounds: 300) { rig, round in
      rig.now = UInt64(2000 + 100 * round)
      return frame(.ping, [], 0, word(0) + word(0))
    }
    #expect(slow == nil)
  }

  @Test("H2-05: settings, their entries, their answers, and a table that is never the same")
  func settings() throws {
    let empty = try #require(self.flood { _, _ in frame(.settings) })
    #expect(empty.why == "failed 11 settings_flood")
    #expect(empty.count <= 21)
    let answers = try #require(self.flood { _, _ in frame(.settings, .acknowledge) })
    #expect(answers.count <= 21)
    let many = try #require(self.flood { _, _ in frame(.settings, [], 0, (0..<2700).flatMap { _ in setting(1, 0) }) })
    #expect(many == (1, "failed 11 settings_too_many"))
    let flips = (0..<32).flatMap { _ in setting(1, 0) + setting(1, .max) }
    let flipped = try #require(
      self.flood { rig, round in
        rig.give(rig.headers(self.stream(round), HTTP2Rig.get, ends: true))
        rig.respond(self.stream(round))
        return frame(.settings, [], 0, flips)
      })
    #expect(flipped.why == "failed 11 settings_flood")
  }

  @Test("H2-06: priorities, windows opened by one byte")
  func prioritiesAndUpdates() throws {
    let priorities = try #require(self.flood { _, _ in frame(.priority, [], 7, word(0) + [1]) })
    #expect(priorities.why == "failed 11 priority_flood")
    #expect(priorities.count < 300)
    let updates = try #require(self.flood { _, _ in frame(.windowUpdate, [], 0, word(1)) })
    #expect(updates.why == "failed 11 window_update_flood")
    #expect(updates.count < 2500)
    let slow = try #require(
      self.flood({ rig in
        rig.give(frame(.settings, [], 0, setting(4, 0)) + rig.headers(1, HTTP2Rig.get, ends: true))
        rig.respond(1, ends: false)
      }) { rig, _ in
        let grant = try? rig.connection.sendData(1000, of: 1, ends: true, to: &rig.output)
        #expect(grant?.count ?? 2 <= 1)
        rig.output = []
        return frame(.windowUpdate, [], 1, word(1))
      })
    #expect(slow.why == "failed 11 window_update_flood")
  }

  @Test("Two updates for each frame that was sent are an honest reader's")
  func honestReader() {
    let closed = self.flood(
      rounds: 4000,
      { rig in
        rig.give(rig.headers(1, HTTP2Rig.get, ends: true))
        rig.respond(1, ends: false)
      }
    ) { rig, _ in
      let grant = try? rig.connection.sendData(200, of: 1, ends: false, to: &rig.output)
      #expect(grant?.count == 200)
      rig.output = []
      return frame(.windowUpdate, [], 1, word(200)) + frame(.windowUpdate, [], 0, word(200))
        + frame(.ping, [], 0, word(0) + word(0))
    }
    #expect(closed == nil)
  }

  @Test("H2-07: empty frames")
  func emptyFrames() throws {
    for payload: [UInt8] in [[], [3, 0, 0, 0]] {
      let data = try #require(
        self.flood({ rig in rig.give(rig.headers(1, HTTP2Rig.post)) }) { _, _ in
          frame(.data, payload.isEmpty ? [] : .padded, 1, payload)
        })
      #expect(data.why == "failed 11 empty_data_flood")
      #expect(data.count < 60)
    }
    let unknown = try #require(self.flood { _, _ in frame(.init(rawValue: 0x20)) })
    #expect(unknown.why == "failed 11 unknown_frame_flood")
    let goAways = try #require(self.flood { _, _ in frame(.goAway, [], 0, word(0) + word(0)) })
    #expect(goAways.why == "failed 11 goaway_flood")
  }

  @Test("H2-20: streams above the limit")
  func refusals() throws {
    let closed = try #require(self.flood { rig, round in rig.headers(self.stream(round), HTTP2Rig.post) })
    #expect(closed.why == "failed 11 refusal_flood")
    #expect(closed.count < 1500)
  }

  @Test("Frames for streams that are long gone")
  func longGone() throws {
    let closed = try #require(
      self.flood({ rig in
        for round in 0..<200 {
          rig.give(rig.headers(self.stream(round), HTTP2Rig.post))
          rig.connection.reset(self.stream(round), .cancel, to: &rig.output)
        }
        rig.output = []
      }) { rig, _ in rig.headers(1, [("x", "1")], ends: true) })
    #expect(closed.why == "failed 11 fault_flood")
    let resets = try #require(
      self.flood({ rig in
        rig.give(rig.headers(1, HTTP2Rig.get, ends: true))
        rig.respond(1)
        rig.output = []
      }) { _, _ in frame(.resetStream, [], 1, word(8)) })
    #expect(resets.why == "failed 11 reset_flood")
  }
}
