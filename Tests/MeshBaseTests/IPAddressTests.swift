import MeshBase
import Testing

@Suite("Addresses")
struct IPAddressTests {
  @Test(
    "are parsed, and printed in their one form (RFC 5952)",
    arguments: [
      ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"), ("10.0.0.1", "10.0.0.1"),
      ("::", "::"), ("::1", "::1"), ("1::", "1::"), ("fe80::1", "fe80::1"),
      // RFC 5952 section 4.1: no leading zeros.
      ("2001:0db8::0001", "2001:db8::1"),
      // 4.2.1: shorten as far as it goes.
      ("2001:db8:0:0:0:0:2:1", "2001:db8::2:1"),
      // 4.2.2: one word of zeros is not shortened.
      ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"), ("2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
      // 4.2.3: the longest run, the first of equal ones.
      ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"), ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
      // 4.3: lower case.
      ("2001:DB8::ABCD", "2001:db8::abcd"),
      ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
      ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"), ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
      ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
      // v4-mapped is IPv4 here.
      ("::ffff:10.0.0.1", "10.0.0.1"), ("::FFFF:a00:1", "10.0.0.1"),
    ])
  func text(input: String, canonical: String) throws {
    let address = try #require(IPAddress(input))
    #expect(address.description == canonical)
    #expect(IPAddress(canonical) == address)
  }

  @Test(
    "hostile text is refused",
    arguments: [
      "", " ", "1", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3", "01.2.3.4", "1.2.3.04", "1.2.3.256", "1.2.3.4 ",
      " 1.2.3.4", "+1.2.3.4", "-1.2.3.4", "1.2.3.0x4", "1.2.3.4\n", "1.2.3.4\u{0}", "1.2.3.4/8", "1.2.3.4:80",
      "１.2.3.4", "1.2.3.٤", "99999999999.1.1.1", ":", ":::", "1:", ":1", "1::2::3", "1:2:3:4:5:6:7",
      "1:2:3:4:5:6:7:8:9",
      "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "12345::", "g::", "::1%eth0", "[::1]", "::1/64", "::1 ", "fe80:",
      "::-1",
      "::+1", "::ffff:1.2.3", "::ffff:1.2.3.4.5", "::1.2.3.4:5", "1.2.3.4::", "::ffff:01.2.3.4",
      "1:2:3:4:5:6:7:1.2.3.4",
      "0000000000000000000000000000000000000000000001::",
    ])
  func hostile(input: String) {
    #expect(IPAddress(input) == nil)
  }

