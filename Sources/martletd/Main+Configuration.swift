import ArgumentParser
import Glibc
import MeshAgent
import MeshArguments
import MeshBase
import MeshTelemetry

extension Main {
  /// Of what the options say. Throws what is wrong with the first of them.
  func agentConfiguration() throws -> AgentConfiguration {
    guard ResourceName.isSubdomain(self.node) else {
      throw ValidationError("--node \(self.node) is no name of a host: lower case letters, digits, - and .")
    }
    guard (0...1024).contains(self.proxyLoops) else { throw ValidationError("--proxy-loops is 0 to 1024") }
    guard (0...86_400).contains(self.drainTimeout) else {
      throw ValidationError("--drain-timeout is 0 to 86400 seconds")
    }
    guard !self.proxyUser.isEmpty else { throw ValidationError("--proxy-user is empty; give a name or a number") }
    var configuration = AgentConfiguration(node: self.node)
    if let control = self.controlPlane.control {
      guard control.hasPrefix("unix:") else {
        throw ValidationError("--control \(control) is not unix:PATH, as in unix:/run/martlet/control.sock")
      }
      configuration.controlSocket = try Self.path(String(control.dropFirst("unix:".count)), "--control")
    }
    if let address = self.controlPlane.controlPlane {
      configuration.controlPlane = try Self.endpoint(address, "--control-plane")
    }
    if let file = self.controlPlane.joinTokenFile {
      guard self.controlPlane.controlPlane != nil else {
        throw ValidationError("--join-token-file is for --control-plane: the Unix socket of this host needs no token")
      }
      configuration.joinTokenFile = try Self.path(file, "--join-token-file")
    }
    configuration.nodeAddresses = try self.controlPlane.nodeAddress.map { text in
      guard let address = IPAddress(text), !address.isUnspecified, !address.isLoopback, !address.isMulticast else {
        throw ValidationError("--node-address \(text) is no address that another host could reach")
      }
      return address
    }
    configuration.opensTunnels = configuration.controlPlane != nil || !configuration.nodeAddresses.isEmpty
    configuration.podmanSocket = try Self.path(self.podmanSocket, "--podman-socket")
    configuration.cgroupRoot = try self.cgroupRoot.map { try Self.path($0, "--cgroup-root") }
    configuration.serviceCgroup = try self.serviceCgroup.map { try Self.path($0, "--service-cgroup") }
    configuration.pinDirectory = try Self.path(self.pinDir, "--pin-dir")
    configuration.runDirectory = try Self.path(self.runDir, "--run-dir")
    configuration.stateDirectory = try Self.path(self.stateDir, "--state-dir")
    configuration.objectDirectory = try Self.path(self.bpfDir, "--bpf-dir")
    configuration.usesEdgeFilters = self.edgeFilters
    for limit in self.mapLimit { try configuration.setMapLimit(limit) }
    configuration.proxyExecutable = try Self.path(self.proxy, "--proxy")
    configuration.proxyUser = self.proxyUser
    configuration.answersHost = self.hostNames
    configuration.resolverFile = try Self.path(self.resolvConf, "--resolv-conf")
    configuration.proxyLoops = self.proxyLoops
    configuration.proxyParsesHTTP = !self.relaysHTTP
    configuration.proxyRequestOptions = self.requests.words
    if case .file(let path)? = self.requests.log?.target { configuration.accessLog = path }
    configuration.drainSeconds = self.drainTimeout
    if let spoken = self.linkProtocol { configuration.linkProtocol = spoken }
    configuration.metricsAddress = try Self.endpoint(self.metricsAddress, "--metrics-address")
    configuration.healthAddress = try Self.endpoint(self.healthAddress, "--health-address")
    return configuration
  }

  /// Of this process's directory now: the proxy is started in another one.
  private static func path(_ text: String, _ option: String) throws -> String {
    guard !text.isEmpty else { throw ValidationError("\(option) is empty; give a path") }
    if text.hasPrefix("/") { return text }
    guard let here = getcwd(nil, 0) else {
      throw ValidationError("\(option) \(text) is relative, and the current directory is gone; give a full path")
    }
    defer { free(here) }
    return AbsolutePath.of(text, in: String(cString: here))
  }

  private static func endpoint(_ text: String, _ option: String) throws -> SocketEndpoint {
    guard let endpoint = SocketEndpoint(text) else {
      throw ValidationError("\(option) \(text) is not ADDRESS:PORT, as in 0.0.0.0:15020")
    }
    return endpoint
  }
}
