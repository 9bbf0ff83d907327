import CMeshABI
import MeshBase
import MeshSnapshot

/// Who has rows of `services`: a service, or a workload that publishes ports of the host. Where both claim one, the service
/// has it.
enum RowOwner: Hashable, Comparable, Sendable, CustomStringConvertible {
  case service(ResourceName)
  case workload(ResourceName)

  var description: String {
    switch self {
    case .service(let name): "\(name)"
    case .workload(let name): "workload \(name), which publishes it"
    }
  }
}

/// Rows of `services` and `endpoints`, owner by owner, so that a change costs what changed.
struct ServiceTables: Sendable {
  struct Slot: Hashable, Sendable {
    /// Nil: this share is refused.
    var target: SocketEndpoint?
    var workload: UInt32
    /// On another node.
    var needsTunnel = false

    var abi: mesh_endpoint {
      mesh_endpoint(
        address: self.target.map { mesh_addr($0.address) } ?? .none, workload: self.workload,
        port_be: (self.target?.port ?? 0).bigEndian,
        flags: UInt8(
          truncatingIfNeeded: (self.target == nil ? MESH_ENDPOINT_INVALID : 0)
            | (self.needsTunnel ? MESH_ENDPOINT_REMOTE : 0)), zero8: 0)
    }
  }

  struct Table: Sendable {
    var number: UInt32
    var name: String
    var slots: [Slot]
  }

  struct Row: Hashable, Sendable {
    var service: UInt32
    var table: UInt32
    var slots: UInt32
    var mode: UInt8

    var abi: mesh_service {
      mesh_service(
        service: self.service, table: self.table, slots: self.slots, mode: self.mode, zero8: 0, zero16: 0)
    }
  }

  struct PortFamily: Hashable, Sendable {
    var port: UInt16
    var isV4: Bool
  }

  private struct State: Sendable {
    var rows: [ServiceKey: Row] = [:]
    var tables: [PortFamily: Table] = [:]
    /// Services whose endpoints its ports lead to.
    var backends: Set<ResourceName> = []
  }

  private var states: [RowOwner: State] = [:]
  /// Backend → services that lead to it.
  private var dependents = ServiceUses<ResourceName>()
  /// Who has the row, sorted; the first one's is in the map.
  private var claims: [ServiceKey: [RowOwner]] = [:]
  private var contested: Set<ServiceKey> = []
  private(set) var published: [ServiceKey: Row] = [:]
  /// Numbers the tables of a service port one after the other.
  private var sequence: UInt64 = 0

  private let maximumSlots: Int
  private let seed: UInt64

  init(maximumSlots: Int, node: String) {
    self.maximumSlots = maximumSlots
    self.seed = ContentVersion(of: node.utf8).value
  }

  func dependents(of backend: ResourceName) -> Set<ResourceName> { self.dependents[backend] }

  /// Addresses with ports that several claim: the first has them.
  var conflicts: [(key: ServiceKey, owners: [RowOwner])] {
    self.contested.map { ($0, self.claims[$0] ?? []) }.sorted {
      ($0.0.address, $0.0.port) < ($1.0.address, $1.0.port)
    }
  }

  /// Brings the rows of these owners up to date and adds what has to be done to `plan`.
  mutating func update(
    _ owners: Set<RowOwner>, resolved: ResolvedSnapshot, identifiers: inout Identifiers, now: Duration,
    before: inout MapChanges, puts: inout MapChanges, after: inout MapChanges, later: inout MapChanges
  ) {
    var keys: Set<ServiceKey> = []
    for owner in owners {
      let old = self.states[owner] ?? State()
      let built =
        switch owner {
        case .service(let name):
          resolved.snapshot.services[name].map { self.build($0.value, old: old, resolved, &identifiers, now, &before) }
        case .workload(let name): self.publications(of: name, old: old, resolved, &identifiers, now, &before)
        }
      let new = built ?? State()
      for (port, table) in old.tables where new.tables[port]?.number != table.number {
        for slot in table.slots.indices {
          later.endpoints.delete(
            EndpointKey(table: table.number, slot: UInt32(truncatingIfNeeded: slot)).abi)
        }
        identifiers.release(.table, table.name, now: now)
      }
      if case .service(let name) = owner {
        for backend in old.backends.subtracting(new.backends) { self.dependents.remove(name, for: backend) }
        for backend in new.backends.subtracting(old.backends) { self.dependents.insert(name, for: backend) }
        if built == nil { identifiers.release(.service, name.description, now: now) }
      }
      for key in old.rows.keys where new.rows[key] == nil {
        self.claims[key]?.removeAll { $0 == owner }
        if self.claims[key]?.isEmpty == true { self.claims[key] = nil }
        keys.insert(key)
      }
      for (key, row) in new.rows where old.rows[key] != row {
        if old.rows[key] == nil {
          self.claims[key, default: []].append(owner)
          if (self.claims[key]?.count ?? 0) > 1 { self.claims[key]?.sort() }
        }
        keys.insert(key)
      }
      self.states[owner] = built
    }
    self.publish(keys, puts: &puts, after: &after)
  }

