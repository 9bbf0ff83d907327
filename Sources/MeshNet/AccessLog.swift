import Glibc
package import Logging
package import MeshBase
package import MeshTelemetry
import Synchronization

/// The access log of the process: loops put in what ended, a thread of its own makes lines of it and writes them. No loop ever
/// waits: what finds the log full is dropped and counted. Its methods may be called from any thread.
package final class AccessLog: Sendable {
  /// Since the process started.
  package struct Counters: Sendable, Equatable {
    package var written: UInt64 = 0
    /// Dropped: more came than the thread could write.
    package var overflowed: UInt64 = 0
    /// Dropped: there is no file, or it takes no more.
    package var failed: UInt64 = 0

    package init() {}
  }

  /// A request that is over and is written.
  struct Entry: Sendable {
    var time: Timestamp
    var outcome: RequestOutcome
    var source: ResourceName?
    var service: ResourceName?
    var destination: ResourceName?
    var client: IPAddress?
    var draft: AccessDraft?
  }

  /// Entries that wait, but for those of a loop's last turn.
  static let limit = 8192

  let filter: AccessLogFilter
  private let thread: LoopThread<AccessLogWriter>
  private let waiting = Atomic<Int>(0)
  private let overflowed = Atomic<UInt64>(0)
  private let written = Atomic<UInt64>(0)
  private let failed = Atomic<UInt64>(0)

  /// Opens the file soon, and again whenever it cannot be written: a log that is not there stops no traffic.
  package static func open(_ configuration: AccessLogConfiguration, logger: Logger) throws(MeshError) -> AccessLog {
    guard let thread = try? LoopThread<AccessLogWriter>.open() else {
      throw MeshError(.unavailable, "access log", "no descriptor is left", next: "raise the limit of descriptors")
    }
    let log = AccessLog(configuration, thread)
    let started: Void? = try? thread.start(name: "access-log") { [weak log] in
      AccessLogWriter(thread: $0, configuration: configuration, logger: logger) { written, failed in
        log?.wrote(written, failed: failed)
      }
    }
    guard started != nil else {
      throw MeshError(.unavailable, "access log", "no thread is left", next: "raise the limit of threads")
    }
    return log
  }

  private init(_ configuration: AccessLogConfiguration, _ thread: LoopThread<AccessLogWriter>) {
    self.filter = configuration.filter
    self.thread = thread
  }

  deinit { self.thread.stop() }

  /// Who workloads are, from here on.
  package func use(_ names: NameDirectory) { self.thread.post { $0.names = names } }

  func put(_ entries: [Entry]) {
    guard self.waiting.load(ordering: .relaxed) < Self.limit else {
      self.overflowed.add(UInt64(entries.count), ordering: .relaxed)
      return
    }
    self.waiting.add(entries.count, ordering: .relaxed)
    if !self.thread.post({ $0.write(entries) }) { self.wrote(0, failed: entries.count) }
  }

  private func wrote(_ written: Int, failed: Int) {
    self.waiting.subtract(written + failed, ordering: .relaxed)
    self.written.add(UInt64(written), ordering: .relaxed)
    self.failed.add(UInt64(failed), ordering: .relaxed)
  }

  package var counters: Counters {
    var counters = Counters()
    counters.written = self.written.load(ordering: .relaxed)
    counters.overflowed = self.overflowed.load(ordering: .relaxed)
    counters.failed = self.failed.load(ordering: .relaxed)
    return counters
  }

  /// When everything that was put in is written.
  package func stop() async {
    await withCheckedContinuation { done in self.thread.stop { done.resume() } }
  }
}
