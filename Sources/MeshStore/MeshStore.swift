/// # MeshStore: where resources are kept
///
/// A directory of YAML files, watched. Floor 5; the only place of the control wing that opens resource files.
///
/// Read in this order: `DirectoryListing` (what is there: system calls only), `DirectoryState` (what to do about it: pure),
/// `ResourceFileReader`, `ResourceDirectory` (the loop), `DirectoryWake` (inotify), `ResourceFiles` (once, offline).
/// Over restarts: `StateFile`, `VIPStateFile`, `LastGoodDirectory`.
///
/// Invariants:
/// - What was in force stays in force while a file, the directory or its mount cannot be read. Only a file that is gone
///   from a directory that can be listed, and that still holds other files, takes its objects with it. A restart changes
///   nothing of this: what was in force is kept on disk.
/// - Without such a memory nothing is published before every file could be read: what is left out may be a policy.
/// - A file that others than its owner may write, or that belongs to neither root nor this process's user, is not read.
/// - Nothing blocks the stream's reader: results that nobody fetched are replaced by the newest.
package enum MeshStore {}
