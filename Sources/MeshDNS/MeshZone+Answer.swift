import MeshBase
import MeshSnapshot

extension MeshZone {
  /// What the zone says of a question. Nil: the name is not the mesh's, and is forwarded.
  package struct Answer: Hashable, Sendable {
    package var code: DNSResponseCode
    package var answers: [DNSRecord] = []
    package var authorities: [DNSRecord] = []
    package var additionals: [DNSRecord] = []
  }

  /// `random` chooses where a list of endpoints begins, so that clients that take the first do not all take the same.
  package func answer(_ question: DNSQuestion, using random: inout some RandomNumberGenerator) -> Answer? {
    guard question.recordClass == DNSClass.internet, let (found, apex) = self.find(question.name.name) else {
      return nil
    }
    var answers: [DNSRecord] = []
    var additionals: [DNSRecord] = []
    switch (found, question.type) {
    case (.nothing, _):
      return Answer(code: .nameError, authorities: [self.startOfAuthority(apex)])
    case (.middle, _): break
    case (.apex, .soa): answers = [self.startOfAuthority(apex)]
    case (.apex, .any), (.host, .any), (.addresses, .any), (.port, .any):
      answers = [Self.minimal(question.name)]
    case (.host(let host), .a), (.host(let host), .aaaa):
      answers = Self.records(
        host.places.isEmpty ? host.addresses : host.places.map(\.address), question, using: &random)
    case (.addresses(let addresses), .a), (.addresses(let addresses), .aaaa):
      answers = Self.records(addresses, question, using: &random)
    case (.port(let host, let port), .srv):
      (answers, additionals) = Self.targets(host, port, question.name, using: &random)
    case (.apex, _), (.host, _), (.addresses, _), (.port, _): break
    }
    if answers.isEmpty { return Answer(code: .noError, authorities: [self.startOfAuthority(apex)]) }
    return Answer(code: .noError, answers: answers, additionals: additionals)
  }

  /// What a name is.
  private enum Found {
    case apex
    case host(Host)
    /// One endpoint of a service.
    case addresses([IPAddress])
    case port(Host, UInt16)
    /// It has no records, but names below it have (RFC 8020: then it exists).
    case middle
    case nothing
  }

  /// With the apex of the zone that says so. Nil: not ours.
  private func find(_ name: DNSName) -> (Found, DNSName)? {
    if let above = name.labels(above: self.apex) {
      if above == 0 { return (.apex, self.apex) }
      let labels = name.labels
      guard labels[above - 1].elementsEqual("svc".utf8) else { return (.nothing, self.apex) }
      return (self.find(labels[..<(above - 1)]) ?? .nothing, self.apex)
    }
    if let above = name.labels(above: self.serviceDomain) {
      if above == 0 { return (.apex, self.serviceDomain) }
      return (self.find(name.labels[..<above]) ?? .nothing, self.serviceDomain)
    }
    // The short form: the service itself, and its `_port._tcp`.
    if let host = self.hosts[name] { return (.host(host), name) }
    let labels = name.labels
    guard labels.count >= 3, labels[0].first == UInt8(ascii: "_") else { return nil }
    for count in 1...2 {
      guard let rest = name.dropping(count), self.hosts[rest] != nil else { continue }
      return (self.find(labels[...]) ?? .nothing, rest)
    }
    return nil
  }

  /// Labels before `svc`. Nil: there is no such name.
  private func find(_ labels: ArraySlice<ArraySlice<UInt8>>) -> Found? {
    if labels.isEmpty { return .middle }
    let name = DNSName(labels: labels)
    if let host = self.hosts[name] { return .host(host) }
    if self.middles.contains(name) { return .middle }
    let first = labels[labels.startIndex]
    if let host = self.hosts[DNSName(labels: labels.dropFirst())] {
      if first.elementsEqual("_tcp".utf8) { return host.ports.isEmpty ? nil : .middle }
      let own = host.places.filter { $0.label.elementsEqual(first) }.map(\.address)
      return own.isEmpty ? nil : .addresses(own)
    }
    guard labels.count >= 2, let host = self.hosts[DNSName(labels: labels.dropFirst(2))],
      labels[labels.startIndex + 1].elementsEqual("_tcp".utf8), first.first == UInt8(ascii: "_"),
      let port = host.ports[Array(first.dropFirst())]
    else { return nil }
    return .port(host, port)
  }

