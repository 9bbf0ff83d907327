import MeshBase

/// The hash of keys and of endpoints on rings: FNV-1a of 64 bits over the bytes, its bits mixed at the end (MurmurHash3's `fmix64`),
/// because the high bits of FNV-1a alone hardly depend on the last bytes. Who can choose keys can choose their endpoint, as with any
/// hash that nodes agree on: it spreads, it does not protect.
struct KeyHash {
  private var state: UInt64 = 0xcbf2_9ce4_8422_2325

  mutating func combine(_ byte: UInt8) { self.state = (self.state ^ UInt64(byte)) &* 0x100_0000_01b3 }

  mutating func combine(_ bytes: Span<UInt8>) {
    for at in bytes.indices { self.combine(bytes[at]) }
  }

  mutating func combine(_ bytes: String.UTF8View) {
    for byte in bytes { self.combine(byte) }
  }

  mutating func combine(_ word: UInt64) {
    for shift in stride(from: 56, through: 0, by: -8) { self.combine(UInt8(truncatingIfNeeded: word >> UInt64(shift))) }
  }

  var value: UInt64 { Self.mix(self.state) }

  static func mix(_ word: UInt64) -> UInt64 {
    var z = word
    z = (z ^ (z >> 33)) &* 0xff51_afd7_ed55_8ccd
    z = (z ^ (z >> 33)) &* 0xc4ce_b9fe_1a85_ec53
    return z ^ (z >> 33)
  }
}

extension KeyHash {
  /// The same on every node: the workload, which may come back with another address, else the address.
  static func of(_ endpoint: EndpointIdentity) -> UInt64 {
    var hash = KeyHash()
    if let workload = endpoint.workload {
      hash.combine(workload.namespace.utf8)
      hash.combine(UInt8(ascii: "/"))
      hash.combine(workload.name.utf8)
    } else {
      hash.combine(endpoint.target.address)
    }
    hash.combine(UInt64(endpoint.target.port))
    return hash.value
  }

  mutating func combine(_ address: IPAddress) {
    self.combine(address.high)
    self.combine(address.low)
  }
}

/// Numbers that follow from a key: what is drawn for the same key is the same.
struct KeyedNumbers: RandomNumberGenerator {
  private var state: UInt64

  init(_ key: UInt64) { self.state = key }

  mutating func next() -> UInt64 {
    self.state &+= 0x9e37_79b9_7f4a_7c15
    return KeyHash.mix(self.state)
  }
}
