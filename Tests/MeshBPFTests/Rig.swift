import CMeshABI
import CMeshBPF
import Foundation
import MeshBase
import Synchronization

@testable import MeshBPF

/// Four namespaces and a loaded datapath: `node` holds a bridge, `client`, `server` and `outside` hang on it. Entries are
/// written by hand: client is workload 1, server is workload 2, outside belongs to nobody.
final class Rig {
  static let counter = Atomic(0)
  static let client: UInt32 = 1
  static let server: UInt32 = 2
  static let generation: UInt32 = 5
  static let clientIP = "10.77.0.11"
  static let serverIP = "10.77.0.12"
  static let outsideIP = "10.77.0.13"
  static let clientIP6 = "fd77::11"
  static let serverIP6 = "fd77::12"
  static let vip = "240.7.0.1"
  static let vip6 = "fd6d:6573:6800::1"

  let prefix: String
  let cgroup: String
  let pinPath: String
  private(set) var datapath: KernelDatapath
  private var servers: [Server] = []
  private let sizes: MapSizes
  private let edge: EdgeAttachment

  static func make(sizes: MapSizes = .small, edge: EdgeAttachment = .best) throws -> Rig {
    let rig = try Rig(sizes: sizes, edge: edge)
    try rig.enrol()
    return rig
  }

  private init(sizes: MapSizes, edge: EdgeAttachment) throws {
    let number = Self.counter.wrappingAdd(1, ordering: .relaxed).newValue
    if number == 1 { Self.removeLeftovers() }
    self.prefix = "mtb\(getpid())x\(number)"
    self.cgroup = try Self.cgroupMount() + "/mt-bpf-\(self.prefix)"
    self.pinPath = NSTemporaryDirectory() + "mt-bpf-\(self.prefix)"
    self.sizes = sizes
    self.edge = edge
    for name in ["node", "client", "server", "outside"] {
      try Commands.ip("netns add \(self.prefix)\(name)")
      try Commands.ip("-n \(self.prefix)\(name) link set lo up")
    }
    try Commands.ip("-n \(self.prefix)node link add br0 type bridge")
    try Commands.ip("-n \(self.prefix)node link set br0 up")
    for (name, last) in [("client", "11"), ("server", "12"), ("outside", "13")] {
      try Commands.ip("-n \(self.prefix)node link add v\(name) type veth peer name eth0 netns \(self.prefix)\(name)")
      try Commands.ip("-n \(self.prefix)node link set v\(name) master br0 up")
      try Commands.ip("-n \(self.prefix)\(name) addr add 10.77.0.\(last)/24 dev eth0")
      try Commands.ip("-n \(self.prefix)\(name) addr add fd77::\(last)/64 dev eth0 nodad")
      try Commands.ip("-n \(self.prefix)\(name) link set eth0 up")
      // Service addresses are routed nowhere: whoever is not steered fails.
      try Commands.ip("-n \(self.prefix)\(name) route add default dev eth0")
    }
    for name in ["", "/app", "/proxy"] {
      try FileManager.default.createDirectory(atPath: self.cgroup + name, withIntermediateDirectories: true)
    }
    self.datapath = try KernelDatapath.load(
      objects: Commands.objects, pinDirectory: self.pinPath, sizes: sizes, edge: edge)
  }

  deinit {
    self.servers = []
    _ = try? Commands.run(["umount", "-l", self.pinPath], allowFailure: true)
    rmdir(self.pinPath)
    for name in ["node", "client", "server", "outside"] {
      _ = try? Commands.run(["ip", "netns", "del", self.prefix + name], allowFailure: true)
    }
    for name in ["/app", "/proxy", ""] { rmdir(self.cgroup + name) }
  }

  /// What earlier processes left that were killed before they could clean up.
  private static func removeLeftovers() {
    func owner(_ name: Substring) -> pid_t? {
      guard name.hasPrefix("mtb") else { return nil }
      return pid_t(name.dropFirst(3).prefix { $0 != "x" })
    }
    func isDead(_ process: pid_t) -> Bool { kill(process, 0) != 0 && errno == ESRCH }
    let namespaces = (try? FileManager.default.contentsOfDirectory(atPath: "/run/netns")) ?? []
    for name in namespaces {
      if let process = owner(name[...]), isDead(process) {
        _ = try? Commands.run(["ip", "netns", "del", name], allowFailure: true)
      }
    }
    guard let mount = try? self.cgroupMount() else { return }
    let cgroups = (try? FileManager.default.contentsOfDirectory(atPath: mount)) ?? []
    for name in cgroups where name.hasPrefix("mt-bpf-") {
      if let process = owner(name.dropFirst(7)), isDead(process) {
        for child in ["/app", "/proxy", ""] { rmdir(mount + "/" + name + child) }
      }
    }
  }

  static func cgroupMount() throws -> String {
    for line in try String(contentsOfFile: "/proc/mounts", encoding: .utf8).split(separator: "\n") {
      let fields = line.split(separator: " ")
      if fields.count > 2, fields[2] == "cgroup2" { return String(fields[1]) }
    }
    throw Commands.Failure(description: "no cgroup2 is mounted")
  }

