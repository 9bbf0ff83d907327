import MeshRouting
import MeshTestSupport
import Testing

@Suite("The name in a ClientHello")
struct TLSHelloReaderTests {
  private func read(_ bytes: [UInt8], by size: Int = .max) -> TLSHelloReader.Outcome {
    var reader = TLSHelloReader()
    var outcome = TLSHelloReader.Outcome.needsInput
    var at = 0
    while at < bytes.count {
      let end = at + min(size, bytes.count - at)
      outcome = reader.receive(bytes.span.extracting(at..<end))
      at = end
    }
    return outcome
  }

  @Test("it is found whole, byte by byte, and spread over records of any size, and is read in lower case")
  func found() {
    let hello = ClientHello("API.Example.com")
    for size in [1, 2, 3, 4, 5, 37, 1 << 14] {
      for feed in [1, 3, Int.max] {
        #expect(self.read(hello.records(of: size), by: feed) == .name("api.example.com"), "\(size) \(feed)")
      }
    }
  }

  @Test("what has only begun needs input, at every byte")
  func begun() {
    let bytes = ClientHello("a.example").records(of: 50)
    for count in 0..<bytes.count { #expect(self.read(Array(bytes[..<count])) == .needsInput, "\(count)") }
  }

  @Test("the end of one record is the end of the ClientHello; what comes in the next record is not looked at")
  func beyond() {
    let bytes = ClientHello("a.example").records()
    #expect(self.read(bytes + [23, 3, 3, 0, 1, 0]) == .name("a.example"))
    #expect(self.read(ClientHello.records(ClientHello("a.example").message + [1])) == .refused(.malformed))
  }

  @Test("another protocol is told from TLS by its first bytes")
  func notTLS() {
    for text in ["GET / HTTP/1.1\r\n", "SSH-2.0-x\r\n", "\r\n\r\n", "PRI * HTTP/2.0\r\n\r\n"] {
      #expect(self.read(Array(text.utf8)) == .refused(.notTLS), "\(text)")
    }
    for bytes: [UInt8] in [[21], [23], [128, 46], [22, 2], [22, 3, 5], [22, 3, 1, 255, 255]] {
      #expect(self.read(bytes) == .refused(.notTLS), "\(bytes)")
    }
    // postgres asks for TLS first.
    #expect(self.read([0, 0, 0, 8, 4, 210, 22, 47]) == .refused(.notTLS))
  }

  @Test("TL-08, TL-11: no name, no ClientHello, empty records, another record in between")
  func refused() {
    #expect(self.read(ClientHello(nil).records()) == .refused(.noName))
    var none = ClientHello(nil)
    none.hasExtensions = false
    #expect(self.read(none.records()) == .refused(.noName))
    #expect(self.read(ClientHello.records([2, 0, 0, 1, 0])) == .refused(.malformed))
    #expect(self.read([22, 3, 1, 0, 0]) == .refused(.malformed))
    let bytes = ClientHello("a.example").records(of: 20)
    #expect(self.read(Array(bytes[..<25]) + [22, 3, 1, 0, 0]) == .refused(.malformed))
    #expect(self.read(Array(bytes[..<25]) + [20, 3, 3, 0, 1, 1]) == .refused(.malformed))
    #expect(self.read(Array(bytes[..<25]) + [22, 9]) == .refused(.malformed))
  }

  @Test("a name that is none of a host's: empty, an address, NUL, a dot too many, too long")
  func badNames() {
    let long = String(repeating: "a", count: 64)
    for name in [
      "", "192.0.2.1", "1", "a.example.", ".example", "a..example", "a\u{0}.example", "a b", "[::1]", "::1", "a/b",
      "*.a",
      "ä.example", "\(long).example", String(repeating: "a.", count: 126) + "ab",
    ] { #expect(self.read(ClientHello(name).records()) == .refused(.badName), "\(name)") }
    #expect(self.read(ClientHello("1.example").records()) == .name("1.example"))
    #expect(self.read(ClientHello("xn--a_b-1").records()) == .name("xn--a_b-1"))
  }

  @Test("two names, a name twice, another type of name, lengths that do not fit")
  func malformed() {
    let name = Array("a.example".utf8)
    var hello = ClientHello("a.example")
    func expectMalformed(_ change: (inout ClientHello) -> Void, _ line: Int = #line) {
      hello = ClientHello("a.example")
      change(&hello)
      #expect(self.read(hello.records()) == .refused(.malformed), "line \(line)")
    }
    expectMalformed { $0.extensions.append((0, ClientHello.serverName(name))) }
    expectMalformed { $0.extensions[1].content = ClientHello.serverName(name, type: 1) }
    expectMalformed { $0.extensions[1].content = ClientHello.vector(2, [0, 0, 1, 97, 0, 0, 1, 98]) }
    expectMalformed { $0.extensions[1].content = [] }
    expectMalformed { $0.extensions[1].content = [0, 0] }
    expectMalformed { $0.extensions[1].content += [0] }
    expectMalformed { $0.extensions[1].content = [0, 4, 0, 0, 9, 97] }
    expectMalformed { $0.version = [2, 0] }
    expectMalformed { $0.sessionID = Array(repeating: 0, count: 33) }
    expectMalformed { $0.suites = [] }
    expectMalformed { $0.suites = [1, 2, 3] }
    expectMalformed { $0.compression = [] }
    expectMalformed { $0.excess = [0] }
  }

  @Test("a client that hides its name (ECH) is led by the outer one")
  func outer() {
    var hello = ClientHello("public.example")
    hello.extensions.append((0xfe0d, [0] + Array(repeating: 0x5a, count: 300)))
    #expect(self.read(hello.records()) == .name("public.example"))
  }

  @Test("16 KiB at most, however they are cut: refused as soon as the length says so")
  func tooLarge() {
    var hello = ClientHello("a.example")
    hello.extensions.append((0x0015, Array(repeating: 0, count: 15_000)))
    #expect(self.read(hello.records()) == .name("a.example"))
    // The same in records of one byte is six times as much.
    var reader = TLSHelloReader()
    #expect(reader.receive(hello.records(of: 1).span) == .refused(.tooLarge))
    #expect(reader.count == TLSHelloReader.limit)
    hello.extensions.append((0x0015, Array(repeating: 0, count: 2_000)))
    reader = TLSHelloReader()
    #expect(reader.receive(hello.records().span) == .refused(.tooLarge))
    #expect(reader.count < 16)
  }

  @Test("bytes at random, and a good one with each byte changed, never trap")
  func random() {
    var random = SplitMix64(seed: 11)
    let good = ClientHello("a.example").records(of: 60)
    for index in good.indices {
      for value in [0, 1, 0x7f, 0xff, good[index] &+ 1] as [UInt8] {
        var bytes = good
        bytes[index] = value
        _ = self.read(bytes, by: 7)
      }
    }
    for _ in 0..<2000 {
      let head: [UInt8] = [22, 3, 1, UInt8.random(in: 0...1, using: &random), 40, 1, 0]
      let tail = (0..<Int.random(in: 0...400, using: &random)).map { _ in UInt8.random(in: 0...9, using: &random) }
      _ = self.read(head + tail)
    }
  }
}
