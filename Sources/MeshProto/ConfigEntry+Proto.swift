import FoundationEssentials
import MeshBase
import MeshSnapshot

extension Martlet_Entries_V1_Config {
  init(_ entry: ConfigEntry) {
    self.init()
    self.trustDomain = entry.trustDomain
    if let range = entry.vipRangeV4 { self.vipRangeV4 = Martlet_Entries_V1_Prefix(range) }
    if let range = entry.vipRangeV6 { self.vipRangeV6 = Martlet_Entries_V1_Prefix(range) }
    self.connectTimeoutMilliseconds = entry.connectTimeoutMilliseconds
    self.trustRoots = entry.trustRoots.map { Data($0) }
    self.revoked = entry.revoked.map { item in
      var message = Martlet_Entries_V1_RevokedCertificate()
      message.authorityKey = Data(item.authorityKey)
      message.serial = Data(item.serial)
      return message
    }
    if entry.proxy != .defaults { self.proxy = [Martlet_Entries_V1_ProxySettings(entry.proxy)] }
  }
}

extension ConfigEntry {
  init(_ message: Martlet_Entries_V1_Config) throws(MeshError) {
    let field = FieldPath("config", ConfigEntry.name)
    try field.known(message)
    guard SPIFFEID.isTrustDomain(message.trustDomain) else {
      throw field["trust_domain"].error(message.trustDomain.isEmpty ? "missing" : "not a trust domain")
    }
    guard message.connectTimeoutMilliseconds > 0 else { throw field["connect_timeout_milliseconds"].error("missing") }
    self.init(
      trustDomain: message.trustDomain, connectTimeoutMilliseconds: message.connectTimeoutMilliseconds)
    guard message.proxy.count <= 1 else { throw field["proxy"].error("more than one") }
    guard message.trustRoots.count <= ConfigEntry.mostRoots else { throw field["trust_roots"].error("too many") }
    for (index, root) in message.trustRoots.enumerated() {
      guard !root.isEmpty, root.count <= ConfigEntry.largestRoot else {
        throw field["trust_roots"][index].error("not of the size of a certificate")
      }
    }
    self.trustRoots = message.trustRoots.map { Array($0) }
    for (index, item) in message.revoked.enumerated() {
      let path = field["revoked"][index]
      try path.known(item)
      guard item.authorityKey.count <= 64, (1...64).contains(item.serial.count) else {
        throw path.error("not the number of a certificate")
      }
      self.revoked.append(RevokedCertificate(authorityKey: Array(item.authorityKey), serial: Array(item.serial)))
    }
    for part in message.proxy { self.proxy = try ProxySettings(part, field["proxy"][0]) }
    if message.hasVipRangeV4 {
      let path = field["vip_range_v4"]
      let range = try path.prefix(message.vipRangeV4)
      guard range.isV4 else { throw path.error("not an IPv4 range") }
      self.vipRangeV4 = range
    }
    if message.hasVipRangeV6 {
      let path = field["vip_range_v6"]
      let range = try path.prefix(message.vipRangeV6)
      guard !range.isV4 else { throw path.error("not an IPv6 range") }
      self.vipRangeV6 = range
    }
  }
}