  func namespacePath(_ name: String) -> String { "/run/netns/" + self.prefix + name }

  /// Everything attached, workloads and a service written, generation published, no policy.
  private func enrol() throws {
    try self.datapath.attach(cgroup: self.cgroup)
    try self.datapath.attachSocketOptions(cgroup: self.cgroup + "/proxy")
    for name in ["client", "server"] { try self.attachLookup(name) }
    let d = self.datapath
    for (name, workload) in [("client", Self.client), ("server", Self.server)] {
      try d.pods.put(
        try self.cookie(name),
        mesh_pod(workload: workload, flags: 0, outbound_port_be: UInt16(15001).bigEndian, names_port_be: 0, network: 0))
    }
    for (address, workload) in [
      (Self.clientIP, Self.client), (Self.serverIP, Self.server), (Self.clientIP6, Self.client),
      (Self.serverIP6, Self.server),
    ] {
      try d.workloads.put(
        Self.address(address), mesh_workload(workload: workload, flags: UInt32(MESH_WORKLOAD_LOCAL), network: 0))
    }
    for workload in [Self.client, Self.server] { try self.guardWorkload(workload, group: 0) }
    try self.service(Self.vip, port: 80, id: 9, endpoint: Self.serverIP, endpointPort: 8080)
    try self.service(Self.vip6, port: 80, id: 10, endpoint: Self.serverIP6, endpointPort: 8080)
    d.config.configure { config in
      config.vip4_be = UInt32(0xf000_0000).bigEndian
      config.vip4_mask_be = UInt32(0xff00_0000).bigEndian
      config.vip6 = Self.address("fd6d:6573:6800::")
      config.vip6_prefix = 48
    }
    d.config.generation = Self.generation
  }

  func attachLookup(_ name: String) throws {
    let namespace = open(self.namespacePath(name), O_RDONLY | O_CLOEXEC)
    defer { close(namespace) }
    try self.datapath.attachLookup(namespace: namespace, name: name)
  }

  func guardWorkload(_ workload: UInt32, group: UInt32, generation: UInt32 = Rig.generation) throws {
    try self.datapath.guards.put(
      mesh_guard_key(generation: generation, workload: workload), mesh_guard(group: group, flags: 0))
  }

  /// One row of a policy group.
  func rule(
    group: UInt32, sourceClass: UInt32 = MESH_CLASS_ANY, port: UInt16 = 0, allow: Bool,
    generation: UInt32 = Rig.generation
  ) throws {
    try self.datapath.policy.put(
      mesh_policy_key(
        generation: generation, group: group, source_class: sourceClass, port_be: port.bigEndian, zero16: 0),
      mesh_policy(
        policy: 100 + group, verdict: UInt8((allow ? MESH_VERDICT_ALLOW : MESH_VERDICT_DENY).rawValue),
        reason: UInt8((allow ? MESH_REASON_NONE : MESH_REASON_NOT_ALLOWED).rawValue), zero16: 0))
  }

  /// A service of one endpoint on workload 2; nil: no endpoint.
  func service(
    _ address: String, port: UInt16, id: UInt32, endpoint: String?, endpointPort: UInt16 = 0,
    mode: mesh_mode = MESH_MODE_KERNEL
  ) throws {
    if let endpoint {
      try self.datapath.endpoints.put(
        mesh_endpoint_key(table: id, slot: 0),
        mesh_endpoint(
          address: Self.address(endpoint), workload: Self.server, port_be: endpointPort.bigEndian, flags: 0, zero8: 0))
    }
    try self.datapath.services.put(
      mesh_service_key(
        address: Self.address(address), port_be: port.bigEndian, protocol: 6, zero8: 0, zero32: 0),
      mesh_service(
        service: id, table: id, slots: endpoint == nil ? 0 : 1, mode: UInt8(mode.rawValue), zero8: 0, zero16: 0))
    try self.datapath.services.put(
      mesh_service_key(address: Self.address(address), port_be: 0, protocol: 6, zero8: 0, zero32: 0),
      mesh_service(service: id, table: 0, slots: 0, mode: UInt8(MESH_MODE_ADDRESS.rawValue), zero8: 0, zero16: 0))
  }

  /// Replaces the datapath by one that adopts its pins, as a restarted agent does.
  func adopt(edge: EdgeAttachment? = nil) throws {
    let pins = self.datapath.pins
    self.datapath = try KernelDatapath.adopt(objects: Commands.objects, pins: pins, edge: edge ?? self.edge)
  }

  // MARK: processes

  /// The words that run a command in a namespace and a child cgroup.
  func words(_ namespace: String, _ command: [String], cgroup: String = "app") -> [String] {
    [
      "sh", "-c", "echo $$ > \"$0/cgroup.procs\" && exec nsenter --net=\"$1\" -- \"${@:2}\"",
      self.cgroup + "/" + cgroup, self.namespacePath(namespace),
    ].enumerated().map { $0.offset == 0 ? "bash" : $0.element } + command
  }

