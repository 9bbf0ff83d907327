import CMeshLinux

/// Pages of code and constants that are mapped because something once ran there. A daemon of forty megabytes needs most of
/// them while it starts and takes its first snapshot, and few afterwards.
package enum ProgramPages {
  /// Unmaps them all. What is needed comes back from the page cache by minor faults: a few hundred, less than a millisecond.
  /// Breakpoints that a debugger or an uprobe set in code are gone, because they are changes of these pages.
  package static func giveBack() { cmesh_program_give_back() }
}
