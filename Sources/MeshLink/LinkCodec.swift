package import MeshBase
import MeshRouting
import MeshSnapshot
import MeshTelemetry
package import NIOCore

/// Messages to frames and back. Integers are in network order; text is its length (two bytes) and UTF-8. An entry is its
/// version, its kind (one byte) and its canonical encoding. A kind that is not known, a body that is too short or too long, and text that is
/// no UTF-8 are errors: nothing here is skipped for the sake of a newer peer. An agent can meet a proxy that another version
/// started; `hello` says which protocol that one speaks. With one that is not ours no more than the core is spoken
/// (`LinkCodec+Core`), until a proxy of our own takes its place.
package struct LinkCodec: Sendable {
  /// Raised with every change of what is said. The core stays for good (`LinkCodec+Core`).
  package static let protocolVersion: UInt16 = 8

  package var entries: any EntryCoder
  /// What this end speaks: another number makes it pass for another build, in tests.
  package var spoken: UInt16

  package init(entries: any EntryCoder, spoken: UInt16 = Self.protocolVersion) {
    self.entries = entries
    self.spoken = spoken
  }

  enum Kind: UInt8 {
    case begin = 1
    case upsert = 2
    case remove = 3
    case commit = 4
    case withdraw = 5
    case retainListeners = 6
    case drain = 7
    case nameServers = 8
    case retainNames = 9
    case name = 10
    case identity = 11
    case trust = 12
    case retainIdentities = 13
    case hello = 65
    case applied = 66
    case rejected = 67
    case stockWanted = 68
    case listenerAccepted = 69
    case stats = 70
    case nameStats = 71
    case draining = 72
    case requests = 73
    case costs = 74
    case upstreams = 75
  }

  // MARK: agent to proxy

  package func write(_ message: AgentMessage, to output: inout ByteBuffer) throws(MeshError) {
    switch message {
    case .begin(let revision, let isFull):
      Self.frame(.begin, &output) {
        $0.writeInteger(revision)
        $0.writeInteger(UInt8(isFull ? 1 : 0))
      }
    case .upsert(let entry):
      let bytes = try self.entries.encode(entry.value)
      guard bytes.count <= LinkFraming.maximumLength - 64 else {
        throw MeshError(
          .exhausted, entry.value.key.description, "the entry takes \(bytes.count) bytes, more than a frame holds")
      }
      Self.frame(.upsert, &output) {
        $0.writeInteger(entry.version.value)
        $0.writeInteger(UInt8(truncatingIfNeeded: entry.value.key.kind.rawValue))
        $0.writeBytes(bytes)
      }
    case .remove(let key):
      Self.frame(.remove, &output) {
        $0.writeInteger(UInt8(truncatingIfNeeded: key.kind.rawValue))
        $0.writeText(key.name)
      }
    case .commit(let revision): Self.frame(.commit, &output) { $0.writeInteger(revision) }
    case .withdraw(let workload): Self.frame(.withdraw, &output) { $0.writeInteger(workload) }
    case .name(let workload, let name):
      Self.frame(.name, &output) {
        $0.writeInteger(workload)
        $0.writeText(name.description)
      }
    case .identity(let material): Self.frame(.identity, &output) { $0.writeIdentity(material) }
    case .trust(let domains): Self.frame(.trust, &output) { for domain in domains { $0.writeTrust(domain) } }
    case .retainIdentities(let identities):
      Self.frame(.retainIdentities, &output) { for identity in identities { $0.writeText(identity.description) } }
    case .retainListeners(let cookies):
      Self.frame(.retainListeners, &output) { for cookie in cookies { $0.writeInteger(cookie) } }
    case .retainNames(let cookies):
      Self.frame(.retainNames, &output) { for cookie in cookies { $0.writeInteger(cookie) } }
    case .drain(let milliseconds): Self.frame(.drain, &output) { $0.writeInteger(milliseconds) }
    case .nameServers(let cookie, let servers):
      Self.frame(.nameServers, &output) {
        $0.writeInteger(cookie)
        for server in servers {
          $0.writeInteger(server.address.high)
          $0.writeInteger(server.address.low)
          $0.writeInteger(server.port)
        }
      }
    }
  }

  package func agentMessage(_ frame: LinkFraming.Frame) throws(MeshError) -> AgentMessage {
    var body = LinkReader(frame)
    let message: AgentMessage
    switch Kind(rawValue: frame.kind) {
    case .begin: message = .begin(revision: try body.integer(), isFull: try body.flag())
    case .upsert:
      let version = ContentVersion(value: try body.integer())
      message = .upsert(VersionedEntry(try self.entries.decode(try body.entryKind(), body.rest()), version: version))
    case .remove: message = .remove(EntryKey(try body.entryKind(), try body.text()))
    case .commit: message = .commit(revision: try body.integer())
    case .withdraw: message = .withdraw(workload: try body.integer())
    case .name:
      let workload: UInt32 = try body.integer()
      guard let name = ResourceName(try body.text()) else { throw body.malformed("name") }
      message = .name(workload: workload, name)
    case .identity: message = .identity(try body.identityMaterial())
    case .trust:
      var domains: [TrustMaterial] = []
      while !body.isEmpty { domains.append(try body.trustMaterial()) }
      message = .trust(domains)
    case .retainIdentities:
      var identities: [SPIFFEID] = []
      while !body.isEmpty { identities.append(try body.identity()) }
      message = .retainIdentities(identities)
    case .retainListeners: message = .retainListeners(cookies: try body.integers())
    case .retainNames: message = .retainNames(cookies: try body.integers())
    case .drain: message = .drain(milliseconds: try body.integer())
    case .nameServers:
      let cookie: UInt64 = try body.integer()
      var servers: [SocketEndpoint] = []
      while !body.isEmpty {
        let address = IPAddress(high: try body.integer(), low: try body.integer())
        servers.append(SocketEndpoint(address, try body.integer()))
      }
      message = .nameServers(cookie: cookie, servers: servers)
    default: throw body.malformed("kind")
    }
    try body.end()
    return message
  }

  // MARK: proxy to agent

  package func write(_ message: ProxyMessage, to output: inout ByteBuffer) {
    switch message {
    case .hello(let process, let version, let isDraining, let spoken):
      Self.frame(.hello, &output) {
        $0.writeInteger(process)
        $0.writeText(version)
        $0.writeInteger(spoken)
        $0.writeInteger(UInt8(isDraining ? 1 : 0))
      }
    case .applied(let revision): Self.frame(.applied, &output) { $0.writeInteger(revision) }
    case .rejected(let revision, let text):
      Self.frame(.rejected, &output) {
        $0.writeInteger(revision)
        $0.writeText(text)
      }
    case .stockWanted(let request):
      Self.frame(.stockWanted, &output) {
        $0.writeInteger(request.workload)
        $0.writeInteger(UInt8(request.isV4 ? 1 : 0))
        $0.writeInteger(request.count)
        $0.writeInteger(UInt8(request.isForNames ? 1 : 0))
        $0.writeInteger(request.destination?.high ?? 0)
        $0.writeInteger(request.destination?.low ?? 0)
      }
    case .listenerAccepted(let key):
      Self.frame(.listenerAccepted, &output) {
        $0.writeInteger(key.workload)
        $0.writeInteger(key.namespaceCookie)
        $0.writeInteger(UInt8(key.isV4 ? 1 : 0))
        $0.writeInteger(UInt8(key.isTunnel ? 1 : 0))
      }
    case .stats(let stats):
      Self.frame(.stats, &output) {
        for number in [stats.active, stats.accepted, stats.relayed, stats.sentBytes, stats.receivedBytes] {
          $0.writeInteger(number)
        }
        for refused in stats.refused {
          $0.writeText(refused.reason)
          $0.writeInteger(refused.count)
        }
      }
    case .nameStats(let counts):
      Self.frame(.nameStats, &output) {
        for one in counts {
          $0.writeText(one.name)
          $0.writeInteger(one.count)
        }
      }
    case .requests(let counts):
      Self.frame(.requests, &output) { for count in counts { $0.writeRequestCount(count) } }
    case .costs(let costs):
      Self.frame(.costs, &output) {
        for cost in costs {
          $0.writeInteger(cost.workload)
          for number in [cost.microseconds, cost.connections, cost.memory] { $0.writeInteger(number) }
        }
      }
    case .upstreams(let isFirst, let states):
      Self.frame(.upstreams, &output) {
        $0.writeInteger(UInt8(isFirst ? 1 : 0))
        $0.writeInteger(UInt16(clamping: states.count))
        for state in states.prefix(Int(UInt16.max)) { $0.writeUpstreamState(state) }
      }
    case .draining: Self.frame(.draining, &output) { _ in }
    }
  }

  package func proxyMessage(_ frame: LinkFraming.Frame) throws(MeshError) -> ProxyMessage {
    var body = LinkReader(frame)
    let message: ProxyMessage
    switch Kind(rawValue: frame.kind) {
    case .hello:
      let hello = try body.hello()
      if case .hello(_, _, _, let spoken) = hello, spoken != self.spoken { return hello }
      message = hello
    case .applied: message = .applied(revision: try body.integer())
    case .rejected: message = .rejected(revision: try body.integer(), message: try body.text())
    case .stockWanted:
      message = .stockWanted(
        StockRequest(
          workload: try body.integer(), isV4: try body.flag(), count: try body.integer(),
          isForNames: try body.flag(),
          destination: IPAddress(high: try body.integer(), low: try body.integer()).specified))
    case .listenerAccepted:
      message = .listenerAccepted(
        ListenerKey(
          workload: try body.integer(), namespaceCookie: try body.integer(), isV4: try body.flag(),
          isTunnel: try body.flag()))
    case .stats:
      var stats = ProxyStats(
        active: try body.integer(), accepted: try body.integer(), relayed: try body.integer(),
        sentBytes: try body.integer(), receivedBytes: try body.integer())
      while !body.isEmpty {
        stats.refused.append(.init(reason: try body.text(), count: try body.integer()))
      }
      message = .stats(stats)
    case .nameStats:
      var counts: [NamedCount] = []
      while !body.isEmpty { counts.append(NamedCount(try body.text(), try body.integer())) }
      message = .nameStats(counts)
    case .requests:
      var counts: [RequestCount] = []
      while !body.isEmpty { counts.append(try body.requestCount()) }
      message = .requests(counts)
    case .costs:
      var costs: [WorkloadCost] = []
      while !body.isEmpty {
        costs.append(
          WorkloadCost(
            workload: try body.integer(), microseconds: try body.integer(), connections: try body.integer(),
            memory: try body.integer()))
      }
      message = .costs(costs)
    case .upstreams:
      let isFirst = try body.flag()
      let count: UInt16 = try body.integer()
      var states: [UpstreamState] = []
      for _ in 0..<count { states.append(try body.upstreamState()) }
      message = .upstreams(isFirst: isFirst, states)
    case .draining: message = .draining
    default: throw body.malformed("kind")
    }
    try body.end()
    return message
  }

  private static func frame(_ kind: Kind, _ output: inout ByteBuffer, _ body: (inout ByteBuffer) -> Void) {
    LinkFraming.write(kind: kind.rawValue, to: &output, body: body)
  }
}

