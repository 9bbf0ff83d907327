import Glibc
import Logging
import MeshBase
import MeshNet

/// The proxy looks after itself: whether its loops turn, and how much memory is left.
extension Proxy {
  /// Until it is cancelled.
  static func watchLoops(of relay: Relay, _ logger: Logger) async {
    var watch = LoopWatch(loops: relay.loopCount)
    while (try? await Task.sleep(for: .milliseconds(LoopWatch.interval))) != nil {
      for finding in watch.look(relay.turns, now: Relay.clock()) { Self.act(on: finding, of: relay, logger) }
    }
  }

  private static func act(on finding: LoopWatch.Finding, of relay: Relay, _ logger: Logger) {
    switch finding {
    case .stuck(let loop, let milliseconds):
      logger.error(
        "an event loop does not come back; what it does follows as addresses",
        metadata: ["loop": "\(loop)", "ms": "\(milliseconds)"])
      relay.traceLoop(loop)
    case .recovered(let loop, let milliseconds):
      logger.warning("the event loop is back", metadata: ["loop": "\(loop)", "ms": "\(milliseconds)"])
    case .lost(let loop, let milliseconds):
      logger.critical(
        "an event loop is lost: the process ends, and the agent starts another one",
        metadata: ["loop": "\(loop)", "ms": "\(milliseconds)"])
      relay.traceLoop(loop)
      // The trace is written by the thread itself.
      usleep(100_000)
      abort()
    }
  }

  /// Until it is cancelled; at once where memory has no limit.
  static func watchMemory(
    for strain: SharedStrain, of relay: Relay, _ logger: Logger, read: @Sendable (String) -> String? = Self.text
  ) async {
    guard let memory = MemoryLimit.find(read: read) else { return }
    logger.info(
      "memory is limited; work is refused before it ends",
      metadata: [LogKey.path: "\(memory.directory)", "limit": "\(memory.limit)"])
    var gauge = StrainGauge()
    var relieved: ContinuousClock.Instant?
    while let used = memory.used(read: read) {
      if gauge.measure(used: used, limit: memory.limit) {
        strain.now = gauge.strain
        logger.warning(
          gauge.strain == .none ? "memory is there again: all work is done" : "memory runs out: work is refused",
          metadata: ["level": "\(gauge.strain)", "used": "\(used)", "limit": "\(memory.limit)"])
      }
      // Again and again, because who has to go may have come to that meanwhile.
      if gauge.strain >= .trim, relieved.map({ $0 + .milliseconds(250) <= .now }) ?? true {
        relieved = .now
        relay.relieve()
        Relay.giveBackMemory()
      }
      guard (try? await Task.sleep(for: StrainGauge.pause(used: used, limit: memory.limit))) != nil else { return }
    }
  }

  /// Small files of the kernel. Nil: there is none.
  static func text(of path: String) -> String? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 16_384)
    while bytes.count < 1 << 20 {
      let count = Glibc.read(file, &buffer, buffer.count)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { break }
      bytes += buffer[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
