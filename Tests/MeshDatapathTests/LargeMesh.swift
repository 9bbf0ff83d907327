import MeshBase
import MeshDatapath
import MeshSnapshot

/// Many services of a few workloads each, two of the workloads enrolled here.
enum LargeMesh {
  static var identity: SPIFFEID {
    guard let id = SPIFFEID(trustDomain: "mesh.local", namespace: "n", serviceAccount: "a") else {
      preconditionFailure("a constant")
    }
    return id
  }

  static func make(services: Int, workloadsPerService: Int) -> (Snapshot, [LocalWorkload]) {
    var snapshot = Snapshot()
    var version: UInt64 = 0
    func insert(_ entry: Entry) {
      version += 1
      snapshot.insert(VersionedEntry(entry, version: ContentVersion(value: version)))
    }
    insert(.config(ConfigEntry(trustDomain: "mesh.local")))
    var number: UInt32 = 0x0a00_0000
    for service in 0..<services {
      let title = name("s\(service)")
      var endpoints: [Endpoint] = []
      for index in 0..<workloadsPerService {
        number += 1
        let workload = name("w\(service)-\(index)")
        insert(
          .workload(
            WorkloadEntry(
              name: workload, node: service == 0 && index < 2 ? RandomMesh.node : "far", identity: self.identity,
              addresses: [IPAddress(v4: number)])))
        endpoints.append(Endpoint(workload: workload, ports: [PortMapping(servicePort: 80, targetPort: 8080)]))
      }
      insert(
        .service(
          ServiceEntry(
            name: title, addresses: [IPAddress(v4: 0xf000_0000 + UInt32(service))],
            ports: [ServicePort(port: 80, backends: [Backend(service: title, port: 80)])])))
      insert(.endpoints(EndpointsEntry(service: title, endpoints: endpoints)))
    }
    let locals = (0..<2).map { index in
      LocalWorkload(
        name: name("w0-\(index)"), netnsCookie: UInt64(index + 1),
        addresses: [IPAddress(v4: 0x0a00_0001 + UInt32(index))], interfaces: [UInt32(index + 10)])
    }
    return (snapshot, locals)
  }
}
