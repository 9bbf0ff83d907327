import MeshBase
import MeshLink
import NIOCore
import Testing

/// Bytes that every build has to understand, and to write, for as long as there are proxies that another build started. They
/// are written down here, so that a change of the codec cannot change them unnoticed.
@Suite("The core of the link's protocol") struct LinkCoreTests {
  let codec = LinkCodec(entries: CanonicalEntryCoder())

  private func frame(_ bytes: [UInt8]) throws -> LinkFraming.Frame {
    var framing = LinkFraming()
    framing.append(ByteBuffer(bytes: bytes))
    return try #require(try framing.next())
  }

  private let stockWanted: [UInt8] =
    [0, 0, 0, 27, 68] + [0, 0, 0, 9, 1, 0, 0, 0, 32, 0]
    + [0, 0, 0, 0, 0, 0, 0, 0] + [0, 0, 0xff, 0xff, 10, 89, 0, 2]

  @Test("what a proxy says of it is understood, and said")
  func up() throws {
    let hello: [UInt8] = [0, 0, 0, 13, 65] + [0, 0, 0, 42] + [0, 3, 0x31, 0x2e, 0x32] + [0, 7, 1]
    let request = StockRequest(workload: 9, isV4: true, count: 32, destination: IPAddress("10.89.0.2"))
    let messages: [([UInt8], ProxyMessage)] = [
      (hello, .hello(process: 42, version: "1.2", isDraining: true, spoken: 7)),
      (self.stockWanted, .stockWanted(request)), ([0, 0, 0, 1, 72], .draining),
    ]
    for (bytes, message) in messages {
      let read = try self.codec.coreMessage(try self.frame(bytes))
      #expect(read == message)
      var written = ByteBuffer()
      self.codec.write(message, to: &written)
      #expect(Array(written.readableBytesView) == bytes)
    }
  }

  @Test("a hello of another protocol may say more, to either reader")
  func longerHello() throws {
    let bytes: [UInt8] = [0, 0, 0, 15, 65] + [0, 0, 0, 42] + [0, 3, 0x31, 0x2e, 0x32] + [0, 9, 0] + [5, 5]
    let hello = ProxyMessage.hello(process: 42, version: "1.2", isDraining: false, spoken: 9)
    let frame = try self.frame(bytes)
    let (core, whole) = (try self.codec.coreMessage(frame), try self.codec.proxyMessage(frame))
    #expect(core == hello && whole == hello)
    // In our own protocol it is an error.
    let ours = LinkCodec(entries: CanonicalEntryCoder(), spoken: 9)
    #expect(throws: MeshError.self) { try ours.proxyMessage(frame) }
  }

  @Test("of the counters the open connections are read, whatever follows; what is not of the core is skipped")
  func skipped() throws {
    let stats = try self.codec.coreMessage(try self.frame([0, 0, 0, 11, 70, 0, 0, 0, 0, 0, 0, 0, 3, 1, 2]))
    #expect(stats == .stats(ProxyStats(active: 3)))
    for kind in UInt8.min...UInt8.max where ![65, 68, 70, 72].contains(kind) {
      let read = try self.codec.coreMessage(LinkFraming.Frame(kind: kind, body: ByteBuffer(bytes: [1, 2, 3])))
      #expect(read == nil)
    }
  }

  @Test("a request for sockets that is cut is an error")
  func cut() throws {
    let frame = try self.frame(self.stockWanted)
    for length in 0..<frame.body.readableBytes {
      let short = try #require(frame.body.getSlice(at: frame.body.readerIndex, length: length))
      #expect(throws: MeshError.self) { try self.codec.coreMessage(.init(kind: 68, body: short)) }
    }
  }

  @Test("what a proxy is told of it, and how its sockets come")
  func down() throws {
    let messages: [([UInt8], AgentMessage)] = [
      ([0, 0, 0, 5, 5, 0, 0, 0, 9], .withdraw(workload: 9)),
      ([0, 0, 0, 9, 7, 0, 0, 0, 0, 0, 0, 4, 0], .drain(milliseconds: 1024)),
    ]
    for (bytes, message) in messages {
      let read = try self.codec.agentMessage(try self.frame(bytes))
      #expect(read == message)
      var written = ByteBuffer()
      try self.codec.write(message, to: &written)
      #expect(Array(written.readableBytesView) == bytes)
    }
    let header: [UInt8] =
      [0x6d, 0x66, 0x64, 0x73, 2, 2, 4, 1] + [0, 0, 0, 9] + [0, 0, 0, 3] + [0, 0, 0, 0, 0, 0, 0, 77]
      + [0, 0, 0, 0, 0, 0, 0, 0] + [0, 0, 0xff, 0xff, 10, 89, 0, 2]
    let stock = DescriptorHeader(
      kind: .stock, isV4: true, leg: 1, workload: 9, count: 3, namespaceCookie: 77,
      destination: IPAddress("10.89.0.2"))
    #expect(stock.bytes == header)
    let read = try DescriptorHeader(bytes: header, descriptors: 3)
    #expect(read == stock)
    var names = header
    names[5] = 5
    #expect(try DescriptorHeader(bytes: names, descriptors: 3).kind == .nameStock)
  }
}
