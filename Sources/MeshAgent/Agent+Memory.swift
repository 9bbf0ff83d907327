import MeshLinux

/// What a large change takes for a moment: heap, and pages of the program.
extension Agent {
  /// Entries of a change after which pages of the program are given back. After a small one they are not: the next would wait
  /// while they come again.
  static let largeChange = 1_000

  /// A snapshot of 10,000 workloads is planned in tens of megabytes, by code that is not needed again until the next one.
  func giveBackMemorySoon() {
    Task {
      try? await Task.sleep(for: .seconds(2))
      Heap.giveBack()
      ProgramPages.giveBack()
    }
  }
}
