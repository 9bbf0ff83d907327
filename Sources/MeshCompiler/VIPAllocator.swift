package import MeshBase

/// Addresses of services that have none of their own: found by a hash of the service's name, the next free one on a
/// collision, kept as long as the service exists, and given to nobody else for a day after it is gone (clients may have
/// cached the name). A value: export it, keep it in the state directory, import it after a restart.
package struct VIPAllocator: Sendable, Hashable {
  /// Seconds that an address stays unused after its service is gone.
  package static let quarantineSeconds: Int64 = 86_400
  /// Addresses that are looked at before a range counts as full.
  static let maximumProbes = 65_536

  struct Held: Sendable, Hashable {
    var owner: ResourceName
    /// When the service was gone, in seconds since 1970. Nil: it exists.
    var releasedAt: Int64?
  }

  private(set) var held: [IPAddress: Held] = [:]
  private var byOwner: [ResourceName: [IPAddress]] = [:]

  package init() {}

  package func addresses(of service: ResourceName) -> [IPAddress] {
    (self.byOwner[service] ?? []).filter { self.held[$0]?.releasedAt == nil }.sorted()
  }

  /// The service's address in the range: the one that it has or had, else a free one that is not `reserved`.
  /// Nil: the range is full.
  package mutating func allocate(
    for service: ResourceName, in range: IPPrefix, reserved: (IPAddress) -> Bool
  ) -> IPAddress? {
    if let own = (self.byOwner[service] ?? []).first(where: { range.contains($0) && !reserved($0) }) {
      self.held[own] = Held(owner: service, releasedAt: nil)
      return own
    }
    let bits = range.isV4 ? 32 - range.length : 128 - range.length
    let mask: UInt64 = bits >= 63 ? UInt64.max >> 1 : (1 << UInt64(max(bits, 0))) - 1
    let start = Self.hash(service)
    for probe in 0..<UInt64(Self.maximumProbes) where probe <= mask {
      let host = (start &+ probe) & mask
      // Neither the network's own address nor, for IPv4, its broadcast address.
      guard host != 0, !(range.isV4 && host == mask) else { continue }
      let address = IPAddress(high: range.address.high, low: range.address.low | host)
      guard self.held[address] == nil, !reserved(address) else { continue }
      self.held[address] = Held(owner: service, releasedAt: nil)
      self.byOwner[service, default: []].append(address)
      return address
    }
    return nil
  }

  /// Ends a round: what no service of `live` used is in quarantine from now on, and what was there for a day is free.
  package mutating func endRound(live: [ResourceName: [IPAddress]], now: Int64) {
    for (address, entry) in self.held {
      if live[entry.owner]?.contains(address) == true {
        self.held[address]?.releasedAt = nil
      } else if let releasedAt = entry.releasedAt {
        // A clock that went back must not prolong the quarantine for ever.
        let age = releasedAt > now ? 0 : now - releasedAt
        if age >= Self.quarantineSeconds {
          self.held[address] = nil
          self.byOwner[entry.owner]?.removeAll { $0 == address }
          if self.byOwner[entry.owner]?.isEmpty == true { self.byOwner[entry.owner] = nil }
        } else if releasedAt > now {
          self.held[address]?.releasedAt = now
        }
      } else {
        self.held[address]?.releasedAt = now
      }
    }
  }

  /// FNV-1a, mixed once more, because its low bits differ little between names that end alike.
  private static func hash(_ name: ResourceName) -> UInt64 {
    var value = ContentVersion(of: name.description.utf8).value
    value ^= value >> 33
    value = value &* 0xff51_afd7_ed55_8ccd
    return value ^ value >> 33
  }
}

extension VIPAllocator {
  private static let header = "martlet-vips 1"

  /// One line an address, `ADDRESS NAMESPACE/NAME` and the second of its release or `-`; the last line says how many.
  package func exported() -> String {
    var lines = [Self.header]
    for (address, entry) in self.held.sorted(by: { $0.key < $1.key }) {
      lines.append("\(address) \(entry.owner) \(entry.releasedAt.map { "\($0)" } ?? "-")")
    }
    lines.append("end \(self.held.count)")
    return lines.joined(separator: "\n") + "\n"
  }

  /// What `exported` wrote, whole.
  package init(importing text: String) throws(MeshError) {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: true)
    func invalid(_ line: Int, _ message: String) -> MeshError {
      MeshError(
        .invalid, "VIP state", "line \(line + 1): \(message)",
        next: "restore the file, or remove it to have addresses chosen anew")
    }
    guard let first = lines.first, first == Self.header else { throw invalid(0, "no header \(Self.header)") }
    guard lines.count >= 2, let last = lines.last, last == "end \(lines.count - 2)" else {
      throw invalid(lines.count - 1, "the end is missing")
    }
    for (index, line) in lines.enumerated().dropFirst().dropLast() {
      let parts = line.split(separator: " ", omittingEmptySubsequences: false)
      guard parts.count == 3, let address = IPAddress(parts[0]), let owner = ResourceName(parts[1]),
        parts[2] == "-" || Int64(strictDecimal: parts[2]) != nil
      else { throw invalid(index, "not ADDRESS NAMESPACE/NAME SECONDS") }
      guard self.held[address] == nil else { throw invalid(index, "\(address) stands twice") }
      self.held[address] = Held(owner: owner, releasedAt: Int64(strictDecimal: parts[2]))
      self.byOwner[owner, default: []].append(address)
    }
  }
}
