import Testing

@testable import MeshHTTP

@Suite("HTTP/2: limits of the peer, and the end of a connection")
struct HTTP2ShutdownTests {
  @Test(
    "A server announces its end, serves what was under way, says how far it came, and refuses what comes then"
  )
  func drain() {
    let (told, written) = ways { rig in
      rig.give(rig.headers(1, HTTP2Rig.post))
      rig.connection.drain(now: rig.now, to: &rig.output)
      rig.connection.drain(now: rig.now, to: &rig.output)
      rig.give(rig.headers(3, HTTP2Rig.get, ends: true))
      rig.give(frame(.ping, .acknowledge, 0, word(0) + word(1)))
      rig.give(rig.headers(5, HTTP2Rig.get, ends: true))
      #expect(!rig.connection.isDone)
      rig.respond(3)
      rig.give(frame(.data, .endStream, 1))
      rig.respond(1)
      #expect(rig.connection.isDone)
    }
    #expect(
      told == ["head 1 POST a /", "head 3 GET a / ends", "refused 5 7 draining", "data 1  ends"])
    #expect(
      written == [
        "goaway(2147483647,0)", "ping(1)", "goaway(3,0)", "rst(5,7)", "headers(3,200)ends",
        "headers(1,200)ends",
      ])
  }

  @Test("A peer that does not answer the ping is given a second")
  func drainWithoutAnswer() {
    var rig = HTTP2Rig(.server)
    rig.connection.drain(now: 1000, to: &rig.output)
    #expect(rig.connection.deadline == 2000)
    #expect(rig.connection.expire(now: 2000, to: &rig.output) == .needsInput)
    #expect(rig.written() == ["goaway(2147483647,0)", "ping(1)", "goaway(0,0)"])
    #expect(rig.connection.isDone)
    #expect(rig.connection.deadline == nil)
  }

  @Test(
    "A client opens as many streams as its peer takes, and what a peer did not process may go elsewhere"
  )
  func openWithinLimits() {
    let (told, written) = ways(.client) { rig in
      rig.give(frame(.settings, [], 0, setting(3, 2) + setting(4, 10)))
      #expect([rig.open(HTTP2Rig.post, ends: false), rig.open(), rig.open()] == [1, 3, 0])
      #expect(!rig.connection.canOpen)
      let grant = try? rig.connection.sendData(50, of: 1, ends: true, to: &rig.output)
      #expect(grant == .init(count: 10, ends: false))
      rig.output += [UInt8](repeating: 0, count: 10)
      rig.give(frame(.resetStream, [], 3, word(7)))
      #expect(rig.open() == 5)
      rig.give(frame(.goAway, [], 0, word(3) + word(0)))
      rig.give(frame(.settings, [], 0, setting(4, 60)))
      let last = try? rig.connection.sendData(40, of: 1, ends: true, to: &rig.output)
      #expect(last == .init(count: 40, ends: true))
      rig.output += [UInt8](repeating: 0, count: 40)
      rig.give(rig.headers(1, HTTP2Rig.ok, ends: true))
      #expect(rig.connection.isDone)
    }
    #expect(
      told == [
        "settings", "reset 3 7 unprocessed", "goaway 0", "reset 5 7 unprocessed", "settings",
        "head 1 200 ends",
      ])
    #expect(
      written == [
        "settings-ack", "headers(1,POST)", "headers(3,GET)ends", "data(1,10)", "headers(5,GET)ends",
        "settings-ack",
        "data(1,40)ends",
      ])
  }

  @Test("The end of the bytes: between frames it is an end, inside of one it is a cut")
  func ends() {
    let whole = ways { $0.give($0.headers(1, HTTP2Rig.post), ended: true) }
    #expect(whole.told == ["head 1 POST a /", "closed"])
    let frame = ways { $0.give(Array($0.headers(1, HTTP2Rig.post).dropLast()), ended: true) }
    #expect(frame.told == ["failed 1 truncated"])
  }

  @Test("What cannot be sent is not sent, and the next is")
  func refusals() throws {
    var rig = HTTP2Rig(.client)
    #expect(throws: HTTP2SendRefusal.unencodable) {
      var block = fieldBlock(HTTP2Rig.get)
      block.append(name: "x".utf8, value: [0xff, 0xfe])
      _ = try rig.connection.open(block, ends: true, to: &rig.output)
    }
    rig.give(frame(.settings, [], 0, setting(6, 200)))
    #expect(throws: HTTP2SendRefusal.tooLarge) {
      _ = try rig.connection.open(
        fieldBlock(HTTP2Rig.get + [("x", String(repeating: "a", count: 200))]), ends: true,
        to: &rig.output)
    }
    #expect(rig.open() == 1)
    #expect(throws: HTTP2SendRefusal.order) {
      try rig.connection.send(fieldBlock([("x", "1")]), on: 1, ends: true, to: &rig.output)
    }
    #expect(throws: HTTP2SendRefusal.noStream) {
      _ = try rig.connection.sendData(1, of: 3, ends: true, to: &rig.output)
    }
    #expect(rig.written() == ["settings-ack", "headers(1,GET)ends"])
  }

  @Test("A head that is longer than a frame goes out in several, and back in")
  func longHead() {
    var client = HTTP2Rig(.client)
    let fields = HTTP2Rig.get + (0..<7).map { ("x\($0)", String(repeating: "a", count: 4000)) }
    #expect(client.open(fields) == 1)
    var server = HTTP2Rig(.server)
    server.give(client.output)
    #expect(server.told.first?.hasPrefix("head 1 GET a / x0=aaa") == true)
    #expect(client.output.count > 16_384 + 18)
  }
}
