import CMeshLinux

/// The process's heap, for one that is large for moments only: a snapshot of 10,000 workloads is decoded, planned and written
/// to disk, and what that took would stay with the C library (an arena a thread, and never less than the peak).
package enum Heap {
  /// One arena for all threads, from which free memory goes back. For processes whose threads seldom allocate at once; before
  /// the first thread is started.
  package static func keepSmall() { cmesh_heap_keep_small() }

  /// Gives the free pages back to the kernel. Takes milliseconds for tens of megabytes; holds up every allocation meanwhile.
  package static func giveBack() { cmesh_heap_give_back() }
}
