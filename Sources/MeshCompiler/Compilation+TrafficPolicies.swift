import MeshBase
import MeshSnapshot

/// What TrafficPolicies say.
struct TrafficRules {
  /// Of service ports.
  var settings: [PortKey: TrafficSettings] = [:]
  /// Of workloads without a check of their own, by their place in `workloads`.
  var checks: [Int: ReadinessCheck] = [:]
}

extension Compilation {
  private struct Target: Hashable {
    var service: ResourceName
    var portName: String?
  }

  /// Of two policies for one target the first holds, by age, then by name. One for a port goes before one for all ports of the
  /// Service, and nothing of the two is joined.
  mutating func compileTrafficPolicies() -> TrafficRules {
    var owners: [Target: Int] = [:]
    var ofServices: [PortKey: Int] = [:]
    var ofPorts: [PortKey: Int] = [:]
    for (number, policy) in self.trafficPolicies.enumerated() {
      var status = RouteStatus(policy.claim.resource.key, parents: policy.spec.targets)
      for (index, target) in policy.spec.targets.enumerated() {
        switch self.namedPorts(of: target) {
        case .failure(var refusal):
          refusal.reason = .targetNotFound
          self.refuse(refusal, at: target.position, policy.claim, &status.parents[index])
        case .success(let ports):
          let place = Target(service: target.service, portName: target.portName)
          if let owner = owners[place] {
            let port = target.portName.map { " port \($0)" } ?? ""
            let refusal = RouteRefusal(
              .conflicted,
              "Service \(target.service)\(port) has TrafficPolicy \(self.trafficPolicies[owner].name.name), which goes first",
              next: "join the two, or name a port of its own in each")
            self.refuse(refusal, at: target.position, policy.claim, &status.parents[index])
            continue
          }
          owners[place] = number
          status.parents[index].isAccepted = true
          for port in ports {
            let key = PortKey(service: target.service, port: port.port)
            if target.portName == nil { ofServices[key] = number } else { ofPorts[key] = number }
          }
        }
      }
      self.routeStatuses.append(status)
    }
    let chosen = ofServices.merging(ofPorts) { _, port in port }
    return TrafficRules(
      settings: chosen.mapValues { self.trafficPolicies[$0].spec.settings }, checks: self.checks(chosen))
  }

  /// A workload of several Services is checked by the first policy; of the ports of one policy at one Service by the lowest.
  private mutating func checks(_ policies: [PortKey: Int]) -> [Int: ReadinessCheck] {
    var result: [Int: (check: ReadinessCheck, policy: Int, service: ResourceName)] = [:]
    var told: Set<PortKey> = []
    let sorted = policies.sorted {
      ($0.value, $0.key.service, $0.key.port) < ($1.value, $1.key.service, $1.key.port)
    }
    for (key, number) in sorted {
      let policy = self.trafficPolicies[number]
      guard let check = policy.spec.healthCheck else { continue }
      for (workload, port) in self.served(key, by: policy, &told) {
        var check = check
        check.port = port
        if self.workloads[workload].spec.readiness != nil { continue }
        if let other = result[workload] {
          if other.check == check || other.policy == number && other.service == key.service { continue }
          self.report(
            policy.claim, at: policy.spec.healthCheckPosition, severity: .warning,
            "Workload \(self.workloads[workload].name) is checked by TrafficPolicy \(self.trafficPolicies[other.policy].name) for Service \(other.service) already",
            next: "write spec.readiness at the Workload, or one healthCheck")
        } else if let problem = self.problem(ofChecking: workload, at: port) {
          self.report(
            policy.claim, at: policy.spec.healthCheckPosition, severity: .warning, problem.message, next: problem.next)
        } else {
          result[workload] = (check, number, key.service)
        }
      }
    }
    return result.mapValues(\.check)
  }

  private func problem(ofChecking index: Int, at port: UInt16) -> (message: String, next: String)? {
    let workload = self.workloads[index]
    if workload.spec.location == .none {
      return (
        "Workload \(workload.name) is known by its addresses only, so that no node checks it",
        "set networkNamespace, systemdUnit, cgroup or container there"
      )
    }
    if workload.spec.location.isInHost, !workload.spec.ports.values.contains(port) {
      return (
        "Workload \(workload.name) does not list port \(port), so that it is not checked", "add it to its spec.ports"
      )
    }
    return nil
  }

  /// The workloads behind a service port, and where each serves it.
  private mutating func served(
    _ key: PortKey, by policy: Placed<TrafficPolicySpec>, _ told: inout Set<PortKey>
  ) -> [(workload: Int, port: UInt16)] {
    guard let index = self.serviceIndex[key.service],
      let port = self.services[index].spec.ports.first(where: { $0.port == key.port })
    else { return [] }
    if let selector = self.services[index].spec.selector {
      return self.select(selector, namespace: key.service.namespace).compactMap { workload in
        switch port.target {
        case .number(let number): (workload, number)
        case .name(let name): self.workloads[workload].spec.ports[name].map { (workload, $0) }
        }
      }
    }
    var result: [(workload: Int, port: UInt16)] = []
    for slice in self.slices
    where slice.name.namespace == key.service.namespace && slice.spec.service == key.service.name {
      guard let number = slice.spec.ports.first(where: { $0.name == port.name })?.port else { continue }
      for endpoint in slice.spec.endpoints {
        if let name = endpoint.workload {
          if let workload = self.workloadIndex(name) { result.append((workload, number)) }
        } else if told.insert(key).inserted {
          self.report(
            policy.claim, at: policy.spec.healthCheckPosition, severity: .warning,
            "endpoints of Service \(key.service) outside of the mesh are on no node, so that nobody checks them",
            next: "use outlierDetection, which goes by what calls find")
        }
      }
    }
    return result
  }

  /// What the kernel decides knows weights, and who is ready.
  mutating func warnOfKernelPorts() {
    var told: Set<ResourceName> = []
    for (_, service) in self.snapshot.services.sorted(by: { $0.key < $1.key }) {
      for port in service.value.ports where !port.needsProxy {
        guard let traffic = port.traffic, traffic != TrafficSettings(origin: traffic.origin),
          let policy = self.trafficPolicies.first(where: { $0.name == traffic.origin }),
          told.insert(service.value.name).inserted
        else { continue }
        self.report(
          policy.claim, severity: .warning,
          "Service \(service.value.name) port \(port.port) is decided in the kernel, by weight: only healthCheck holds there",
          next: "set appProtocol to http, http2 or grpc if that is what it speaks")
      }
    }
  }
}