/// Reads the body of one frame; every lack is an error.
struct LinkReader {
  private let kind: UInt8
  private var body: ByteBuffer

  init(_ frame: LinkFraming.Frame) {
    self.kind = frame.kind
    self.body = frame.body
  }

  var isEmpty: Bool { self.body.readableBytes == 0 }

  func malformed(_ what: String) -> MeshError {
    MeshError(.invalid, "proxy link", "a frame of kind \(self.kind) is malformed", cause: what)
  }

  mutating func integer<Number: FixedWidthInteger>() throws(MeshError) -> Number {
    guard let number = self.body.readInteger(as: Number.self) else { throw self.malformed("it ends early") }
    return number
  }

  /// Up to the end.
  mutating func integers<Number: FixedWidthInteger>() throws(MeshError) -> [Number] {
    var numbers: [Number] = []
    numbers.reserveCapacity(self.body.readableBytes / MemoryLayout<Number>.size)
    while !self.isEmpty { numbers.append(try self.integer()) }
    return numbers
  }

  mutating func flag() throws(MeshError) -> Bool {
    switch try self.integer() as UInt8 {
    case 0: return false
    case 1: return true
    default: throw self.malformed("a flag is neither 0 nor 1")
    }
  }

  mutating func entryKind() throws(MeshError) -> EntryKind {
    guard let kind = EntryKind(rawValue: Int(try self.integer() as UInt8)) else { throw self.malformed("entry kind") }
    return kind
  }

