import MeshLinux

/// What a large change takes for a moment: heap, and pages of the program.
extension Agent {
  /// A snapshot of 10,000 workloads is planned in tens of megabytes, by code that is not needed again until the next one.
  func giveBackMemory() {
    Heap.giveBack()
    ProgramPages.giveBack()
  }

  /// Where no session saves a snapshot afterwards: a start from what the disk has.
  func giveBackMemorySoon() {
    Task {
      try? await Task.sleep(for: .seconds(2))
      self.giveBackMemory()
    }
  }
}
