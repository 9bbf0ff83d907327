import Glibc
import MeshBase
import MeshLinux
import MeshSnapshot
import Synchronization

/// Carries out checks, on a thread of its own: it makes the connections, `ReadinessSchedule` says which and when, and
/// `ProbeExchange` what is said over them.
///
/// A workload with a namespace of its own is dialled from inside of it, at its own address: a call to oneself is nobody's to
/// forbid, and it sees what a caller from elsewhere would see. A workload in the host's namespace is dialled there, where a
/// process of its own listens (`HostCheck`).
final class ReadinessProber: Sendable {
  struct Target: Sendable, Equatable {
    enum Place: Sendable, Equatable {
      case namespace(NetworkNamespace, [IPAddress])
      /// `workload`: its number in the tables.
      case host(NetworkNamespace, [IPAddress], workload: UInt32)
    }

    var name: ResourceName
    /// Of its namespace or cgroup: another one under the same name is another workload.
    var id: FileID
    var check: ReadinessCheck
    var place: Place
    /// Of a workload in the host's namespace.
    var host: HostCheck?
    /// With which it begins.
    var verdict: ReadinessMachine.Verdict

    /// What is asked for; where it begins is not.
    static func == (a: Target, b: Target) -> Bool {
      a.name == b.name && a.id == b.id && a.check == b.check && a.place == b.place
    }
  }

  struct Finding: Sendable, Equatable {
    var name: ResourceName
    var id: FileID
    var machine: ReadinessMachine
  }

  private struct Mailbox {
    var targets: [Target]?
    var isStarted = false
    var isStopping = false
  }

  private let mailbox = Mutex(Mailbox())
  private let wakeReader: Descriptor
  private let wakeWriter: Descriptor
  private let tell: @Sendable ([Finding]) -> Void

  /// - Parameter tell: called on the prober's thread, with all that changed at one moment.
  init(tell: @escaping @Sendable ([Finding]) -> Void) throws(MeshError) {
    do throws(SystemError) {
      let (reader, writer) = try Descriptor.pipe().split()
      self.wakeReader = Descriptor(owning: reader)
      self.wakeWriter = Descriptor(owning: writer)
      // A full pipe wakes as well.
      for descriptor in [reader, writer] { _ = fcntl(descriptor, F_SETFL, O_NONBLOCK) }
    } catch {
      throw error.meshError("readiness checks", "cannot be begun")
    }
    self.tell = tell
  }

  /// All workloads that are to be checked from now on.
  func follow(_ targets: [Target]) throws(MeshError) {
    let mustStart = self.mailbox.withLock { box in
      box.targets = targets
      defer { box.isStarted = true }
      return !box.isStarted
    }
    guard mustStart else { return self.wake() }
    do throws(SystemError) {
      try OwnThread.start(name: "checks") { self.run() }
    } catch {
      self.mailbox.withLock { $0.isStarted = false }
      throw error.meshError("readiness checks", "cannot start a thread")
    }
  }

  func stop() {
    self.mailbox.withLock { $0.isStopping = true }
    self.wake()
  }

  private func wake() {
    var byte: UInt8 = 1
    _ = write(self.wakeWriter.rawValue, &byte, 1)
  }

  private func run() {
    var round = Round()
    while true {
      let box = self.mailbox.withLock { box in
        defer { box.targets = nil }
        return box
      }
      if box.isStopping { return }
      if let targets = box.targets { round.follow(targets, now: MonotonicClock.duration) }
      round.begin()
      let findings = round.takeFindings()
      if !findings.isEmpty { self.tell(findings) }
      if round.wait(wake: self.wakeReader.rawValue) {
        var bytes = [UInt8](repeating: 0, count: 64)
        while read(self.wakeReader.rawValue, &bytes, bytes.count) > 0 {}
      }
    }
  }
}

extension ReadinessProber {
  /// What belongs to the thread.
  private struct Round {
    /// Sockets that are made in one go: entering a namespace costs more than a socket.
    private static let stockSize = 4

    /// A check under way.
    private struct Call {
      var dial: Dial
      var endpoint: SocketEndpoint
      var probe: ReadinessCheck.Probe
      /// Once there is a connection.
      var exchange: ProbeExchange?
    }

    private var schedule = ReadinessSchedule()
    private var targets: [ResourceName: Target] = [:]
    private var calls: [ResourceName: Call] = [:]
    /// Of those among them that are let in.
    private var passes: [ResourceName: HostCheck.Pass] = [:]
    private var stock: [ResourceName: (isV4: Bool, sockets: [Dial])] = [:]
    private var told: Set<ResourceName> = []
    private var random = SystemRandomNumberGenerator()
    private var buffer = [UInt8](repeating: 0, count: 4096)

