import MeshBase
import MeshProto
import MeshSnapshot
import MeshTestSupport
import SwiftProtobuf
import Testing

@Suite("Entries as bytes")
struct EntryBytesTests {
  @Test("every field of every kind survives the way to bytes and back")
  func roundTrip() throws {
    for entry in try Sample.all() {
      let bytes = entry.encoded()
      #expect(try Entry.decode(entry.key.kind, bytes: bytes) == entry)
      #expect(try Entry.decode(typeURL: entry.key.kind.typeURL, bytes: bytes) == entry)
    }
  }

  @Test("the version is the hash of the bytes, on both sides")
  func versions() throws {
    for entry in try Sample.all() {
      let versioned = VersionedEntry(entry)
      #expect(versioned.version == ContentVersion(of: entry.encoded()))
      #expect(try VersionedEntry(entry.key.kind, bytes: entry.encoded()).version == versioned.version)
    }
    #expect(Set(try Sample.all().map { VersionedEntry($0).version }).count == 5)
  }

  @Test("the encoding is pinned: a changed byte would make every node fetch everything again")
  func pinned() throws {
    let pinned = Entry.config(ConfigEntry(trustDomain: "td", connectTimeoutMilliseconds: 1)).encoded()
    #expect(pinned == [0x0a, 2, 0x74, 0x64, 0x20, 1])
  }

  @Test("every truncation and every flipped byte gives an entry or an error, never a trap")
  func damage() throws {
    for entry in try Sample.all() {
      let bytes = entry.encoded()
      for count in 0..<bytes.count { _ = try? Entry.decode(entry.key.kind, bytes: Array(bytes[..<count])) }
      for index in bytes.indices {
        for mask in [0x01, 0x80, 0xff] as [UInt8] {
          var damaged = bytes
          damaged[index] ^= mask
          // Whatever decodes is an entry that encodes and decodes to itself.
          if let decoded = try? Entry.decode(entry.key.kind, bytes: damaged) {
            #expect(try Entry.decode(entry.key.kind, bytes: decoded.encoded()) == decoded)
          }
        }
      }
    }
  }

