package import MeshSnapshot

/// All containers that are known, from three sources: the engine's list (the truth, but it blocks while a container is being
/// created), its events (names and labels of one that is about to be created), and the runtime's hook (its process, before
/// anything runs in it).
package struct ContainerBoard: Sendable, Hashable {
  package enum Match: Sendable, Hashable {
    case running(ContainerRecord)
    /// One runs of which too little is known.
    case undetermined
    case none
  }

  /// More are not looked at: a host has hundreds.
  package static let maximumContainers = 8192

  package private(set) var containers: [String: ContainerRecord] = [:]
  /// Processes that the hook asked for before anything ran in them, or of which it was told that it did not.
  private var judged: [String: Int32] = [:]

  package init() {}

  /// What a predecessor knew.
  package init(_ records: [ContainerRecord]) {
    for record in records.prefix(Self.maximumContainers) where ContainerRecord.isID(record.id) {
      self.containers[record.id] = record
      self.judged[record.id] = record.process
    }
  }

  package var records: [ContainerRecord] { self.containers.values.sorted { $0.id < $1.id } }

  /// The engine's list, running and not. `living`: those whose known process lives; it stays, because a list may be older than
  /// what the hook said, and because the engine tells of a process only when the container is created, which waits for the hook.
  package mutating func list(_ listed: [ContainerRecord], living: Set<String>) {
    var new: [String: ContainerRecord] = [:]
    for var record in listed.prefix(Self.maximumContainers) {
      if living.contains(record.id) { record.process = self.containers[record.id]?.process }
      new[record.id] = record
    }
    for (id, record) in self.containers where new[id] == nil && living.contains(id) { new[id] = record }
    self.containers = new
    self.judged = self.judged.filter { new[$0.key] != nil }
  }

  /// Ends are no events here: an event may come after the next start, a process handle does not.
  package mutating func apply(_ event: ContainerEvent) {
    switch event.action {
    case .removed:
      self.containers[event.id] = nil
      self.judged[event.id] = nil
    case .other: break
    case .made:
      guard self.mayAdd(event.id) else { return }
      var record = self.containers[event.id] ?? ContainerRecord(id: event.id)
      record.name = event.name ?? record.name
      record.labels = event.labels ?? record.labels
      self.containers[event.id] = record
    }
  }

  /// The runtime is about to start it.
  package mutating func created(id: String, process: Int32, name: String?) {
    guard self.mayAdd(id) else { return }
    var record = self.containers[id] ?? ContainerRecord(id: id)
    record.process = process
    record.name = name ?? record.name
    self.containers[id] = record
    self.judged[id] = process
  }

  /// True once for each process that ran before the hook asked for it: what it called meanwhile was not steered.
  package mutating func beganWithoutHook(_ id: String) -> Bool {
    guard let process = self.containers[id]?.process, self.judged[id] != process else { return false }
    self.judged[id] = process
    return true
  }

  /// Its process is gone, or was another's.
  package mutating func ended(_ id: String) {
    self.containers[id]?.process = nil
    if let record = self.containers[id], record.name == nil, record.labels == nil { self.containers[id] = nil }
  }

  private func mayAdd(_ id: String) -> Bool {
    self.containers[id] != nil || self.containers.count < Self.maximumContainers
  }

  /// Of several that match, `preferred` if it is one of them, so that one that comes later takes nothing from it; else the one
  /// with the least id.
  package func match(_ selector: ContainerSelector, preferring preferred: String? = nil) -> Match {
    if let record = preferred.flatMap({ self.containers[$0] }), record.process != nil,
      selector.matches(id: record.id, name: record.name, labels: record.labels) == true
    {
      return .running(record)
    }
    var found: ContainerRecord?
    var isUndetermined = false
    for record in self.containers.values where record.process != nil {
      switch selector.matches(id: record.id, name: record.name, labels: record.labels) {
      case true?: if found.map({ record.id < $0.id }) ?? true { found = record }
      case nil: isUndetermined = true
      case false?: break
      }
    }
    if let found { return .running(found) }
    return isUndetermined ? .undetermined : .none
  }
}

/// What an agent leaves for the next one.
package struct ContainerNotes: Sendable, Hashable, Codable {
  package var running: [ContainerRecord]
  /// Ids of containers, by the Workloads that they are.
  package var chosen: [String: String]

  package init(running: [ContainerRecord] = [], chosen: [String: String] = [:]) {
    self.running = running
    self.chosen = chosen
  }
}

/// A line of the engine's stream of events.
package struct ContainerEvent: Sendable, Hashable {
  package enum Action: Sendable, Hashable {
    case made
    case removed
    /// Something else happened to it: look at the list.
    case other
  }

  package var action: Action
  package var id: String
  package var name: String?
  package var labels: [String: String]?

  package init(_ action: Action, id: String, name: String? = nil, labels: [String: String]? = nil) {
    self.action = action
    self.id = id
    self.name = name
    self.labels = labels
  }
}
