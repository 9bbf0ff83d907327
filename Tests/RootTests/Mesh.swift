import MeshBase
import MeshLinux
import MeshTestSupport

/// A whole mesh on one node of a World: control plane, agent, proxy, and a directory of resources. The binaries are those
/// of the build that the test belongs to.
final class Mesh {
  let world: World
  let node: WorldNode
  let resources: String
  /// Changed before the start by those who want others.
  var runDirectory: String
  var stateDirectory: String
  var pinDirectory: String
  /// More options of the agent.
  var agentOptions: [String] = []
  /// Off, because most tests speak bytes of their own to ports that the proxy relays.
  var parsesHTTP = false
  /// More options of the control plane.
  var controlOptions: [String] = []
  /// Words before the proxy's own.
  var proxyWrapper: [String] = []
  private(set) var control: WorldProcess?
  private(set) var agent: WorldProcess?

  static let root = String(#filePath.dropLast("/Tests/RootTests/Mesh.swift".count))
  static let binaries = root + "/.build/debug"

  /// - part: of the World's directory, where there is another mesh in it.
  init(_ world: World, node: WorldNode, part: String? = nil) throws {
    self.world = world
    self.node = node
    let directory = part.map { world.directory + "/" + $0 } ?? world.directory
    if part != nil { try DiskFile.makeDirectory(directory, mode: 0o755) }
    self.resources = directory + "/resources"
    self.runDirectory = directory + "/run"
    self.stateDirectory = directory + "/state"
    self.pinDirectory = part.map { world.pinDirectory + "/" + $0 } ?? world.pinDirectory
    try DiskFile.makeDirectory(self.resources, mode: 0o755)
    try DiskFile.makeDirectory(self.runDirectory, mode: 0o755)
    try DiskFile.makeDirectory(self.stateDirectory, mode: 0o700)
    try World.ensureBPFFS()
  }

  /// Replaces a file of resources as an editor does: written beside, then renamed.
  func apply(_ yaml: String, file: String = "mesh.yaml") throws {
    let path = self.resources + "/" + file
    try DiskFile.write(Array(yaml.utf8), to: self.resources + "/." + file, mode: 0o644)
    try DiskFile.rename(self.resources + "/." + file, to: path)
  }

  func startControl(wrapper: [String] = []) throws {
    self.control = try self.launchControl(wrapper: wrapper)
  }

  func launchControl(wrapper: [String] = []) throws -> WorldProcess {
    try self.node.start(
      wrapper + [
        Self.binaries + "/martlet-control", "--resources", self.resources, "--socket", self.controlSocket,
        "--state-dir",
        self.stateDirectory + "/control",
      ] + self.controlOptions)
  }

  func startAgent(wrapper: [String] = []) throws {
    self.agent = try self.launchAgent(wrapper: wrapper)
  }

  /// A script, if other words come first: what is given to the agent is one program.
  private func proxyProgram() throws -> String {
    let program = Self.binaries + "/martlet-proxy"
    guard !self.proxyWrapper.isEmpty else { return program }
    let words = (self.proxyWrapper + [program]).map { "'\($0.replacing("'", with: "'\\''"))'" }
    let script = self.runDirectory + "/proxy.sh"
    try DiskFile.write(Array("#!/bin/sh\nexec \(words.joined(separator: " ")) \"$@\"\n".utf8), to: script, mode: 0o755)
    return script
  }

  /// One of several that were launched is the mesh's.
  func take(_ agent: WorldProcess) { self.agent = agent }

  /// Another one beside the first. `wrapper`: words before its own, as `prlimit`.
  func launchAgent(wrapper: [String] = []) throws -> WorldProcess {
    try self.node.start(
      wrapper + [
        Self.binaries + "/martletd", "--node", self.node.name, "--control", "unix:" + self.controlSocket,
        "--state-dir", self.stateDirectory + "/agent", "--bpf-dir", Self.root + "/.build/bpf", "--proxy",
        try self.proxyProgram(), "--proxy-user", "nobody", "--health-address", "127.0.0.1:15021",
        "--metrics-address", "127.0.0.1:15020", "--log-level", "debug",
      ] + self.instance + (self.parsesHTTP ? [] : ["--no-http"]) + self.agentOptions)
  }

  var instance: [String] {
    [
      "--cgroup-root", self.node.cgroup.path, "--pin-dir", self.pinDirectory, "--run-dir", self.runDirectory,
    ]
  }

  var controlSocket: String { self.runDirectory + "/control.sock" }

  func start(wrapper: [String] = []) throws {
    try self.startControl(wrapper: wrapper)
    try self.startAgent(wrapper: wrapper)
    try self.waitUntilReady()
  }

  func waitUntilReady(within timeout: Duration = .seconds(20)) throws {
    let ready = try eventually(within: timeout) { try self.health("/readyz") }
    guard ready else {
      throw MeshError(
        .unavailable, "agent", "did not become ready",
        cause:
          "\(try self.http("http://127.0.0.1:15021/readyz"))\nagent: \(self.agent?.stderr ?? "-")\ncontrol: \(self.control?.stderr ?? "-")"
      )
    }
  }

  func health(_ path: String) throws -> Bool {
    try self.node.run(["curl", "-sf", "-m", "2", "http://127.0.0.1:15021" + path]).isSuccess
  }

  func http(_ url: String) throws -> String { try self.node.run(["curl", "-s", "-m", "5", url]).stdout }

  /// The command line, against this instance.
  func martlet(_ arguments: [String]) throws -> Finished {
    try self.node.run([Self.binaries + "/martlet"] + arguments + ["--run-dir", self.runDirectory])
  }

  func metrics() throws -> String { try self.http("http://127.0.0.1:15020/metrics") }

  func killAgent() throws { try self.agent?.kill() }
  func killControl() throws { try self.control?.kill() }

  /// The proxy's pid, as the agent's cgroup has it.
  func proxies() throws -> [Int32] {
    try Cgroup.open(path: self.node.cgroup.path + "/proxy").processes()
  }
}

/// Resources of the tests: a namespace `demo` on node `a`.
enum Manifest {
  static func workload(
    _ name: String, _ pod: WorldPod, labels: String? = nil, network: String? = nil
  ) -> String {
    """
    ---
    apiVersion: martlet.dev/v1alpha1
    kind: Workload
    metadata: {name: \(name), namespace: demo, labels: {\(labels ?? "app: \(name)")}}
    spec: {node: \(pod.node.name), serviceAccount: \(name), networkNamespace: \(pod.namespacePath)\(network.map { ", network: \($0)" } ?? "")}

    """
  }