  private mutating func publish(_ keys: Set<ServiceKey>, puts: inout MapChanges, after: inout MapChanges) {
    for key in keys {
      if (self.claims[key]?.count ?? 0) > 1 { self.contested.insert(key) } else { self.contested.remove(key) }
      let row = self.claims[key]?.first.flatMap { self.states[$0]?.rows[key] }
      guard row != self.published[key] else { continue }
      self.published[key] = row
      if let row { puts.services.put(key.abi, row.abi) } else { after.services.delete(key.abi) }
    }
  }

  private mutating func build(
    _ entry: ServiceEntry, old: State, _ resolved: ResolvedSnapshot, _ identifiers: inout Identifiers, _ now: Duration,
    _ before: inout MapChanges
  ) -> State {
    var state = State()
    let number = identifiers.take(.service, entry.name.description, now: now)
    for address in entry.addresses {
      state.rows[ServiceKey(address, 0)] = Row(
        service: number, table: 0, slots: 0, mode: UInt8(truncatingIfNeeded: MESH_MODE_ADDRESS.rawValue))
    }
    var seen: Set<UInt16> = [0]
    for port in entry.ports where seen.insert(port.port).inserted {
      state.backends.formUnion(port.backends.map(\.service))
      if port.needsProxy || resolved.leadsAway(port) {
        // Where the proxy answers requests it does so with 503, if nothing is ready; bytes are refused here, unless requests of
        // others are answered: a row is for all clients.
        let ready =
          resolved.reachesProxy(at: port) ? 1 : resolved.shares(of: port, isV4: nil).count { $0.target != nil }
        for address in entry.addresses {
          state.rows[ServiceKey(address, port.port)] = Row(
            service: number, table: 0, slots: UInt32(truncatingIfNeeded: ready),
            mode: UInt8(truncatingIfNeeded: MESH_MODE_PROXY.rawValue))
        }
        continue
      }
      for isV4 in [true, false] {
        let addresses = entry.addresses.filter { $0.isV4 == isV4 }
        guard !addresses.isEmpty else { continue }
        let family = PortFamily(port: port.port, isV4: isV4)
        let table = self.table(
          "\(entry.name)", family, self.wanted(of: port, family, over: old.tables[family], resolved, &identifiers, now),
          old.tables[family], &identifiers, now, &before)
        state.tables[family] = table
        for address in addresses {
          state.rows[ServiceKey(address, port.port)] = Row(
            service: number, table: table?.number ?? 0, slots: UInt32(truncatingIfNeeded: table?.slots.count ?? 0),
            mode: UInt8(truncatingIfNeeded: MESH_MODE_KERNEL.rawValue))
        }
      }
    }
    return state
  }

  /// A row for each place that a container publishes: no service, and no row for the address itself, because everything else
  /// there is the host's. Nil: it publishes nothing.
  private mutating func publications(
    of name: ResourceName, old: State, _ resolved: ResolvedSnapshot, _ identifiers: inout Identifiers,
    _ now: Duration, _ before: inout MapChanges
  ) -> State? {
    guard let local = resolved.locals[name], let entry = resolved.snapshot.workloads[name]?.value,
      !local.publications.isEmpty
    else { return nil }
    var state = State()
    let number = identifiers.take(.workload, name.description, now: now)
    for published in local.publications {
      let family = PortFamily(port: published.port, isV4: published.host.address.isV4)
      guard let address = entry.addresses.first(where: { $0.isV4 == family.isV4 }) else { continue }
      let slot = Slot(target: SocketEndpoint(address, published.port), workload: number)
      let table =
        state.tables[family]
        ?? self.table("published \(name)", family, [(slot, 1)], old.tables[family], &identifiers, now, &before)
      state.tables[family] = table
      state.rows[ServiceKey(published.host.address, published.host.port)] = Row(
        service: 0, table: table?.number ?? 0, slots: 1, mode: UInt8(truncatingIfNeeded: MESH_MODE_KERNEL.rawValue))
    }
    return state
  }

