import MeshBase
import MeshTelemetry

/// The texts that enrolling a systemd unit writes: a Workload for the control plane, and a drop-in for systemd that makes
/// the unit wait. Pure.
struct UnitEnrolment: Sendable, Hashable {
  struct Port: Sendable, Hashable {
    var name: String
    var number: UInt16
  }

  var unit: String
  var workload: ResourceName
  var node: String
  var serviceAccount: String
  var labels: [String: String]
  var ports: [Port]
  /// The unit's `NetworkNamespacePath=`: it is enrolled by that then.
  var networkNamespace: String?
  /// Of the command line, for the drop-in.
  var executable: String
  var runDirectory: String
  /// Seconds.
  var timeout: UInt32

  /// The first line of what `enroll` writes: only such a file is replaced or removed.
  static func mark(_ unit: String) -> String { "# Written by martlet enroll; martlet unenroll \(unit) removes it.\n" }

  static func resourceFile(_ unit: String) -> String { "enrolled-\(unit).yaml" }
  static func dropInDirectory(_ unit: String) -> String { "\(unit).d" }
  static let dropInFile = "50-martlet.conf"

  /// `app@blue.service` becomes `app-blue`. Nil: nothing is left.
  static func name(of unit: String) -> String? {
    let stem = unit.split(separator: ".").dropLast().joined(separator: ".")
    let text = String(
      decoding: stem.lowercased().utf8.map { byte in
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
          ? byte : UInt8(ascii: "-")
      }, as: UTF8.self)
    let name = text.split(separator: "-").joined(separator: "-").prefix(63)
    return ResourceName.isLabel(name) ? String(name) : nil
  }

  /// `NUMBER` or `NAME=NUMBER`.
  static func port(_ text: String) throws(MeshError) -> Port {
    let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    let name = parts.count == 2 ? String(parts[0]) : "port-\(text)"
    guard let number = parts.last.flatMap({ UInt16(strictDecimal: $0) }), number > 0, !name.isEmpty else {
      throw MeshError(.invalid, "port", "\"\(text)\" is no port", next: "write one like http=8080, or 8080")
    }
    return Port(name: name, number: number)
  }

  var manifest: String {
    var labels = self.labels
    if labels["app"] == nil { labels["app"] = self.workload.name }
    var text =
      Self.mark(self.unit) + """
        apiVersion: martlet.dev/v1alpha1
        kind: Workload
        metadata:
          name: \(self.workload.name)
          namespace: \(self.workload.namespace)
          labels:

        """
    for (key, value) in labels.sorted(by: { $0.key < $1.key }) {
      text += "    \(Self.quoted(key)): \(Self.quoted(value))\n"
    }
    text += "spec:\n  node: \(Self.quoted(self.node))\n  serviceAccount: \(Self.quoted(self.serviceAccount))\n"
    if let path = self.networkNamespace {
      text += "  networkNamespace: \(Self.quoted(path))\n"
    } else {
      text += "  systemdUnit: \(Self.quoted(self.unit))\n"
    }
    if self.ports.isEmpty {
      text += self.networkNamespace == nil ? "  ports: []\n" : ""
    } else {
      text += "  ports:\n"
      for port in self.ports { text += "    - {name: \(Self.quoted(port.name)), port: \(port.number)}\n" }
    }
    return text
  }

  /// A condition, because all conditions come before every `ExecStartPre=` of the unit's own, and `+`, because the agent
  /// talks to root alone, whoever the unit runs as.
  var dropIn: String {
    var command = [self.executable, "wait", "--condition", "--timeout", "\(self.timeout)"]
    if self.runDirectory != "/run/martlet" { command += ["--run-dir", self.runDirectory] }
    let words = command.map(Self.systemdWord) + self.subject
    return Self.mark(self.unit) + """
      # The unit starts when the mesh has enrolled it, or fails to start.
      [Unit]
      Wants=martlet-workloads.target
      After=martlet-workloads.target

      [Service]
      ExecCondition=+\(words.joined(separator: " "))

      """
  }

  private var subject: [String] {
    if let path = self.networkNamespace { return ["--netns", Self.systemdWord(path)] }
    return ["%n"]
  }

  /// A JSON string is a YAML string.
  private static func quoted(_ text: String) -> String {
    (try? ReportCoding.encode(text)).map { String(decoding: $0, as: UTF8.self) } ?? "\"\""
  }

  /// One word of a command line of systemd.service(5): `%` and `$` are doubled, and quotes hold the rest together.
  static func systemdWord(_ text: String) -> String {
    let escaped = text.utf8.allSatisfy { byte in
      byte > 32 && byte != 127 && !"\"'\\;".utf8.contains(byte)
    }
    let doubled = text.replacing("%", with: "%%").replacing("$", with: "$$")
    if escaped { return doubled }
    return "\"" + doubled.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
  }
}
