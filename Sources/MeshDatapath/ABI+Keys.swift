package import CMeshABI
package import MeshBase

// Keys of maps as Swift values, where tables and tests need them hashable. The C structs themselves get no conformance:
// two targets that each added one would collide.

/// Key of `services`. Port 0 is the address itself.
package struct ServiceKey: Hashable, Sendable {
  package var address: IPAddress
  package var port: UInt16

  package init(_ address: IPAddress, _ port: UInt16) {
    self.address = address
    self.port = port
  }

  package init(_ key: mesh_service_key) {
    self.init(IPAddress(key.address), UInt16(bigEndian: key.port_be))
  }

  package var abi: mesh_service_key { mesh_service_key(self.address, port: self.port) }
}

/// Key of `endpoints`.
package struct EndpointKey: Hashable, Sendable {
  package var table: UInt32
  package var slot: UInt32

  package init(table: UInt32, slot: UInt32) {
    self.table = table
    self.slot = slot
  }

  package init(_ key: mesh_endpoint_key) { self.init(table: key.table, slot: key.slot) }

  package var abi: mesh_endpoint_key { mesh_endpoint_key(table: self.table, slot: self.slot) }
}

/// Key of `guards`.
package struct GuardKey: Hashable, Sendable {
  package var generation: UInt32
  package var workload: UInt32

  package init(generation: UInt32, workload: UInt32) {
    self.generation = generation
    self.workload = workload
  }

  package init(_ key: mesh_guard_key) { self.init(generation: key.generation, workload: key.workload) }

  package var abi: mesh_guard_key { mesh_guard_key(generation: self.generation, workload: self.workload) }
}

/// Key of `classes`.
package struct ClassKey: Hashable, Sendable {
  package var generation: UInt32
  package var workload: UInt32
  /// 4 or 6.
  package var family: UInt32

  package init(generation: UInt32, workload: UInt32, family: UInt32) {
    self.generation = generation
    self.workload = workload
    self.family = family
  }

  package init(_ key: mesh_class_key) {
    self.init(generation: key.generation, workload: key.workload, family: key.family)
  }

  package var abi: mesh_class_key {
    mesh_class_key(generation: self.generation, workload: self.workload, family: self.family, zero32: 0)
  }
}

/// Key of `networks`.
package struct NetworkKey: Hashable, Sendable {
  package var generation: UInt32
  /// 32 more than the bits of the address.
  package var prefixLength: UInt32
  package var address: IPAddress

  package init(_ key: mesh_network_key) {
    self.generation = key.generation
    self.prefixLength = key.prefixlen
    self.address = IPAddress(key.address)
  }

  package init(generation: UInt32, _ block: IPPrefix) { self.init(mesh_network_key(generation: generation, block)) }

  package var abi: mesh_network_key {
    mesh_network_key(
      prefixlen: self.prefixLength, generation: self.generation, address: mesh_addr(self.address))
  }
}

/// Key of `policy`.
package struct PolicyKey: Hashable, Sendable {
  package var generation: UInt32
  package var group: UInt32
  /// `MESH_CLASS_ANY`: any.
  package var sourceClass: UInt32
  /// 0: any.
  package var port: UInt16

  package static let anyClass: UInt32 = 0xffff_ffff

  package init(generation: UInt32, group: UInt32, sourceClass: UInt32, port: UInt16) {
    self.generation = generation
    self.group = group
    self.sourceClass = sourceClass
    self.port = port
  }

  package init(_ key: mesh_policy_key) {
    self.init(
      generation: key.generation, group: key.group, sourceClass: key.source_class,
      port: UInt16(bigEndian: key.port_be))
  }

  package var abi: mesh_policy_key {
    mesh_policy_key(
      generation: self.generation, group: self.group, source_class: self.sourceClass, port_be: self.port.bigEndian,
      zero16: 0)
  }
}
