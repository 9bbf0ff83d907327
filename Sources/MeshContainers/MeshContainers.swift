/// Containers of a host, as the engine that runs them tells of them: what podman's API answers (`PodmanAnswer`), what a
/// runtime hook is told (`OCIState`), and what is known of all of them together (`ContainerBoard`).
///
/// Everything here is a value. Bytes come from a socket or a pipe that root owns, but are bounded and checked as if anybody
/// had written them: names and labels of containers are whatever somebody called them.
///
/// Read `ContainerRecord`, `ContainerBoard`, then the two formats.
