import CMeshABI
package import Logging
import MeshBPF
import MeshBase
import MeshContainers
import MeshDatapath
import MeshLink
package import MeshLinux
import MeshPolicy
import MeshProto
import MeshRouting
import MeshSnapshot
import MeshSync
import MeshTelemetry

/// The agent of one host: holds the snapshot, the enrolled workloads and the kernel's tables together. Every change comes
/// here as a message: entries from the control plane, namespaces that come and go, words of the proxy.
///
/// Reading order: this file (state), `Agent+Session`, `Agent+Enrolment`, `Agent+Scan`, `Agent+Enrol`, `Agent+Host`, `Agent+Containers`,
/// `Agent+Publications`, `Agent+Interfaces`, `Agent+Names`, `Agent+Guard`, `Agent+Flows`, `Agent+Canary`, `Agent+Listeners`, `Agent+Readiness`,
/// `Agent+Status`, `Agent+Tables`, `Agent+Memory`, `Agent+Proxy`, `Agent+Upgrade`, `Agent+Service`, `Agent+Reports`.
package actor Agent {
  let configuration: AgentConfiguration
  let logger: Logger
  let kernel: KernelDatapath
  let driver: MapDriver
  let cgroups: AgentCgroups
  let supervisor: ProxySupervisor
  let host: NetworkNamespace
  let names: NameBoard
  package nonisolated let flows: FlowFeed
  let started = MonotonicClock.nanoseconds
  let disk: SnapshotDisk
  nonisolated let service: ServiceSupervisor
  var store = ListenerStore()
  let runDirectory: RunDirectory

  /// Set once, before anything runs.
  var link: ProxyLinkServer?
  /// Set once, with the session.
  var certificates: CertificateKeeper?
  let nodeIdentity: NodeIdentity?
  /// What `certificates` was told.
  var wantedIdentities: Set<SPIFFEID> = []
  var toldConfig: ContentVersion?
  var sessionStatus: @Sendable () -> ControlPlaneStatus = { ControlPlaneStatus(state: .unused) }

  var planner: DatapathPlanner
  /// As distributed. Grows batch by batch on a first connect; nothing is published before it is whole.
  var snapshot = Snapshot() { didSet { self.rest.changed() } }
  var snapshotVersion = SystemVersion(epoch: 0, revision: 0)
  var snapshotSource = "none"
  /// A whole snapshot was there once: from then on tables follow every batch.
  var isComplete = false
  var lastHeard: UInt64 = 0
  /// When the first batch came that the tables do not have yet. 0: they have all.
  var firstHeard: UInt64 = 0
  /// A snapshot of a session was in force once.
  var wasInForce = false
  /// Where this node's workloads are, as the snapshot has it: looked at many times a second.
  var locations: [ResourceName: WorkloadLocation] = [:] { didSet { self.rest.changed() } }
  /// Where units were found, and when the others are searched for next.
  var unitPaths: [String: String] = [:] { didSet { self.rest.changed() } }
  var nextUnitSearch: Int64 = 0
  var readiness = Readiness()
  var rejected: UInt64 = 0
  var revision: UInt64 = 0
  /// The planner has seen every change: the next one alone is enough for it.
  var tablesFollow = false
  var foreignersAreGone = false
  /// What was published is what the planner's last plan led from: its delta alone is enough for the proxy.
  var linkFollows = false
  var saveIsScheduled = false
  var planIsScheduled = false
  var cutsRunning = false
  var cutsWanted = false

  var enrolled: [ResourceName: EnrolledWorkload] = [:] { didSet { self.rest.changed() } }
  /// What a scan does not do again while nothing of the above changes.
  var rest = RestBoard()
  /// What is known of the containers of this host, their first processes, which one each workload is, and what is noted for the next agent.
  var containers = ContainerBoard()
  var containerProcesses: [String: ProcessHandle] = [:]
  var chosenContainers: [String: String] = [:]
  var savedContainers = ContainerNotes()
  /// Ports of the host that lead to containers may be others than the tables say, and what is wrong with some.
  var publicationsAreStale = true
  var publicationProblems: [ResourceName: MeshError] = [:]
  /// In the host's own namespace, shared by all workloads there.
  var hostListeners: [RelayListener] = []
  var adoptedListeners: [ListenerAdoption.Key: RelayListener] = [:]
  /// All relay listeners, asked at once, and whose each is.
  var listenerPoll: ListenerPoll?
  var polledOwners: [ResourceName] = []
  /// Of workloads that resolve names of the mesh.
  var naming: Naming
  var enrolmentProblems: [ResourceName: MeshError] = [:] { didSet { self.rest.changed() } }
  /// Not before then, unless the namespace is another.
  var retryEnrolment: [ResourceName: (id: FileID, next: Int64)] = [:]
  var planProblems: [MeshError] = []
  /// By what failed; cleared when it works again.
  var failures: [String: MeshError] = [:]
  /// Those whose turn has not come yet, and those of which the kernel said something.
  var addressRefresh: [ResourceName] = []
  var refreshWanted: Set<ResourceName> = []
  var nextRefreshRound: Int64 = 0
  let interfaceWatch: InterfaceWatch?
  nonisolated let hostWatch: HostWatch
  let hostSockets = HostSockets()
  /// Where workloads are looked for that are not there.
  var awaited: [ResourceName: String] = [:]
  var watchesDirectories = false
  nonisolated let containerBell = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
  /// Rows did not fit into their maps: the next plan begins with what is there.
  var tablesAreShort = false
  /// Of services that do not fit.
  var refusedAddresses: Set<IPAddress> = []
  /// Rows that found their map full, by map.
  var mapInsertErrors: [String: UInt64] = [:]
  var mapFill = MapFill()
  /// As of the last count of each map.
  var mapCounts: [String: MapStatus] = [:]
  var nextMapFill: Int64 = 0
  var measuredRevision: UInt64 = .max
  /// When attachments are looked at next, what was wrong the last time, and how many were put back.
  var nextGuard: Int64 = 0
  var lastGuard: Int64 = 0
  var knownFaults: Set<AttachmentFault> = []
  var guardedHalf = KernelDatapath.Half.even
  var attachmentsRepaired: UInt64 = 0
  var flowSweep = FlowSweep(now: MonotonicClock.milliseconds)
  /// Could not be put back at the last look.
  var unmended: Set<AttachmentFault.Place> = []
  /// One for each workload that is attached, what is wrong with them, and how often what happened.
  var canaries: [ResourceName: CanaryWatch] = [:]
  var canaryProblems: [ResourceName: MeshError] = [:] { didSet { self.rest.changed() } }
  var proof = ProofCounters()
  var listenerAlarms: [ResourceName: ListenerAlarm] = [:]
  /// How often ours was moved behind another program, one time after the other.
  var reorders = 0

  var proxy = ProxyStatus(state: .starting)
  var proxyStats = ProxyStats()
  /// Of its name server.
  var nameStats: [NamedCount] = []
  var bills = WorkloadBills()
  /// Of the proxy that serves, of endpoints of which it has something to say.
  var endpointStates: [EndpointKey: EndpointState] = [:]
  /// Since this agent started, of every proxy.
  var requests = RequestTotals()
  /// Proxies that were there before this agent, until it serves.
  var foundProxies: FoundProxies?
  var handOver = ListenerHandOver()
  var proxyWasCompared = false
  var edges = EdgeLedger()
  /// Open connections are not looked at before then.
  var nextOpenBytes: UInt64 = 0
  let reader: RingBufferReader

  /// Programs, maps and links take about a hundred, a workload five, each of its stocks of upstream sockets up to 256.
  private static let leastDescriptors: UInt64 = 512

  /// Loads or adopts the programs, and restores what the disk has. Throws if the host cannot do what it takes.
  package init(_ configuration: AgentConfiguration, service: ServiceSupervisor, logger: Logger) throws {
    self.configuration = configuration
    self.logger = logger
    self.flows = FlowFeed()
    self.names = NameBoard()
    self.disk = SnapshotDisk(path: configuration.snapshotPath)
    self.service = service
    self.runDirectory = try RunDirectory(path: configuration.runDirectory)
    try DiskFile.makeDirectory(configuration.stateDirectory, mode: 0o700)
    self.nodeIdentity = try configuration.controlPlane.map { endpoint throws(MeshError) in
      try NodeIdentity(
        .init(
          node: configuration.node, controlPlane: endpoint, tokenFile: configuration.joinTokenFile,
          directory: configuration.identityDirectory), logger: logger)
    }
    let limit = try DescriptorLimit.raise()
    guard limit.soft >= Self.leastDescriptors else {
      throw MeshError(
        .exhausted, "descriptor limit", "is \(limit.soft), and cannot be raised: too few for maps, links and listeners",
        next: "LimitNOFILE=1048576 in the unit, or ulimit -Hn")
    }
    if limit.soft < 4096 {
      logger.warning("few descriptors", metadata: ["limit": "\(limit.soft)"])
    }
    guard let user = ProcessIdentity.user(named: configuration.proxyUser) else {
      throw MeshError(
        .notFound, "user \(configuration.proxyUser)", "does not exist",
        next: "useradd --system --no-create-home \(configuration.proxyUser), or give another with --proxy-user")
    }
    self.host = try NetworkNamespace.current()
    self.cgroups = try AgentCgroups(configuration)
    self.supervisor = ProxySupervisor(configuration, cgroup: self.cgroups.proxy, user: user, logger: logger)

    // Before anything is loaded: programs of two agents on one socket would decide against each other.
    try KernelDatapath.refuseNesting(cgroup: self.cgroups.root.path, pinDirectory: configuration.pinDirectory)
    let opened = try KernelDatapath.open(
      objects: configuration.objectDirectory, pinDirectory: configuration.pinDirectory, sizes: configuration.mapSizes,
      edge: configuration.usesEdgeFilters ? .filter : .best)
    self.kernel = opened.datapath
    // The pin directory is ours from here on: so is this file.
    try self.cgroups.write(to: configuration.runDirectory)
    self.driver = MapDriver(kernel: self.kernel)
    let interfaces = try InterfaceWatch()
    self.interfaceWatch = interfaces
    self.hostWatch = try HostWatch(interfaces: interfaces, interval: Int32(clamping: configuration.scanMilliseconds))
    self.refusedAddresses = try self.driver.refusedAddresses()
    for name in MapSizes.Name.allCases {
      let (capacity, limit) = (opened.datapath.capacity(of: name), configuration.mapSizes[name])
      guard capacity != limit else { continue }
      logger.warning(
        "a pinned map keeps its size until martlet purge",
        metadata: ["map": "\(name.rawValue)", "entries": "\(capacity)", "limit": "\(limit)"])
    }
    try self.kernel.attach(cgroup: self.cgroups.root.path)
    try self.kernel.attachSocketOptions(cgroup: self.cgroups.agent.path)
    let proxyCgroup = self.cgroups.proxy.id
    self.kernel.config.configure { $0.proxy_cgroup = proxyCgroup }

    let board = self.names
    let feed = self.flows
    self.reader = try self.kernel.readEvents { feed.publish($0, board.current) }

    var identifiers = Identifiers()
    do throws(MeshError) {
      if let bytes = try self.disk.read() {
        let file = try SnapshotFile(bytes, node: configuration.node)
        identifiers = Identifiers(Identifiers.Exported(tables: file.identifiers))
        self.snapshot = file.snapshot
        self.snapshotVersion = SystemVersion(epoch: file.epoch, revision: file.revision)
        self.snapshotSource = "disk"
        self.readiness.restore(file.identifiers[Readiness.table])
        self.isComplete = true
      }
    } catch {
      logger.error("snapshot on disk is not used", metadata: [LogKey.error: "\(error)"])
      self.failures["snapshot file"] = error
    }
    for (name, entry) in self.snapshot.workloads {
      self.locations[name] = Self.location(of: entry.value, on: configuration.node)
    }
    var planning = DatapathPlanner.Configuration(node: configuration.node)
    planning.hasCanary = true
    planning.parsesRequests = configuration.proxyParsesHTTP
    planning.opensTunnels = configuration.opensTunnels
    planning.probeCgroup = self.cgroups.agent.id
    self.planner = DatapathPlanner(planning, identifiers: identifiers)
    self.planner.adopt(try self.driver.presentKeys(), now: MonotonicClock.duration)
    let stored = ListenerAdoption.stored()
    self.store = ListenerStore(kept: stored.found.keys, strange: stored.strange)
    var found = stored.found
    let proxies = FoundProxies(in: self.cgroups.proxy)
    found.add(proxies.sockets)
    self.foundProxies = proxies
    self.adoptedListeners = found.listeners
    self.naming = Naming(adopted: found.names, hostFile: configuration.resolverFile)
    let restored = (source: self.snapshotSource, count: self.snapshot.count, listeners: self.adoptedListeners.count)
    logger.info(
      "agent opened",
      metadata: [
        "adopted": "\(opened.adopted)",
        LogKey.node: "\(configuration.node)", LogKey.path: "\(configuration.pinDirectory)",
        "snapshot": "\(restored.source)", LogKey.count: "\(restored.count)",
        "listeners": "\(restored.listeners)",
      ])
  }

  /// Names what went wrong once, and again only when it changes.
  func report(_ what: String, _ error: MeshError?) {
    if let error, self.failures[what]?.description != error.description {
      self.logger.error("\(what)", metadata: [LogKey.error: "\(error)"])
    }
    self.failures[what] = error
  }
}

extension Identifiers.Exported {
  private static let nextTable = "next"

  /// From the tables of a snapshot file.
  init(tables: [String: [String: UInt32]]) {
    self.init()
    for kind in IdentifierKind.allCases {
      self.numbers[kind] = tables[kind.rawValue]
      self.next[kind] = tables[Self.nextTable]?[kind.rawValue]
    }
  }

  var tables: [String: [String: UInt32]] {
    var tables = Dictionary(uniqueKeysWithValues: self.numbers.map { ($0.key.rawValue, $0.value) })
    tables[Self.nextTable] = Dictionary(uniqueKeysWithValues: self.next.map { ($0.key.rawValue, $0.value) })
    return tables
  }
}