  func probe(_ namespace: String, _ arguments: String, cgroup: String = "app", seconds: Int = 60) throws -> Answer {
    let text = try Commands.run(
      self.words(
        namespace, [Commands.python, Commands.probe] + arguments.split(separator: " ").map(String.init), cgroup: cgroup),
      seconds: seconds)
    return try Answer(text)
  }

  func serve(_ namespace: String, _ listeners: String..., cgroup: String = "app") throws {
    self.servers.append(
      try Server(self.words(namespace, [Commands.python, Commands.probe, "serve"] + listeners, cgroup: cgroup)))
  }

  func serve(words: [String]) throws {
    self.servers.append(try Server(words))
  }

  func cookie(_ namespace: String) throws -> UInt64 {
    try self.probe(namespace, "cookie").number("cookie")
  }

  /// Index of a veth's host end.
  func interface(_ name: String) throws -> UInt32 {
    let text = try Commands.run(["ip", "-n", self.prefix + "node", "-o", "link", "show", "v" + name])
    guard let index = UInt32(text.prefix { $0 != ":" }) else { throw Commands.Failure(description: text) }
    return index
  }

  // MARK: what was counted

  func count(_ hook: mesh_hook, _ reason: mesh_reason) throws -> UInt64 {
    let index = UInt32(hook.rawValue) * UInt32(MESH_REASON_COUNT.rawValue) + UInt32(reason.rawValue)
    return try self.datapath.counters.get(index)?.reduce(0, +) ?? 0
  }

  static func address(_ text: String) -> mesh_addr {
    var bytes = [UInt8](repeating: 0, count: 16)
    if text.contains(":") {
      _ = inet_pton(AF_INET6, text, &bytes)
    } else {
      var four = [UInt8](repeating: 0, count: 4)
      _ = inet_pton(AF_INET, text, &four)
      bytes.replaceSubrange(10..., with: [0xff, 0xff] + four)
    }
    return bytes.withUnsafeBytes { $0.loadUnaligned(as: mesh_addr.self) }
  }
}

extension MapSizes {
  /// Enough for a test, cheap to make.
  static var small: MapSizes {
    var sizes = MapSizes()
    sizes[.pending] = 4_096
    sizes[.flows] = 4_096
    sizes[.edges] = 1_024
    sizes[.events] = 1 << 20
    return sizes
  }
}

extension mesh_addr {
  func matches(_ text: String) -> Bool {
    let other = Rig.address(text)
    return self.hi_be == other.hi_be && self.lo_be == other.lo_be
  }
}

/// One line of the probe.
struct Answer {
  private let fields: [String: Any]

  init(_ text: String) throws {
    guard let fields = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any] else {
      throw Commands.Failure(description: "no answer: \(text)")
    }
    self.fields = fields
  }

  var errno: Int? { (self.fields["errno"] as? NSNumber)?.intValue }
  var milliseconds: Double { (self.fields["ms"] as? NSNumber)?.doubleValue ?? .infinity }
  var unsupported: Bool { self.fields["unsupported"] != nil }
  var errnos: [String: Int] { self.fields["errnos"] as? [String: Int] ?? [:] }
  /// address and port that getpeername gave to the client.
  var peername: String? { Self.endpoint(self.fields["peername"]) }
  /// What the server saw.
  var seenPeer: String? { self.answer?["peer"] as? String }
  var seenLocal: String? { Self.endpoint(self.answer?["local"]) }
  var seenFlow: mesh_flow? {
    guard let bytes = Self.bytes(self.answer?["flow"]), bytes.count == MemoryLayout<mesh_flow>.size else { return nil }
    return bytes.withUnsafeBytes { $0.loadUnaligned(as: mesh_flow.self) }
  }
  func seen(_ key: String) -> Any? { self.answer?[key] }
  func seenBytes(_ key: String) -> [UInt8]? { Self.bytes(self.answer?[key]) }
  func number(_ key: String) throws -> UInt64 {
    guard let number = self.fields[key] as? NSNumber else { throw Commands.Failure(description: "no \(key)") }
    return number.uint64Value
  }
  func strings(_ key: String) -> [String] { self.fields[key] as? [String] ?? [] }
  func list(_ key: String) -> [Any] { self.fields[key] as? [Any] ?? [] }

  private var answer: [String: Any]? { self.fields["answer"] as? [String: Any] }

  static func endpoint(_ value: Any?) -> String? {
    guard let pair = value as? [Any], pair.count == 2 else { return nil }
    return "\(pair[0]),\(pair[1])"
  }

  private static func bytes(_ value: Any?) -> [UInt8]? {
    guard let text = value as? String else { return nil }
    var bytes: [UInt8] = []
    var rest = text[...]
    while rest.count >= 2 {
      guard let byte = UInt8(rest.prefix(2), radix: 16) else { return nil }
      bytes.append(byte)
      rest = rest.dropFirst(2)
    }
    return bytes
  }
}
