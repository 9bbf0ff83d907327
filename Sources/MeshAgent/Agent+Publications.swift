import Logging
import MeshBase
import MeshContainers
import MeshDatapath
import MeshLinux
import MeshSnapshot

/// Ports of the host that lead to enrolled containers. A call to one is translated where it is made, so that it arrives as what
/// it is: behind an address translation nobody would know who calls.
extension Agent {
  /// True if what the tables are made of changed. Looks only when something may have: the engine told of its containers, a
  /// workload came, the host's interfaces or addresses changed.
  func followPublications() -> Bool {
    guard self.publicationsAreStale else { return false }
    self.publicationsAreStale = false
    var hostAddresses: [IPAddress]?
    var changed = false
    for (name, workload) in self.enrolled where !workload.isInHost {
      let published = self.published(by: name)
      if !published.isEmpty, hostAddresses == nil {
        do throws(MeshError) {
          hostAddresses = try self.host.addresses()
          self.report("addresses of the host cannot be listed", nil)
        } catch {
          self.publicationsAreStale = true
          self.report("addresses of the host cannot be listed", error)
          return changed
        }
      }
      let publications = Publications(published, hostAddresses: hostAddresses ?? [])
      self.publicationProblems[name] = publications.problem.map {
        MeshError(.invalid, "workload \(name)", $0, next: "publish other ports")
      }
      guard publications.ports != workload.local.publications else { continue }
      self.enrolled[name]?.local.publications = publications.ports
      changed = true
    }
    for name in self.publicationProblems.keys where self.enrolled[name] == nil { self.publicationProblems[name] = nil }
    return changed
  }

  private func published(by name: ResourceName) -> [ContainerPublication] {
    guard case .container = self.locations[name] else { return [] }
    return self.chosenContainers[name.description].flatMap { self.containers.containers[$0]?.publications } ?? []
  }
}
