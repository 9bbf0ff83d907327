import FoundationEssentials
package import Logging
package import MeshBase
import MeshIdentity
package import MeshWire

/// Keeps a certificate for every identity that is placed on this node: a new key each time, a new certificate before half of the
/// old one's life is over, the old one until then.
package actor CertificateKeeper {
  /// Asks the control plane to sign DER of a request.
  package typealias Sign = @Sendable ([UInt8]) async throws -> CertificateAnswer

  /// Requests that are on their way at once.
  private static let most = 4
  /// Seconds over which renewals spread when another root signs.
  private static let spread = 30.0

  nonisolated package let board = CertificateBoard()
  private let sign: Sign
  private let logger: Logger
  private var machines: [SPIFFEID: RenewalMachine] = [:]
  /// Due, and not asked for yet.
  private var queue: [SPIFFEID] = []
  private var asking: Set<SPIFFEID> = []
  private var signer: [UInt8]?
  private static let hurryInterval = 10.0
  private var lastHurry = -CertificateKeeper.hurryInterval
  private let bell = RenewalBell()
  private var timer: Task<Void, Never>?

  package init(logger: Logger, sign: @escaping Sign) {
    self.sign = sign
    self.logger = logger
  }

  /// Exactly these have certificates from now on.
  /// - Parameter signer: the root that signs now; if it is another one, all are renewed.
  package func want(_ identities: Set<SPIFFEID>, signer: [UInt8]?) {
    let now = RenewalClock.seconds
    if identities != Set(self.machines.keys) {
      self.machines = self.machines.filter { identities.contains($0.key) }
      self.board.retain(identities)
      for identity in identities where self.machines[identity] == nil {
        var machine = RenewalMachine()
        if machine.wanted() == .request { self.queue.append(identity) }
        self.machines[identity] = machine
      }
    }
    if let signer, let before = self.signer, signer != before {
      for identity in self.machines.keys {
        self.machines[identity]?.hurry(to: now + Double.random(in: 0...Self.spread))
      }
    }
    if let signer { self.signer = signer }
    self.bell.now()
  }

  /// The control plane has said something: it can be asked again. Not more often than every ten seconds, whatever it says.
  package func connected() {
    let now = RenewalClock.seconds
    guard now - self.lastHurry >= Self.hurryInterval else { return }
    self.lastHurry = now
    for (identity, machine) in self.machines {
      guard case .waiting(_, let attempt) = machine.phase, attempt > 0 else { continue }
      self.machines[identity]?.hurry(to: now)
    }
    self.bell.now()
  }

  /// Until the task is cancelled.
  package func run() async {
    await withDiscardingTaskGroup { group in
      for await _ in self.bell.rings {
        for identity in self.due() { group.addTask { await self.renew(identity) } }
      }
      group.cancelAll()
    }
    self.timer?.cancel()
  }

  private func due() -> [SPIFFEID] {
    let now = RenewalClock.seconds
    for identity in self.machines.keys {
      for action in self.machines[identity]?.tick(now: now) ?? [] {
        switch action {
        case .request: self.queue.append(identity)
        case .alarm(let alarm):
          self.logger.warning(
            "a certificate is not renewed",
            metadata: [
              "identity": "\(identity)", "left": "\(alarm.rawValue)",
              LogKey.reason: "\(self.board.problems[identity] ?? "")",
            ])
        case .expired:
          self.logger.error(
            "a certificate has expired",
            metadata: ["identity": "\(identity)", LogKey.reason: "\(self.board.problems[identity] ?? "")"])
        }
      }
    }
    let next = self.machines.values.compactMap(\.next).min()
    self.timer?.cancel()
    self.timer = next.map { self.bell.after($0 - now) }
    var due: [SPIFFEID] = []
    while self.asking.count < Self.most, let identity = self.queue.first {
      self.queue.removeFirst()
      guard self.machines[identity] != nil, self.asking.insert(identity).inserted else { continue }
      due.append(identity)
    }
    return due
  }

  private func renew(_ identity: SPIFFEID) async {
    let key = IdentityKey()
    var problem: String?
    do {
      let request = try CertificateRequest.make(.workload(identity), key: key)
      let answer = try await self.sign(request)
      let certificate = try WorkloadCertificate(answer, identity: identity, key: key, now: .now)
      // Its workload may have gone meanwhile.
      if self.machines[identity] != nil { self.board.put(certificate) }
      self.machines[identity]?.succeeded(
        notBefore: certificate.notBefore, notAfter: certificate.notAfter, now: RenewalClock.seconds, wall: .now,
        jitter: .random(in: 0...1))
    } catch {
      problem = "\(error)"
      self.machines[identity]?.failed(now: RenewalClock.seconds, jitter: .random(in: 0...1))
    }
    if let problem {
      if self.board.problems[identity] != problem {
        self.logger.warning(
          "no certificate", metadata: ["identity": "\(identity)", LogKey.error: "\(problem)"])
      }
      self.board.failed(identity, problem)
    }
    self.asking.remove(identity)
    self.bell.now()
  }
}
