import MeshProxy
import Testing

@Suite struct StaticRelayTests {
  @Test("a static relay is between two loopback addresses with ports, or none")
  func parse() {
    #expect(StaticRelay("127.0.0.1:7001=127.0.0.1:7000")?.description == "127.0.0.1:7001=127.0.0.1:7000")
    for text in [
      "", "=", "127.0.0.1:7001", "10.0.0.1:7001=127.0.0.1:7000", "127.0.0.1:7001=10.0.0.1:7000",
      "127.0.0.1:7001=127.0.0.1:0", "127.0.0.1:1=127.0.0.1:2=127.0.0.1:3", "127.0.0.1:70001=127.0.0.1:7000",
    ] {
      #expect(StaticRelay(text) == nil, "\(text)")
    }
  }
}