  @Test("every address is parsed from its own text")
  func roundTrip() {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
      // Words of zeros often, so that the shortening is exercised.
      func half() -> UInt64 {
        (0..<4).reduce(0) { value, _ in
          value << 16 | (Bool.random(using: &random) ? 0 : UInt64.random(in: 0...0xffff, using: &random))
        }
      }
      let address = IPAddress(high: half(), low: half())
      #expect(IPAddress(address.description) == address)
    }
    for _ in 0..<1000 {
      let address = IPAddress(v4: UInt32.random(in: 0...UInt32.max, using: &random))
      #expect(IPAddress(address.description) == address)
      #expect(address.isV4)
    }
  }

  @Test("random text never traps")
  func noise() {
    let alphabet = Array("0123456789abcdefF:./%[] ٣é\u{0}")
    var random = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
      let text = String(
        (0..<Int.random(in: 0...50, using: &random)).map { _ in alphabet.randomElement(using: &random) ?? "0" })
      for parsed in [IPAddress(text)?.description, IPPrefix(text)?.description, SocketEndpoint(text)?.description] {
        if let parsed { #expect(!parsed.isEmpty) }
      }
    }
  }

  @Test("classes: unspecified, loopback, link-local, multicast")
  func classes() throws {
    func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }
    for text in ["0.0.0.0", "::"] { #expect(try address(text).isUnspecified) }
    for text in ["127.0.0.1", "127.255.0.9", "::1"] { #expect(try address(text).isLoopback) }
    for text in ["128.0.0.1", "::2", "126.255.255.255"] { #expect(try !address(text).isLoopback) }
    for text in ["169.254.1.1", "fe80::1", "febf::1"] { #expect(try address(text).isLinkLocal) }
    for text in ["169.255.0.1", "fec0::1", "fe7f::1"] { #expect(try !address(text).isLinkLocal) }
    for text in ["224.0.0.1", "239.255.255.255", "ff02::1"] { #expect(try address(text).isMulticast) }
    for text in ["223.255.255.255", "240.0.0.1", "fe00::1"] { #expect(try !address(text).isMulticast) }
  }

  @Test("order is by number, IPv4 as mapped")
  func order() throws {
    let texts = ["::1", "1.2.3.4", "1.2.3.5", "255.0.0.0", "1::", "fd00::1"]
    let addresses = try texts.map { try #require(IPAddress($0)) }
    #expect(addresses.shuffled().sorted() == addresses)
  }

  @Test("endpoints: brackets for IPv6, a strict port")
  func endpoints() {
    #expect(SocketEndpoint("1.2.3.4:80")?.description == "1.2.3.4:80")
    #expect(SocketEndpoint("[::1]:65535")?.description == "[::1]:65535")
    for text in [
      "1.2.3.4", "1.2.3.4:", ":80", "1.2.3.4:65536", "1.2.3.4:080", "1.2.3.4:+80", "1.2.3.4:-1", "::1:80", "[::1]80",
      "[::1]", "[1.2.3.4]:80", "[::1:80", "::1]:80", "[[::1]]:80", "1.2.3.4: 80", "",
    ] {
      #expect(SocketEndpoint(text) == nil, "\(text)")
    }
  }
}

@Suite("Prefixes")
struct IPPrefixTests {
  @Test(
    "are parsed, and printed without the bits past their length",
    arguments: [
      ("10.0.0.0/8", "10.0.0.0/8"), ("10.1.2.3/8", "10.0.0.0/8"), ("0.0.0.0/0", "0.0.0.0/0"),
      ("1.2.3.4", "1.2.3.4/32"), ("1.2.3.4/32", "1.2.3.4/32"), ("255.255.255.255/1", "128.0.0.0/1"),
      ("::/0", "::/0"), ("fd00::1/8", "fd00::/8"), ("2001:db8::ffff/64", "2001:db8::/64"),
      ("2001:db8::1:ffff/65", "2001:db8::/65"), ("::1", "::1/128"), ("ffff::/1", "8000::/1"),
    ])
  func text(input: String, canonical: String) throws {
    let prefix = try #require(IPPrefix(input))
    #expect(prefix.description == canonical)
    #expect(IPPrefix(canonical) == prefix)
  }

  @Test(
    "hostile text is refused",
    arguments: [
      "", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/08", "10.0.0.0/8/8", "::/129",
      "10.0.0.0/8 ", "10.0.0.0 /8", "10/8", "10.0.0.0/255.0.0.0", "::/99999999999999999999",
    ])
  func hostile(input: String) {
    #expect(IPPrefix(input) == nil)
  }

  @Test("contains what agrees in its first bits, and keeps the families apart")
  func contains() throws {
    let all = try #require(IPPrefix("0.0.0.0/0"))
    let all6 = try #require(IPPrefix("::/0"))
    let v4 = try #require(IPAddress("1.2.3.4"))
    let v6 = try #require(IPAddress("2001:db8::1"))
    #expect(all.contains(v4))
    #expect(!all.contains(v6))
    #expect(all6.contains(v6))
    #expect(!all6.contains(v4))
    let eight = try #require(IPPrefix("10.0.0.0/8"))
    #expect(eight.contains(try #require(IPPrefix("10.1.0.0/16"))))
    #expect(!eight.contains(all))
    #expect(eight.contains(eight))
    #expect(eight.mappedLength == 104)
  }

  @Test("contains agrees with counting equal bits, for any prefix and address")
  func containsProperty() {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
      let isV4 = Bool.random(using: &random)
      func address() -> IPAddress {
        isV4
          ? IPAddress(v4: UInt32.random(in: 0...UInt32.max, using: &random))
          : IPAddress(high: 1 << 63 | UInt64.random(in: 0...UInt64.max, using: &random), low: random.next())
      }
      let (base, length) = (address(), Int.random(in: 0...(isV4 ? 32 : 128), using: &random))
      guard let prefix = IPPrefix(base, length: length) else {
        Issue.record("\(base)/\(length) is no prefix")
        return
      }
      var other = address()
      if Bool.random(using: &random) {
        // Share some bits.
        let shift = UInt64.random(in: 0...63, using: &random)
        other = IPAddress(high: base.high, low: base.low ^ (isV4 ? (1 << (shift % 32)) : (1 << shift)))
      }
      let different = base.high ^ other.high
      let equal =
        different != 0 ? different.leadingZeroBitCount : 64 + (base.low ^ other.low).leadingZeroBitCount
      #expect(prefix.contains(other) == (equal >= prefix.mappedLength))
      #expect(prefix.contains(base))
    }
  }

  @Test("a length outside of the family's is no prefix")
  func lengths() {
    #expect(IPPrefix(IPAddress(v4: 0), length: 33) == nil)
    #expect(IPPrefix(IPAddress(v4: 0), length: -1) == nil)
    #expect(IPPrefix(.loopbackV6, length: 129) == nil)
    #expect(IPPrefix(.loopbackV6, length: Int.min) == nil)
  }
}
