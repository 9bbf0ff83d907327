package import Logging
import Synchronization

/// The level of this process's log, changed while it runs (`martlet log-level`).
package final class LogLevel: Sendable {
  package static let shared = LogLevel()

  private let level = Mutex(Logger.Level.info)

  package var current: Logger.Level { self.level.withLock { $0 } }

  package func set(_ level: Logger.Level) { self.level.withLock { $0 = level } }
}

/// Writes to standard error, and asks `LogLevel` each time, so that loggers made earlier follow a change.
package struct AgentLogHandler: LogHandler {
  private var handler: StreamLogHandler

  package init(label: String) {
    self.handler = StreamLogHandler.standardError(label: label)
    self.handler.logLevel = .trace
  }

  package var logLevel: Logger.Level {
    get { LogLevel.shared.current }
    set { LogLevel.shared.set(newValue) }
  }

  package var metadata: Logger.Metadata {
    get { self.handler.metadata }
    set { self.handler.metadata = newValue }
  }

  package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { self.handler[metadataKey: key] }
    set { self.handler[metadataKey: key] = newValue }
  }

  package func log(event: LogEvent) {
    self.handler.log(event: event)
  }
}
