/// # MeshCompiler: what users write becomes what is distributed
///
/// YAML text in, a `Snapshot` and a list of problems out. Floor 4; no file, clock or pointer here.
///
/// Read in this order:
/// 1. `YAMLGuard`, `YAMLDocument`: what text may be, before a node tree exists.
/// 2. `Field`, `Fields`: reading a node strictly, with path and place.
/// 3. `Resource`, `RouteSpecs`, `ResourceDecoder` (one extension a kind), `PolicyText`, `DecodedDocument`.
/// 4. `ResourceFile`: what is kept while a file is broken. `Compiler`: all files, duplicates, stand-ins.
/// 5. `Compilation` (one extension a topic), `VIPAllocator`, `CompileResult`, `RouteStatus`.
///
/// Invariants:
/// - Every field that is read, refused or ignored is named in the code; any other field is an error. All problems of a
///   document are found at once.
/// - A problem never removes what was in force before (`ResourceFile`), and never makes a policy say less than it said
///   (`PolicyStandIn`).
/// - The snapshot depends on the set of objects, not on the order of files and documents.
/// - No input traps.
package enum MeshCompiler {}
