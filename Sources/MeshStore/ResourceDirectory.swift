import Glibc
package import Logging
package import MeshBase
package import MeshCompiler
package import NIOCore

/// A directory of resources, watched: each change that lasts becomes a `CompileResult`.
package final class ResourceDirectory: Sendable {
  package struct Configuration: Sendable {
    package var path: String
    /// Where service addresses are kept over restarts. Nil: nowhere.
    package var vipState: VIPStateFile?
    /// Where the last good state of files is kept over restarts. Nil: nowhere.
    package var lastGood: LastGoodDirectory?
    /// How often the directory is listed even if nothing was told.
    package var pollInterval: Duration = .seconds(1)

    package init(path: String, vipState: VIPStateFile? = nil, lastGood: LastGoodDirectory? = nil) {
      self.path = path
      self.vipState = vipState
      self.lastGood = lastGood
    }
  }

  /// The newest result that was not fetched yet. Ends when `run` does.
  ///
  /// The first comes when it leaves nothing out that could forbid something: if the state of the directory is known from
  /// before a restart, at once (what cannot be read now is kept); else when the directory could be listed and held a
  /// file, and each file and document could be read at least as far as to know what it is.
  package let results: AsyncStream<CompileResult>

  private let output: AsyncStream<CompileResult>.Continuation
  private let configuration: Configuration
  private let group: any EventLoopGroup
  private let logger: Logger

  package init(_ configuration: Configuration, group: any EventLoopGroup, logger: Logger) {
    self.configuration = configuration
    self.group = group
    self.logger = logger
    (self.results, self.output) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  /// Watches until the task is cancelled. Throws if what is kept over restarts cannot be read.
  package func run() async throws(MeshError) {
    defer { self.output.finish() }
    var round = try self.begin()
    let (wakes, waker) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    let inotify = await DirectoryWake.open(group: self.group) { waker.yield() }
    if inotify == nil {
      self.logger.warning("No inotify instance is free: changes are found by polling only")
    }
    let interval = self.configuration.pollInterval
    let ticker = Task {
      while !Task.isCancelled {
        waker.yield()
        try? await Task.sleep(for: interval)
      }
      waker.finish()
    }
    await withTaskCancellationHandler {
      for await _ in wakes {
        let isUnsettled = self.look(&round, inotify)
        if isUnsettled {
          Task {
            try? await Task.sleep(for: .milliseconds(60))
            waker.yield()
          }
        }
      }
    } onCancel: {
      ticker.cancel()
      waker.finish()
    }
    ticker.cancel()
    await inotify?.close()
  }

  private struct Round {
    var compiler: Compiler
    var state: DirectoryState
    var keeper: LastGoodKeeper?
    /// All that was in force before the restart is known.
    var isWhole = false
    /// What the first result waits for.
    var blocked: [Problem] = []
    /// Why the last good state could not be written at the last look.
    var keepFailure: String?
    var directoryProblems: [String: String] = [:]
    /// Files that could not be read at the last look.
    var failures: [String: String] = [:]
    var problems: Set<Problem> = []
    var savedVIPs: VIPAllocator?
    var isFirst = true
  }

  private func begin() throws(MeshError) -> Round {
    var compiler = Compiler(vips: try self.configuration.vipState?.load() ?? VIPAllocator())
    guard let directory = self.configuration.lastGood else { return Round(compiler: compiler, state: DirectoryState()) }
    let loaded = try directory.load()
    for problem in loaded.problems {
      self.logger.error(
        "A last good state is ignored", metadata: [LogKey.path: "\(problem.object)", LogKey.error: "\(problem)"])
    }
    for record in loaded.records { compiler.restore(record) }
    compiler.restored(owners: loaded.owners)
    let devices = Dictionary(loaded.records.map { ($0.file, $0.device) }, uniquingKeysWith: { a, _ in a })
    return Round(
      compiler: compiler, state: DirectoryState(restored: devices), keeper: LastGoodKeeper(directory, loaded),
      isWhole: loaded.isWhole)
  }

  /// Lists, reads what changed, compiles. True: look again soon.
  private func look(_ round: inout Round, _ inotify: DirectoryWake?) -> Bool {
    let root = self.configuration.path
    inotify?.watch([root])
    let listing = DirectoryListing.read(root)
    inotify?.watch(listing.devices.keys.filter { !$0.isEmpty }.map { "\(root)/\($0)" })
    var step = round.state.step(listing, now: Self.now())
    var hasChanged = false
    for action in step.actions {
      switch action {
      case .remove(let path):
        round.compiler.remove(file: path)
        round.keeper?.didChange(path)
        hasChanged = true
      case .fail(let path, let message, let next):
        round.compiler.fail(file: path, message: message, next: next)
        hasChanged = true
      case .read(let path):
        switch ResourceFileReader.read("\(root)/\(path)", inside: listing.root, listed: listing.stamp(path)) {
        case .content(let bytes, let stamp):
          round.compiler.update(file: path, bytes: bytes)
          round.keeper?.didChange(path)
          round.state.didRead(path, stamp)
          round.failures[path] = nil
          hasChanged = true
        case .changing: step.isUnsettled = true
        case .failure(let message, let next):
          // Tried again at every look, reported once.
          guard round.failures.updateValue(message, forKey: path) != message else { continue }
          round.compiler.fail(file: path, message: message, next: next)
          hasChanged = true
        }
      }
    }
    if step.directoryProblems != round.directoryProblems {
      for name in round.directoryProblems.keys where step.directoryProblems[name] == nil {
        round.compiler.remove(file: Self.label(name))
      }
      for (name, reason) in step.directoryProblems {
        round.compiler.fail(
          file: Self.label(name), message: reason, next: "what was read before stays in force until this is mended")
      }
      round.directoryProblems = step.directoryProblems
      hasChanged = true
    }
    // The first result is whole: nothing of it is still being written.
    let isReady = round.state.hasSeenFiles && !(round.isFirst && step.isUnsettled)
    if hasChanged || round.isFirst && isReady && round.blocked.isEmpty { self.publish(&round, isReady: isReady) }
    self.keep(&round)
    return step.isUnsettled
  }

  private static func label(_ directory: String) -> String { directory.isEmpty ? "." : directory + "/" }

  private func publish(_ round: inout Round, isReady: Bool) {
    let now = Self.now() / 1_000_000_000
    let result = round.compiler.compile(now: now)
    self.report(result, &round)
    guard isReady, !self.isBlocked(result, &round) else { return }
    round.isFirst = false
    if let file = self.configuration.vipState, round.savedVIPs != result.vips {
      do throws(MeshError) {
        try file.save(result.vips)
        round.savedVIPs = result.vips
      } catch {
        self.logger.error(
          "Service addresses could not be saved", metadata: [LogKey.path: "\(file.path)", LogKey.error: "\(error)"])
      }
    }
    self.output.yield(result)
  }

  /// A first result that leaves out what may be a policy would let in what that forbids; agents keep what they have.
  private func isBlocked(_ result: CompileResult, _ round: inout Round) -> Bool {
    guard round.isFirst, !round.isWhole else { return false }
    let open = result.summary.unaccounted
    for problem in open.prefix(Self.maximumLines) where !round.blocked.contains(problem) {
      self.logger.error(
        "Nothing is published yet: it is not known what this said",
        metadata: [
          LogKey.path: "\(problem.file):\(problem.position.line)", LogKey.error: "\(problem.message)",
          LogKey.reason: "\(problem.next.map { $0 + ", or " } ?? "")remove the file; agents keep what they have",
        ])
    }
    round.blocked = open
    return !open.isEmpty
  }

  /// Writes what changed, once there was a first result: before that, a file that is not known must not look like one
  /// that was never there.
  private func keep(_ round: inout Round) {
    guard !round.isFirst, var keeper = round.keeper else { return }
    do throws(MeshError) {
      try keeper.save(round.compiler) { round.state.device(of: $0) }
      round.keepFailure = nil
    } catch {
      // Tried again at every look, reported once.
      if round.keepFailure != error.description {
        self.logger.error(
          "The last good state could not be saved: a restart may not know it",
          metadata: [LogKey.path: "\(error.object)", LogKey.error: "\(error)"])
      }
      round.keepFailure = error.description
    }
    round.keeper = keeper
  }

  /// At most this many lines for one change.
  private static let maximumLines = 50

  /// One line for each problem that is new and for each that went.
  private func report(_ result: CompileResult, _ round: inout Round) {
    let problems = Set(result.problems)
    for problem in problems.subtracting(round.problems).sorted().prefix(Self.maximumLines) {
      self.logger.log(
        level: problem.severity == .error ? .error : .warning, "Resource problem",
        metadata: [
          LogKey.path: "\(problem.file):\(problem.position.line):\(problem.position.column)",
          LogKey.error: "\(problem.object): \(problem.position.path): \(problem.message)",
          LogKey.reason: "\(problem.next ?? "")",
        ])
    }
    for problem in round.problems.subtracting(problems).sorted().prefix(Self.maximumLines) {
      self.logger.info(
        "Resource problem is solved",
        metadata: [LogKey.path: "\(problem.file)", LogKey.error: "\(problem.object): \(problem.message)"])
    }
    round.problems = problems
    self.logger.info(
      "Resources compiled",
      metadata: [
        LogKey.path: "\(self.configuration.path)", LogKey.count: "\(result.resourceCount)",
        LogKey.error: "\(result.errors.count)",
      ])
  }

  /// Nanoseconds since 1970.
  static func now() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }
}
