import Logging
import MeshBase
import MeshContainers

/// Follows podman while a Workload of this node names a container: its events, and its list at each of them. Without events
/// the list is asked for every two seconds.
struct ContainerWatch: Sendable {
  let agent: Agent
  let client: PodmanClient

  private static let pause = Duration.seconds(2)
  private static let longPause = Duration.seconds(30)

  func run() async {
    for await _ in self.agent.containerBell.stream {
      while !Task.isCancelled, await self.agent.wantsContainers {
        await self.follow()
        try? await Task.sleep(for: Self.pause)
      }
    }
  }

  /// Returns when the events end.
  private func follow() async {
    let (bells, bell) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    await withTaskGroup(of: Void.self) { tasks in
      // Beside the events: the list waits while a container is created, and its creation for its name, which is an event.
      tasks.addTask { for await _ in bells { await self.list() } }
      tasks.addTask {
        while !Task.isCancelled {
          try? await Task.sleep(for: Self.longPause)
          bell.yield()
        }
      }
      do {
        // Events first: what happens between the two is in one of them.
        try await self.client.lines(PodmanClient.events, begun: { bell.yield() }) { line in
          guard let event = PodmanAnswer.event(line) else { return }
          await self.agent.heard(event)
          bell.yield()
        }
      } catch {
        await self.agent.report("podman does not tell of its containers", Self.meshError(error))
        await self.list()
      }
      tasks.cancelAll()
    }
  }

  /// One look. Used at the start as well, before what a predecessor attached is let go.
  func list() async {
    do {
      await self.agent.heard(try PodmanAnswer.containers(try await self.client.body(PodmanClient.list)))
    } catch {
      await self.agent.report("podman does not tell of its containers", Self.meshError(error))
    }
  }

  private static func meshError(_ error: any Error) -> MeshError {
    error as? MeshError
      ?? MeshError(
        .unavailable, "podman", "cannot be asked", cause: "\(error)", next: "systemctl enable --now podman.socket")
  }
}