  private static func records(
    _ addresses: [IPAddress], _ question: DNSQuestion, using random: inout some RandomNumberGenerator
  ) -> [DNSRecord] {
    addresses.filter { $0.isV4 == (question.type == .a) }.rotated(using: &random).prefix(Self.mostRecords).map {
      DNSRecord(name: question.name, timeToLive: Self.timeToLive, address: $0)
    }
  }

  /// RFC 2782. One target, the service's own name, if it has an address; else one for each endpoint, at the port where
  /// it serves.
  private static func targets(
    _ host: Host, _ port: UInt16, _ name: SpelledName, using random: inout some RandomNumberGenerator
  ) -> ([DNSRecord], [DNSRecord]) {
    var records: [DNSRecord] = []
    var additionals: [DNSRecord] = []
    func add(_ target: SpelledName, weight: UInt16, port: UInt16, _ addresses: [IPAddress]) {
      let numbers = [0, weight, port].flatMap { [UInt8($0 >> 8), UInt8($0 & 0xff)] }
      records.append(
        DNSRecord(name: name, type: .srv, timeToLive: Self.timeToLive, data: numbers + target.wire))
      for address in addresses {
        additionals.append(DNSRecord(name: target, timeToLive: Self.timeToLive, address: address))
      }
    }
    guard host.places.isEmpty else {
      for place in host.places.rotated(using: &random).prefix(Self.mostRecords) {
        guard let mapping = place.ports.first(where: { $0.servicePort == port }),
          let target = SpelledName(label: place.label, before: host.name)
        else { continue }
        add(target, weight: place.weight, port: mapping.targetPort, [place.address])
      }
      return (records, additionals)
    }
    if !host.addresses.isEmpty { add(host.name, weight: 0, port: port, host.addresses) }
    return (records, additionals)
  }

  /// The answer to a question for everything (RFC 8482 section 4.2).
  private static func minimal(_ name: SpelledName) -> DNSRecord {
    DNSRecord(
      name: name, type: .hinfo, timeToLive: Self.timeToLive, data: [7] + Array("RFC8482".utf8) + [0])
  }

  /// Tells how long "there is none" may be kept (RFC 2308 section 3).
  private func startOfAuthority(_ apex: DNSName) -> DNSRecord {
    let server = SpelledName("ns.dns.\(self.apex)") ?? self.apex.spelled
    let mailbox = SpelledName("hostmaster.\(self.apex)") ?? self.apex.spelled
    // Serial (there are no transfers), refresh, retry, expire, minimum.
    let numbers: [UInt32] = [1, 7200, 1800, 86_400, Self.timeToLive]
    let tail = numbers.flatMap { number in
      stride(from: 24, through: 0, by: -8).map { UInt8(truncatingIfNeeded: number >> UInt32($0)) }
    }
    return DNSRecord(
      name: apex.spelled, type: .soa, timeToLive: Self.timeToLive, data: server.wire + mailbox.wire + tail)
  }
}

extension DNSName {
  /// Of labels of a valid name.
  init(labels: some Sequence<ArraySlice<UInt8>>) {
    self.init(
      SpelledName(valid: labels.reduce(into: []) { $0 += [UInt8(truncatingIfNeeded: $1.count)] + $1 } + [0]))
  }
}

extension SpelledName {
  /// Nil: too long.
  init?(label: [UInt8], before name: SpelledName) {
    guard (1...63).contains(label.count), label.count + 1 + name.wire.count <= DNSName.maximumLength else {
      return nil
    }
    self.init(valid: [UInt8(label.count)] + label + name.wire)
  }
}

extension Array {
  /// The same elements in the same order, beginning anywhere.
  fileprivate func rotated(using random: inout some RandomNumberGenerator) -> [Element] {
    guard self.count > 1 else { return self }
    let first = Int.random(in: 0..<self.count, using: &random)
    return Array(self[first...] + self[..<first])
  }
}
