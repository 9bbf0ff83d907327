/// # MeshCommands: the verbs of `martlet`
///
/// Read in this order: `Martlet` (the tree of commands), `CommandLineRun` (arguments to exit status), `Options`,
/// `AgentClient`, `TextTable` and `Presentation`, then one file a verb.
///
/// Invariants: everything that is printed goes through `Console`, so that a test can read it; a command that reads prints
/// nothing but its answer on standard output; exit status 0 is yes, 1 is no, 2 is a wrong command line, 3 is "the agent
/// cannot be reached"; nothing here decides what the mesh does.
package enum MeshCommands {}
