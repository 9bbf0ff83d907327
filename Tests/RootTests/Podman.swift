import MeshBase
import MeshLinux
import MeshTestSupport

/// podman of a node: a service with storage, cgroups and locks of its own, and a command line that talks to it. It has one
/// image, `bb`, with nothing but busybox.
final class Podman {
  private let node: WorldNode
  private let directory: String
  private let service: WorldProcess
  var socket: String { self.directory + "/podman.sock" }

  /// `hook`: the command that the runtime runs at the stage createRuntime; nil: none.
  init(on node: WorldNode, hook: [String]?) throws {
    self.node = node
    self.directory = node.world.directory + "/podman"
    try DiskFile.makeDirectory(self.directory + "/hooks", mode: 0o755)
    if let hook, let program = hook.first {
      let words = hook.map { "\"\($0)\"" }.joined(separator: ",")
      try """
      {"version":"1.0.0","hook":{"path":"\(program)","args":[\(words)]},"when":{"always":true},"stages":["createRuntime"]}
      """.write(toFile: self.directory + "/hooks/martlet.json")
    }
    self.service = try node.start([
      "bash", "-c", Self.script, "podman", node.world.identifier, self.directory,
    ])
    let isThere = try eventually(within: .seconds(60)) {
      guard self.service.isRunning else { return true }
      return try self.run(["version"]).isSuccess
    }
    guard isThere, self.service.isRunning else {
      throw MeshError(.unavailable, "podman", "does not serve", cause: self.service.stderr)
    }
  }

  func run(_ arguments: [String]) throws -> Finished {
    try self.node.run(["podman", "--remote", "--url", "unix://" + self.socket] + arguments, timeout: .seconds(60))
  }

  /// Runs a command in a new container; `options` name it and its network.
  func start(_ options: [String], _ command: [String]) throws -> Finished {
    let root = try Cgroup.unified().path
    return try self.run(
      [
        "run", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096", "--pids-limit=0", "--cgroup-parent",
        String(self.node.cgroup.path.dropFirst(root.count)),
      ] + options + ["bb:1"] + command)
  }

  func close() throws {
    _ = try self.run(["rm", "--all", "--force", "--time", "0"])
    try self.service.kill()
    _ = try self.node.run(["bash", "-c", Self.cleaning, "podman", self.node.world.identifier])
  }

  /// The service gets a cgroup of its own in every hierarchy: in a root cgroup it would move every process of the machine. Locks are in shared memory, so that is its own as well.
  private static let script = """
    set -eu
    while read -r _ mount type _; do
      case $type in cgroup | cgroup2) ;; *) continue ;; esac
      mkdir -p "$mount/$1/podman"
      if [ -e "$mount/cpuset.cpus" ]; then
        for path in "$1" "$1/podman"; do
          for file in cpuset.cpus cpuset.mems; do cat "$mount/$file" >"$mount/$path/$file"; done
        done
      fi
      echo $$ >"$mount/$1/podman/cgroup.procs"
    done </proc/mounts
    exec unshare -m --propagation private bash -c '
      set -eu
      mount -t tmpfs none /dev/shm
      mkdir -p "$1/image/bin" "$1/net"
      cp "$(command -v busybox)" "$1/image/bin/busybox"
      for name in sh nc sleep echo; do ln -s busybox "$1/image/bin/$name"; done
      options="--root $1/storage --runroot $1/run --tmpdir $1/tmp --storage-driver vfs --network-config-dir $1/net
        --cgroup-manager cgroupfs --runtime runc --events-backend file --hooks-dir $1/hooks"
      tar -C "$1/image" -c . | podman $options import - bb:1 >&2
      exec podman $options system service --time 0 "unix://$1/podman.sock"
    ' podman "$2"
    """

  private static let cleaning = """
    while read -r _ mount type _; do
      [ "$type" = cgroup ] || continue
      for _ in $(seq 50); do
        find "$mount/$1" -depth -type d -exec rmdir {} \\; 2>/dev/null
        [ -e "$mount/$1" ] || break
        sleep 0.1
      done
    done </proc/mounts
    """
}