  @Test("random bytes are no entry and no trap")
  func noise() {
    var random = SplitMix64(seed: 1)
    for _ in 0..<5000 {
      let bytes = (0..<Int.random(in: 0...64, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      for kind in EntryKind.allCases { _ = try? Entry.decode(kind, bytes: bytes) }
    }
  }

  @Test("empty bytes are refused for every kind")
  func empty() {
    for kind in EntryKind.allCases {
      #expect(throws: MeshError.self) { try Entry.decode(kind, bytes: []) }
    }
  }

  @Test("an unknown type and an entry past the size limit are refused")
  func limits() {
    #expect(throws: MeshError.self) { try Entry.decode(typeURL: "type.googleapis.com/x", bytes: []) }
    let huge = [UInt8](repeating: 0, count: MeshProto.maximumEntrySize + 1)
    #expect { try Entry.decode(.policy, bytes: huge) } throws: { ($0 as? MeshError)?.code == .exhausted }
  }
}

@Suite("Entries that are refused name the field")
struct EntryRefusalTests {
  private func refusal<M: Message>(
    _ kind: EntryKind, _ sample: Entry, _ type: M.Type, _ change: (inout M) -> Void
  ) throws -> String {
    var message = try M(serializedBytes: sample.encoded())
    change(&message)
    do {
      _ = try Entry.decode(kind, bytes: try message.serializedBytes())
      return "accepted"
    } catch { return "\(error)" }
  }

  @Test("XD-07: a policy with an unknown field at any depth is refused, not widened")
  func unknownFields() throws {
    // Field 15, varint 1: unknown to every message here.
    let unknown: [UInt8] = [0x78, 1]
    let sample = try Sample.policy()
    #expect(throws: MeshError.self) { try Entry.decode(.policy, bytes: sample.encoded() + unknown) }
    typealias Policy = Martlet_Entries_V1_Policy
    let changes: [(String, (inout Policy) throws -> Void)] = [
      ("rules[0]:", { try $0.rules[0].merge(serializedBytes: unknown) }),
      ("rules[0].from[0]:", { try $0.rules[0].from[0].merge(serializedBytes: unknown) }),
      ("rules[0].from[0].principals[1]:", { try $0.rules[0].from[0].principals[1].merge(serializedBytes: unknown) }),
      (
        "rules[0].from[0].service_accounts[0]:",
        { try $0.rules[0].from[0].serviceAccounts[0].merge(serializedBytes: unknown) }
      ),
      ("rules[0].from[0].ip_blocks[0]:", { try $0.rules[0].from[0].ipBlocks[0].merge(serializedBytes: unknown) }),
      (
        "rules[0].from[0].ip_blocks[0].address:",
        { try $0.rules[0].from[0].ipBlocks[0].address.merge(serializedBytes: unknown) }
      ),
      ("rules[0].to[0]:", { try $0.rules[0].to[0].merge(serializedBytes: unknown) }),
      ("rules[0].when_source[0]:", { try $0.rules[0].whenSource[0].merge(serializedBytes: unknown) }),
      ("rules[0].when_operation[0]:", { try $0.rules[0].whenOperation[0].merge(serializedBytes: unknown) }),
    ]
    for (path, change) in changes {
      var message = try Policy(serializedBytes: sample.encoded())
      try change(&message)
      let bytes: [UInt8] = try message.serializedBytes()
      #expect {
        try Entry.decode(.policy, bytes: bytes)
      } throws: { error in
        "\(error)".contains(path) && "\(error)".contains("does not know") && "\(error)".contains("shop/deny-all")
      }
    }
  }

  @Test("XD-07: an unknown action, and a match without a kind, are refused")
  func unknownEnums() throws {
    let sample = try Sample.policy()
    typealias Policy = Martlet_Entries_V1_Policy
    #expect(
      try self.refusal(.policy, sample, Policy.self) { $0.action = .UNRECOGNIZED(9) }
        == "policy shop/deny-all: action: 9 is unknown to this version")
    #expect(try self.refusal(.policy, sample, Policy.self) { $0.action = .unspecified }.contains("action: missing"))
    #expect(
      try self.refusal(.policy, sample, Policy.self) { $0.rules[0].from[0].principals[0].match = nil }
        .contains("rules[0].from[0].principals[0]"))
    #expect(
      try self.refusal(.policy, sample, Policy.self) { $0.rules[0].from[0].principals[0].match = .prefix("") }
        .contains("prefix: empty"))
    #expect(
      try self.refusal(.policy, sample, Policy.self) { $0.rules[0].from[0].principals[0].match = .present(false) }
        .contains("present: must be true"))
  }

  @Test("policies: bad names, ports and prefixes")
  func policies() throws {
    let sample = try Sample.policy()
    typealias Policy = Martlet_Entries_V1_Policy
    let cases: [(String, (inout Policy) -> Void)] = [
      ("name: missing", { $0.name = "" }), ("name: not a namespace/name", { $0.name = "a/b/c" }),
      ("rules[0].to[0].ports[0]: 0 is no port", { $0.rules[0].to[0].ports = [0] }),
      ("rules[0].to[0].not_ports[0]: 65536 is no port", { $0.rules[0].to[0].notPorts = [65536] }),
      ("ip_blocks[0].length: 33 is too long", { $0.rules[0].from[0].ipBlocks[0].length = 33 }),
      ("ip_blocks[0].address: has bits past", { $0.rules[0].from[0].ipBlocks[0].address.low |= 1 }),
      ("ip_blocks[0].address: missing", { $0.rules[0].from[0].ipBlocks[0].clearAddress() }),
      ("service_accounts[0].namespace", { $0.rules[0].from[0].serviceAccounts[0].namespace = "A" }),
    ]
    for (text, change) in cases {
      let refusal = try self.refusal(.policy, sample, Policy.self, change)
      #expect(refusal.contains(text), "\(refusal)")
    }
  }

  @Test("workloads: every field, and an unknown location")
  func workloads() throws {
    let sample = try Sample.workload()
    typealias Workload = Martlet_Entries_V1_Workload
    let cases: [(String, (inout Workload) -> Void)] = [
      ("identity: missing", { $0.identity = "" }),
      ("identity: not a SPIFFE id", { $0.identity = "spiffe://Mesh/ns/a/sa/b" }),
      ("node: missing", { $0.node = "" }), ("node: holds control", { $0.node = "a\u{0}b" }),
      ("app: longer than 253", { $0.app = String(repeating: "a", count: 254) }),
      ("failure_mode: missing", { $0.failureMode = .unspecified }),
      ("failure_mode: 7 is unknown", { $0.failureMode = .UNRECOGNIZED(7) }),
      ("network_namespace: not an absolute", { $0.location = .networkNamespace("run/netns/x") }),
      ("policies[1]: shop/a occurs twice", { $0.policies = ["shop/a", "shop/a"] }),
      ("policies[0]: not a namespace/name", { $0.policies = ["a"] }),
      ("addresses[0]: :: is no unicast", { $0.addresses = [Martlet_Entries_V1_Address()] }),
      ("addresses[1]: 10.0.0.1 occurs twice", { $0.addresses[1] = $0.addresses[0] }),
      (
        "name_resolution[0].servers[1]: 127.0.0.11 occurs twice",
        { $0.nameResolution[0].servers[1] = $0.nameResolution[0].servers[0] }
      ),
      ("name_resolution: more than one", { $0.nameResolution.append($0.nameResolution[0]) }),
      ("network: missing", { $0.network = "" }),
    ]
    for (text, change) in cases {
      let refusal = try self.refusal(.workload, sample, Workload.self, change)
      #expect(refusal.contains(text), "\(refusal)")
    }
    // Field 10, a string: a location of a later version.
    #expect(throws: MeshError.self) { try Entry.decode(.workload, bytes: sample.encoded() + [0x52, 1, 0x61]) }
  }

  @Test("containers: each way of naming one comes back, and anything but one way is refused")
  func containers() throws {
    let sample = try Sample.workload()
    guard case .workload(var entry) = sample else { return }
    for selector: ContainerSelector in [.name("web"), .id("0123456789ab"), .labels(["b": "2", "a": "1"])] {
      entry.location = .container(selector)
      #expect(try Entry.decode(.workload, bytes: Entry.workload(entry).encoded()) == .workload(entry))
    }
    typealias Workload = Martlet_Entries_V1_Workload
    let cases: [(String, (inout Workload) -> Void)] = [
      ("container: needs one", { $0.container = .init() }),
      ("container: needs one", { ($0.container.name, $0.container.id) = ("web", "0123456789ab") }),
      ("container.name: no container's name", { $0.container.name = "../web" }),
      ("container.id: no container's id", { $0.container.id = "0123" }),
      ("container.labels[0]: no label", { $0.container.labels = [.init()] }),
      (
        "container.labels[1]: no label, a second one",
        { workload in
          var label = Martlet_Entries_V1_Container.Label()
          label.key = "a"
          workload.container.labels = [label, label]
        }
      ),
    ]
    for (text, change) in cases {
      let refusal = try self.refusal(.workload, sample, Workload.self, change)
      #expect(refusal.contains(text), "\(refusal)")
    }
  }

  @Test("XD-14: services and endpoints with duplicates, empty lists, and weights that overflow")
  func services() throws {
    let sample = try Sample.service()
    typealias Service = Martlet_Entries_V1_Service
    let cases: [(String, (inout Service) -> Void)] = [
      ("ports[1].port: 80 occurs twice", { $0.ports[1].port = 80 }),
      ("ports[0].backends: missing", { $0.ports[0].backends = [] }),
      ("backends[1].weight: the weights add up", { $0.ports[0].backends[1].weight = .max }),
      ("app_protocol: 99 is unknown", { $0.ports[0].appProtocol = .UNRECOGNIZED(99) }),
      ("ports[2].route: not a", { $0.ports[2].route = "x" }),
    ]
    for (text, change) in cases {
      let refusal = try self.refusal(.service, sample, Service.self, change)
      #expect(refusal.contains(text), "\(refusal)")
    }
    let endpoints = try Sample.endpoints()
    typealias Endpoints = Martlet_Entries_V1_Endpoints
    let more: [(String, (inout Endpoints) -> Void)] = [
      ("endpoints[1]: has neither", { $0.endpoints[1].addresses = [] }),
      (
        "endpoints[1].weight: the weights",
        {
          $0.endpoints[0].weight = 1
          $0.endpoints[1].weight = .max
        }
      ),
      ("target_port: 70000 is no port", { $0.endpoints[0].ports[0].targetPort = 70000 }),
      ("ports[1].service_port: 80 occurs", { $0.endpoints[0].ports.append($0.endpoints[0].ports[0]) }),
    ]
    for (text, change) in more {
      let refusal = try self.refusal(.endpoints, endpoints, Endpoints.self, change)
      #expect(refusal.contains(text), "\(refusal)")
    }
  }

  @Test("routing: what is not understood is refused at any depth, and so is what no route can say")
  func routing() throws {
    let sample = try Sample.service()
    typealias Service = Martlet_Entries_V1_Service
    // Field 15, varint 1: unknown to every message here.
    let unknown: [UInt8] = [0x78, 1]
    let cases: [(String, (inout Service) throws -> Void)] = [
      ("tls_rules[0].hostnames: missing", { $0.ports[1].tlsRules[0].hostnames = [] }),
      ("tls_rules[0].hostnames[0]: no name", { $0.ports[1].tlsRules[0].hostnames = ["*"] }),
      ("tls_rules[0].backends: missing", { $0.ports[1].tlsRules[0].backends = [] }),
      ("tls_rules[0].route: not a", { $0.ports[1].tlsRules[0].route = "x" }),
      ("tls_rules[0]: holds", { try $0.ports[1].tlsRules[0].merge(serializedBytes: unknown) }),
      ("ports[2].routing: holds", { try $0.ports[2].routing.merge(serializedBytes: unknown) }),
      ("rules[0]: holds", { try $0.ports[2].routing.rules[0].merge(serializedBytes: unknown) }),
      ("matches[0]: holds", { try $0.ports[2].routing.rules[0].matches[0].merge(serializedBytes: unknown) }),
      ("headers[0]: holds", { try $0.ports[2].routing.rules[0].matches[0].headers[0].merge(serializedBytes: unknown) }),
      (
        "filters[3].rewrite: holds",
        { try $0.ports[2].routing.rules[0].filters[3].rewrite.merge(serializedBytes: unknown) }
      ),
      ("backends[1]: holds", { try $0.ports[2].routing.rules[0].backends[1].merge(serializedBytes: unknown) }),
      ("retry: holds", { try $0.ports[2].routing.rules[0].retry[0].merge(serializedBytes: unknown) }),
      ("rules[0].kind: missing", { $0.ports[2].routing.rules[0].kind = .unspecified }),
      ("rules[0].kind: 9 is unknown", { $0.ports[2].routing.rules[0].kind = .UNRECOGNIZED(9) }),
      ("rules[0].route: not a", { $0.ports[2].routing.rules[0].route = "x" }),
      ("rules[0].matches: missing", { $0.ports[2].routing.rules[0].matches = [] }),
      ("matches[0].path: missing", { $0.ports[2].routing.rules[0].matches[0].path = nil }),
      ("matches[0].exact: not a path", { $0.ports[2].routing.rules[0].matches[0].exact = "a" }),
      ("matches[0].method: not a token", { $0.ports[2].routing.rules[0].matches[0].method = "GET /" }),
      ("headers[0].name: no name", { $0.ports[2].routing.rules[0].matches[0].headers[0].name = "X-A" }),
      ("headers[0].value: missing", { $0.ports[2].routing.rules[0].matches[0].headers[0].value.value = nil }),
      ("filters[0]: missing", { $0.ports[2].routing.rules[0].filters[0].filter = nil }),
      (
        "set[0].value: holds control",
        { $0.ports[2].routing.rules[0].filters[0].requestHeaders.set[0].value = "a\r\nb: c" }
      ),
      ("redirect.status: 200 is no", { $0.ports[2].routing.rules[0].filters[2].redirect.status = 200 }),
      ("redirect.scheme: neither", { $0.ports[2].routing.rules[0].filters[2].redirect.scheme = "ftp" }),
      ("redirect.hostname: no name", { $0.ports[2].routing.rules[0].filters[2].redirect.hostname = "*.a" }),
      ("mirror.numerator: 1 of 0", { $0.ports[2].routing.rules[0].filters[6].mirror.denominator = 0 }),
      ("cors.methods[0]: not a token", { $0.ports[2].routing.rules[0].filters[7].cors.methods = ["a b"] }),
      ("hostnames[0]: no name", { $0.ports[2].routing.rules[0].hostnames = ["*.*.a"] }),
      ("consumer_namespace: not a", { $0.ports[2].routing.rules[0].consumerNamespace = "A" }),
      (
        "backends[1].weight: the weights add up",
        { $0.ports[2].routing.rules[0].backends[1].weight = .max }
      ),
      ("retry.codes[0]: 200 is no status", { $0.ports[2].routing.rules[0].retry[0].codes = [200] }),
      (
        "retry: more than one",
        { $0.ports[2].routing.rules[0].retry.append($0.ports[2].routing.rules[0].retry[0]) }
      ),
      ("persistence.kind: missing", { $0.ports[2].routing.rules[0].persistence[0].kind = .unspecified }),
    ]
    for (text, change) in cases {
      var message = try Service(serializedBytes: sample.encoded())
      try change(&message)
      let bytes: [UInt8] = try message.serializedBytes()
      #expect(throws: MeshError.self, "\(text)") { try Entry.decode(.service, bytes: bytes) }
      do {
        _ = try Entry.decode(.service, bytes: bytes)
      } catch {
        #expect("\(error)".contains(text), "\(error)")
      }
    }
  }

  @Test("a service of a newer control plane, with fields that are unknown here, is taken with the version it came with")
  func newerService() throws {
    let sample = try Sample.service()
    let bytes = sample.encoded() + [0x78, 1]
    let entry = try VersionedEntry(.service, bytes: bytes)
    #expect(entry.value == sample)
    #expect(entry.version == ContentVersion(of: bytes))
  }

  @Test("the name in an error is cut and printable, whatever was sent")
  func hostileName() throws {
    let refusal = try self.refusal(.policy, try Sample.policy(), Martlet_Entries_V1_Policy.self) {
      $0.name = "\u{1b}[31m\n" + String(repeating: "é", count: 500)
    }
    #expect(refusal.utf8.allSatisfy { (0x20...0x7e).contains($0) })
    #expect(refusal.utf8.count < 256)
  }
}