  mutating func text() throws(MeshError) -> String {
    let length: UInt16 = try self.integer()
    guard let bytes = self.body.readBytes(length: Int(length)) else { throw self.malformed("text ends early") }
    guard let text = String(validating: bytes, as: UTF8.self) else { throw self.malformed("text is no UTF-8") }
    return text
  }

  mutating func bytes(_ count: Int) throws(MeshError) -> [UInt8] {
    guard let bytes = self.body.readBytes(length: count) else { throw self.malformed("bytes end early") }
    return bytes
  }

  mutating func rest() -> [UInt8] { self.body.readBytes(length: self.body.readableBytes) ?? [] }

  func end() throws(MeshError) {
    guard self.isEmpty else { throw self.malformed("\(self.body.readableBytes) bytes are left over") }
  }
}

extension ByteBuffer {
  /// Text longer than 65,535 bytes is cut: names are shorter, and a message is for people.
  mutating func writeText(_ text: String) {
    let bytes =
      text.utf8.count <= Int(UInt16.max) ? text : String(text.unicodeScalars.prefix(16_000).map(Character.init))
    self.writeInteger(UInt16(clamping: bytes.utf8.count))
    self.writeString(bytes)
  }
}

extension IPAddress {
  /// Nil for all zero, which stands for none.
  var specified: IPAddress? { self.high == 0 && self.low == 0 ? nil : self }
}