  /// What the slots should hold, and how many of them.
  private func wanted(
    of port: ServicePort, _ family: PortFamily, over old: Table?, _ resolved: ResolvedSnapshot,
    _ identifiers: inout Identifiers, _ now: Duration
  ) -> [(Slot, Int)] {
    let shares = resolved.shares(of: port, isV4: family.isV4)
    let slots = shares.map { share in
      Slot(
        target: share.target,
        workload: share.workload.map { identifiers.take(.workload, $0.description, now: now) } ?? 0,
        needsTunnel: share.needsTunnel)
    }
    let held = old.map { Dictionary($0.slots.lazy.map { ($0, 1) }, uniquingKeysWith: +) }
    let counts = shares.slotCounts(
      maximum: self.maximumSlots, seed: self.seed, held: held.map { held in slots.map { held[$0] ?? 0 } } ?? [])
    return Array(zip(slots, counts))
  }

  /// The table as it is, if it says the right thing; else a new one, in which slots stay whose they are as far as can be: the
  /// service's row leads to all of the old one or all of the new one. Nil: no endpoint is ready.
  private mutating func table(
    _ owner: String, _ family: PortFamily, _ wanted: [(Slot, Int)], _ old: Table?, _ identifiers: inout Identifiers,
    _ now: Duration, _ before: inout MapChanges
  ) -> Table? {
    let slots = Self.arrange(wanted, over: old?.slots ?? [])
    guard !slots.isEmpty else { return nil }
    if let old, old.slots == slots { return old }
    var name: String
    repeat {
      self.sequence &+= 1
      name = "\(owner):\(family.port)/\(family.isV4 ? 4 : 6)#\(self.sequence)"
    } while identifiers.number(.table, name) != nil
    let table = Table(number: identifiers.take(.table, name, now: now), name: name, slots: slots)
    for (slot, content) in slots.enumerated() {
      before.endpoints.put(
        EndpointKey(table: table.number, slot: UInt32(truncatingIfNeeded: slot)).abi, content.abi)
    }
    return table
  }

  /// Slots stay whose they are, as far as their owners are due them; the others fill the gaps. A Maglev table keeps them
  /// without knowing the one before, but it needs a hundred slots for an endpoint: with 251 for a hundred endpoints 3 % of the
  /// others' move when one leaves, and 90 to 10 is not exact. Here none have to but by rounding.
  static func arrange(_ wanted: [(Slot, Int)], over old: [Slot]) -> [Slot] {
    let size = wanted.reduce(0) { $0 + $1.1 }
    guard !old.isEmpty else { return wanted.flatMap { Array<Slot>(repeating: $0, count: $1) } }
    var due: [Slot: Int] = [:]
    for (slot, count) in wanted { due[slot, default: 0] += count }
    var kept: [Slot?] = old.prefix(size).map { slot in
      guard let left = due[slot], left > 0 else { return nil }
      due[slot] = left - 1
      return slot
    }
    kept += Array<Slot?>(repeating: nil, count: size - kept.count)
    var rest = wanted.flatMap { slot, _ in Array(repeating: slot, count: due.removeValue(forKey: slot) ?? 0) }
    rest.reverse()
    return kept.compactMap { $0 ?? rest.popLast() }
  }

  /// Every endpoint row that is in use.
  var endpointKeys: Set<EndpointKey> {
    var keys: Set<EndpointKey> = []
    for state in self.states.values {
      for table in state.tables.values {
        for slot in table.slots.indices {
          keys.insert(EndpointKey(table: table.number, slot: UInt32(truncatingIfNeeded: slot)))
        }
      }
    }
    return keys
  }
}
