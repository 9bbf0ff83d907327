import CMeshLinux
import Glibc
package import MeshBase

extension ChildProcess {
  /// Starts a process, and returns when its program runs: a missing executable is an error here.
  package static func spawn(_ configuration: Configuration) throws(MeshError) -> ChildProcess {
    guard let cgroup = configuration.cgroup else { return try self.spawn(configuration, cgroup: -1) }
    let directory = try cgroup.openDirectory()
    return try self.spawn(configuration, cgroup: directory.rawValue)
  }
}

extension ChildProcess {
  private static func spawn(_ configuration: Configuration, cgroup: CInt) throws(MeshError) -> ChildProcess {
    let environment = configuration.environment.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    // C strings end at their first NUL: what would be cut is refused.
    let texts = [configuration.executable, configuration.directory] + configuration.arguments + environment
    guard !texts.contains(where: { $0.utf8.contains(0) }) else {
      throw MeshError(.invalid, configuration.executable, "an argument holds a NUL byte")
    }
    let arguments = CStringList([configuration.executable] + configuration.arguments)
    let variables = CStringList(environment)
    let mappings = configuration.descriptors.sorted { $0.key < $1.key }.map {
      cmesh_fd_mapping(parent: $0.value, child: $0.key)
    }
    var pid: Int32 = 0
    var pidfd: CInt = -1
    var step = CMESH_SPAWN_PREPARE
    let result: CInt = configuration.executable.withCString { executable in
      configuration.directory.withCString { directory in
        mappings.withUnsafeBufferPointer { mappings in
          var spawn = cmesh_spawn()
          spawn.executable = executable
          spawn.directory = directory
          spawn.arguments = UnsafePointer(arguments.pointers)
          spawn.environment = UnsafePointer(variables.pointers)
          spawn.fds = mappings.baseAddress
          spawn.fd_count = mappings.count
          spawn.cgroup = cgroup
          spawn.move_into_cgroup = configuration.movesIntoCgroup ? 1 : 0
          spawn.netns = configuration.namespace?.withDescriptor { $0 } ?? -1
          spawn.drop_privileges = configuration.user == nil ? 0 : 1
          spawn.uid = configuration.user?.uid ?? 0
          spawn.gid = configuration.user?.gid ?? 0
          spawn.no_new_privileges = configuration.noNewPrivileges ? 1 : 0
          return cmesh_spawn(&spawn, &pid, &pidfd, &step)
        }
      }
    }
    guard result >= 0 else {
      throw SystemError(-result, Self.word(for: step)).meshError(configuration.executable, "cannot be started")
    }
    return ChildProcess(ProcessHandle(pid: pid, pidfd: Descriptor(owning: pidfd)))
  }

  private static func word(for step: cmesh_spawn_step) -> String {
    switch step {
    case CMESH_SPAWN_CLONE: "clone"
    case CMESH_SPAWN_CGROUP: "entering the cgroup"
    case CMESH_SPAWN_NETNS: "entering the network namespace"
    case CMESH_SPAWN_DESCRIPTORS: "arranging descriptors"
    case CMESH_SPAWN_DIRECTORY: "chdir"
    case CMESH_SPAWN_PRIVILEGES: "dropping privileges"
    case CMESH_SPAWN_EXEC: "exec"
    default: "preparing"
    }
  }
}

/// A NULL-terminated array of C strings, freed with this object.
private final class CStringList {
  let pointers: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
  private let count: Int

  init(_ strings: [String]) {
    self.count = strings.count
    self.pointers = .allocate(capacity: strings.count + 1)
    for (index, string) in strings.enumerated() { self.pointers[index] = strdup(string) }
    self.pointers[strings.count] = nil
  }

  deinit {
    for index in 0..<self.count { free(self.pointers[index]) }
    self.pointers.deallocate()
  }
}
