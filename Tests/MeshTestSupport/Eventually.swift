import Glibc

/// Asks every 10 ms until the answer is yes; false when the time is over. For tests in the kernel; pure tests do not wait.
package func eventually(within timeout: Duration = .seconds(20), _ condition: () throws -> Bool) rethrows -> Bool {
  let clock = ContinuousClock()
  let end = clock.now + timeout
  while true {
    if try condition() { return true }
    if clock.now >= end { return false }
    usleep(10_000)
  }
}

package func eventually(
  within timeout: Duration = .seconds(20), _ condition: () async throws -> Bool
) async throws -> Bool {
  let clock = ContinuousClock()
  let end = clock.now + timeout
  while true {
    if try await condition() { return true }
    if clock.now >= end { return false }
    try await Task.sleep(for: .milliseconds(10))
  }
}