    mutating func follow(_ wanted: [Target], now: Duration) {
      let next = Dictionary(wanted.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
      for (name, target) in self.targets where next[name]?.id != target.id {
        self.perform(self.schedule.remove(name))
        self.stock[name] = nil
        self.told.remove(name)
      }
      for (name, target) in next { self.schedule.add(name, target.check, verdict: target.verdict, now: now) }
      self.targets = next
    }

    /// Begins what is due.
    mutating func begin() {
      var chance = self.random
      let actions = self.schedule.tick(now: MonotonicClock.duration) { Double.random(in: 0..<1, using: &chance) }
      self.perform(actions)
    }

    mutating func takeFindings() -> [Finding] {
      defer { self.told = [] }
      return self.told.sorted().compactMap { name in
        guard let target = self.targets[name], let machine = self.schedule[name] else { return nil }
        return Finding(name: name, id: target.id, machine: machine)
      }
    }

    /// Until something is decided or due. True: `wake` is readable.
    mutating func wait(wake: CInt) -> Bool {
      var wait = DescriptorWait()
      wait.addReading(wake)
      let names = Array(self.calls.keys)
      for name in names {
        guard let call = self.calls[name] else { continue }
        if let exchange = call.exchange, exchange.output.isEmpty {
          wait.addReading(call.dial.rawValue)
        } else {
          wait.addWriting(call.dial.rawValue)
        }
      }
      let timeout = self.schedule.next.map { max($0 - MonotonicClock.duration, .zero) }
      let ready = wait.wait(atMost: self.told.isEmpty ? timeout : .zero)
      for (name, isReady) in zip(names, ready.dropFirst()) where isReady {
        guard let call = self.calls.removeValue(forKey: name) else { continue }
        if call.exchange == nil { self.decided(name, call, call.dial.outcome()) } else { self.goOn(name, call) }
      }
      return ready.first ?? false
    }

    private mutating func perform(_ actions: [ReadinessSchedule.Action]) {
      for action in actions {
        switch action {
        case .tell(let name): self.told.insert(name)
        case .abandon(let name):
          self.calls[name] = nil
          self.passes[name] = nil
        case .dial(let name): self.dial(name)
        }
      }
    }

    private mutating func dial(_ name: ResourceName) {
      guard let target = self.targets[name] else { return self.ended(name, .failure("gone")) }
      do throws(MeshError) {
        switch target.place {
        case .host(let host, let addresses, _): try self.dial(target, in: host, addresses)
        case .namespace(let namespace, let addresses):
          guard let address = addresses.first(where: \.isV4) ?? addresses.first else {
            return self.ended(name, .failure("no address"))
          }
          let dial = try self.socket(name, namespace, isV4: address.isV4)
          self.begin(dial, target, to: SocketEndpoint(address, target.check.port))
        }
      } catch {
        self.ended(name, .failure(error.message))
      }
    }

    private mutating func dial(
      _ target: Target, in host: NetworkNamespace, _ addresses: [IPAddress]
    ) throws(MeshError) {
      let listeners = try host.sockets().filter { $0.isListening && $0.local.port == target.check.port }
      guard let check = target.host else { return self.ended(target.name, .failure("gone")) }
      switch check.place(listeners, addresses: addresses) {
      case .nowhere(let why): self.ended(target.name, .failure(why))
      case .at(let address):
        let dial = try self.socket(target.name, host, isV4: address.isV4)
        let called = SocketEndpoint(address, target.check.port)
        self.passes[target.name] = try HostCheck.Pass(
          check, HostCheck.Ends(caller: try dial.bind(to: address), called: called))
        self.begin(dial, target, to: called)
      }
    }

    private mutating func begin(_ dial: Dial, _ target: Target, to endpoint: SocketEndpoint) {
      let call = Call(dial: dial, endpoint: endpoint, probe: target.check.probe)
      self.decided(target.name, call, dial.begin(to: endpoint))
    }

    private mutating func decided(_ name: ResourceName, _ call: Call, _ state: Dial.State) {
      switch state {
      case .underWay: self.calls[name] = call
      case .failed(let number): self.ended(name, .failure(SystemError.name(ofErrno: number)))
      case .connected:
        var call = call
        call.exchange = ProbeExchange(call.probe, to: call.endpoint, now: Self.milliseconds)
        if call.exchange == nil { self.ended(name, .success) } else { self.goOn(name, call) }
      }
    }

    /// Says what there is to say, and takes one piece of the answer: others have their turn before the next.
    private mutating func goOn(_ name: ResourceName, _ call: Call) {
      guard var exchange = call.exchange else { return }
      let verdict = self.step(call.dial, &exchange)
      switch verdict {
      case nil:
        self.calls[name] = call
        self.calls[name]?.exchange = exchange
      case .success: self.ended(name, .success)
      case .failure(let cause): self.ended(name, .failure(cause))
      }
    }

    private mutating func step(_ dial: Dial, _ exchange: inout ProbeExchange) -> ProbeExchange.Verdict? {
      switch dial.send(exchange.output) {
      case .bytes(let count): exchange.output.removeFirst(min(count, exchange.output.count))
      case .failed(let number): return .failure(SystemError.name(ofErrno: number))
      case .none, .ended: break
      }
      switch dial.receive(into: &self.buffer) {
      case .bytes(let count): return exchange.receive(self.buffer.prefix(count), now: Self.milliseconds)
      case .none: return nil
      case .ended: return exchange.receive([], ended: true, now: Self.milliseconds)
      case .failed(let number): return .failure(SystemError.name(ofErrno: number))
      }
    }

    private static var milliseconds: UInt64 { MonotonicClock.nanoseconds / 1_000_000 }

    private mutating func socket(
      _ name: ResourceName, _ namespace: NetworkNamespace, isV4: Bool
    ) throws(MeshError) -> Dial {
      if self.stock[name]?.isV4 != isV4 { self.stock[name] = nil }
      if let dial = self.stock[name]?.sockets.popLast() { return dial }
      var made: [Dial] = []
      try namespace.openStreams(isV4: isV4, count: Self.stockSize) { made.append(Dial($0)) }
      guard let dial = made.popLast() else { throw MeshError(.exhausted, "\(name)", "no socket") }
      self.stock[name] = (isV4, made)
      return dial
    }

    private mutating func ended(_ name: ResourceName, _ outcome: ReadinessMachine.Outcome) {
      self.passes[name] = nil
      var chance = self.random
      let actions = self.schedule.finished(name, outcome, now: MonotonicClock.duration) {
        Double.random(in: 0..<1, using: &chance)
      }
      self.perform(actions)
    }
  }
}
