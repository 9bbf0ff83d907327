import MeshBase

/// Which state of the control plane a response belongs to. The epoch grows with each start of the control plane, the
/// revision with each change within it. Printed `epoch.revision`.
package struct SystemVersion: Hashable, Sendable, Comparable, LosslessStringConvertible {
  package var epoch: UInt64
  package var revision: UInt64

  package init(epoch: UInt64, revision: UInt64) {
    self.epoch = epoch
    self.revision = revision
  }

  package init?(_ text: some StringProtocol) {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 2, let epoch = UInt64(strictDecimal: parts[0]), let revision = UInt64(strictDecimal: parts[1])
    else { return nil }
    self.init(epoch: epoch, revision: revision)
  }

  package var description: String { "\(self.epoch).\(self.revision)" }

  package static func < (a: SystemVersion, b: SystemVersion) -> Bool {
    (a.epoch, a.revision) < (b.epoch, b.revision)
  }
}
