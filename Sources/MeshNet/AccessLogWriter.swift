import CMeshRelay
import Glibc
import Logging
import MeshBase
import MeshSnapshot
import MeshTelemetry

/// The thread of the access log: lines, and the file that they go to. Sleeps while nothing ends.
final class AccessLogWriter: ThreadLoop {
  private let thread: LoopThread<AccessLogWriter>
  private let configuration: AccessLogConfiguration
  private let logger: Logger
  private let wrote: (Int, Int) -> Void
  var names = NameDirectory()
  var isStopping = false
  private var descriptor: CInt = -1
  private var identity: (device: dev_t, inode: ino_t) = (0, 0)
  /// The last line has no end: the file took only a part of it.
  private var isTorn = false
  /// Milliseconds: when the file's name is looked at next.
  private var nextLook: UInt64 = 0
  /// When the log may say again that it is unwell.
  private var nextWord: UInt64 = 0
  private var buffer: [UInt8] = []

  /// How soon a file that was renamed is let go of.
  private static let lookInterval: UInt64 = 200
  private static let wordInterval: UInt64 = 60_000

  init(
    thread: LoopThread<AccessLogWriter>, configuration: AccessLogConfiguration, logger: Logger,
    wrote: @escaping (Int, Int) -> Void
  ) {
    self.thread = thread
    self.configuration = configuration
    self.logger = logger
    self.wrote = wrote
    self.look()
  }

  func run() {
    let events = UnsafeMutablePointer<cmesh_poll_event>.allocate(capacity: Int(CMESH_POLL_EVENTS))
    defer { events.deallocate() }
    while !self.isStopping {
      guard cmesh_poll_wait(self.thread.poll, events, -1) >= 0 else { return }
      for work in self.thread.takeWork() { work(self) }
    }
  }

  func end() { self.letGo() }

  func write(_ entries: [AccessLog.Entry]) {
    if RelayLoop.clock() >= self.nextLook { self.look() }
    guard self.descriptor >= 0 else { return self.wrote(0, entries.count) }
    self.buffer.removeAll(keepingCapacity: true)
    if self.isTorn { self.buffer.append(0x0a) }
    for entry in entries {
      self.buffer.append(contentsOf: self.configuration.format.line(self.record(entry)).utf8)
      self.buffer.append(0x0a)
    }
    let taken = self.writeBuffer()
    guard taken < self.buffer.count else {
      self.isTorn = false
      return self.wrote(entries.count, 0)
    }
    // Whole lines, so that the count is that of lines in the file.
    if taken > 0 { self.isTorn = self.buffer[taken - 1] != 0x0a }
    let before = self.buffer.first == 0x0a ? 1 : 0
    let lines = max(0, self.buffer[..<taken].count { $0 == 0x0a } - before)
    self.wrote(min(lines, entries.count), entries.count - min(lines, entries.count))
  }

  private func record(_ entry: AccessLog.Entry) -> AccessRecord {
    let draft = entry.draft
    return AccessRecord(
      time: entry.time, outcome: entry.outcome, source: entry.source, service: entry.service,
      destination: entry.destination, sourceAddress: entry.client, upstreamAddress: draft?.upstream,
      attempts: draft?.attempts ?? 1,
      method: draft?[.method] ?? "-", path: draft?[.target] ?? "-", authority: draft?[.authority] ?? "-",
      version: draft.map { "\($0.version)" } ?? "-", userAgent: draft?[.userAgent], referer: draft?[.referer],
      requestID: draft?[.requestID], traceparent: draft?[.traceparent],
      sourceIdentity: entry.source.flatMap { self.names[$0]?.identity.description },
      destinationIdentity: entry.destination.flatMap { self.names[$0]?.identity.description },
      route: draft?.origin.map { origin in
        "\(origin.kind.rawValue) \(origin.name) rule \(origin.ruleName.isEmpty ? String(origin.rule) : origin.ruleName)"
      }, reason: draft?.reason)
  }

  // MARK: the file

  /// How many bytes the file took.
  private func writeBuffer() -> Int {
    var taken = 0
    while taken < self.buffer.count {
      let count = self.buffer[taken...].withUnsafeBytes { bytes in
        bytes.baseAddress.map { Glibc.write(self.descriptor, $0, bytes.count) } ?? 0
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else {
        self.unwell("cannot be written", count < 0 ? errno : EIO)
        return taken
      }
      taken += count
    }
    return taken
  }

  /// Whoever rotates renames the file and makes another of its name, and tells nobody.
  private func look() {
    self.nextLook = RelayLoop.clock() + Self.lookInterval
    guard case .file(let path) = self.configuration.target else {
      self.descriptor = STDOUT_FILENO
      return
    }
    var status = stat()
    if self.descriptor >= 0, stat(path, &status) == 0, (status.st_dev, status.st_ino) == self.identity { return }
    // Not waiting for the other end of a FIFO.
    let fresh = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0o640)
    guard fresh >= 0 else { return self.unwell("cannot be opened", errno) }
    guard fstat(fresh, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      close(fresh)
      return self.unwell("is no regular file", EINVAL)
    }
    self.letGo()
    self.descriptor = fresh
    self.identity = (status.st_dev, status.st_ino)
    self.isTorn = false
  }

  private func letGo() {
    if self.descriptor >= 0, self.descriptor != STDOUT_FILENO { close(self.descriptor) }
    self.descriptor = -1
  }

  private func unwell(_ what: String, _ error: CInt) {
    let now = RelayLoop.clock()
    guard now >= self.nextWord else { return }
    self.nextWord = now + Self.wordInterval
    self.logger.error(
      "access log \(what)",
      metadata: [
        LogKey.path: "\(self.configuration.target)", LogKey.error: "\(String(cString: strerror(error)))",
      ])
  }
}