  /// Port 80 in the kernel, port 8080 through the proxy; both lead to `target`.
  static func service(_ name: String, ip: String, target: UInt16 = 9000) -> String {
    """
    ---
    apiVersion: v1
    kind: Service
    metadata: {name: \(name), namespace: demo}
    spec:
      selector: {app: \(name)}
      clusterIP: \(ip)
      ports:
        - {name: plain, port: 80, targetPort: \(target)}
        - {name: relayed, port: 8080, targetPort: \(target), appProtocol: http}

    """
  }

  static func allow(_ caller: String, to app: String) -> String {
    """
    ---
    apiVersion: security.istio.io/v1
    kind: AuthorizationPolicy
    metadata: {name: \(app)-callers, namespace: demo}
    spec:
      selector: {matchLabels: {app: \(app)}}
      action: ALLOW
      rules:
        - from: [{source: {principals: ["cluster.local/ns/demo/sa/\(caller)"]}}]

    """
  }

  static func allowBlocks(_ block: String, to app: String) -> String {
    """
    ---
    apiVersion: security.istio.io/v1
    kind: AuthorizationPolicy
    metadata: {name: \(app)-blocks, namespace: demo}
    spec:
      selector: {matchLabels: {app: \(app)}}
      action: ALLOW
      rules:
        - from: [{source: {ipBlocks: ["\(block)"]}}]

    """
  }
}
