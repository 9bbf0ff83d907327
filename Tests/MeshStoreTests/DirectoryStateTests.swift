import Testing

@testable import MeshStore

@Suite("What a directory listing means")
struct DirectoryStateTests {
  static let second: Int64 = 1_000_000_000

  static func listing(_ files: [String: FileStamp], devices: [String: UInt64] = ["": 1]) -> DirectoryListing {
    var listing = DirectoryListing()
    listing.files = files.mapValues { .file($0) }
    listing.devices = devices
    return listing
  }

  /// Has taken over files of this listing.
  static func settled(_ listing: DirectoryListing) -> DirectoryState {
    var state = DirectoryState()
    _ = state.step(listing, now: 100 * Self.second)
    for (path, found) in listing.files {
      if case .file(let stamp) = found { state.didRead(path, stamp) }
    }
    return state
  }

  @Test("A file at rest is read once, and again when its stamp differs")
  func read() {
    var state = DirectoryState()
    let first = Self.listing(["a.yaml": FileStamp(inode: 1)])
    #expect(state.step(first, now: Self.second).actions == [.read("a.yaml")])
    state.didRead("a.yaml", FileStamp(inode: 1))
    #expect(state.step(first, now: 2 * Self.second) == DirectoryState.Step())
    let renamed = Self.listing(["a.yaml": FileStamp(inode: 2)])
    #expect(state.step(renamed, now: 3 * Self.second).actions == [.read("a.yaml")])
  }

  @Test("CF-05 A file that was written just now is left to settle, but not for ever")
  func settle() {
    var state = DirectoryState()
    let start = 10 * Self.second
    var now = start
    var reads = 0
    while now < start + 3 * Self.second {
      let step = state.step(Self.listing(["a.yaml": FileStamp(modified: now - 1)]), now: now)
      if step.actions == [.read("a.yaml")] { reads += 1 } else { #expect(step.isUnsettled) }
      if now < start + 2 * Self.second { #expect(reads == 0) }
      now += 50_000_000
    }
    #expect(reads > 0)
    var other = DirectoryState()
    let quiet = Self.listing(["a.yaml": FileStamp(modified: start)])
    #expect(other.step(quiet, now: start + 50_000_000).isUnsettled)
    #expect(other.step(quiet, now: start + 150_000_000).actions == [.read("a.yaml")])
    var future = DirectoryState()
    #expect(
      future.step(Self.listing(["a.yaml": FileStamp(modified: start * 9)]), now: start).actions == [.read("a.yaml")])
  }

  @Test("A name that is missing for a moment is being replaced; for longer, it was removed")
  func removal() {
    let both = Self.listing(["a.yaml": FileStamp(inode: 1), "b.yaml": FileStamp(inode: 2)])
    let one = Self.listing(["a.yaml": FileStamp(inode: 1)])
    var state = Self.settled(both)
    #expect(state.step(one, now: 200 * Self.second).isUnsettled)
    #expect(state.step(both, now: 200 * Self.second + 1) == DirectoryState.Step())
    #expect(state.step(one, now: 201 * Self.second).actions == [])
    #expect(state.step(one, now: 202 * Self.second).actions == [.remove("b.yaml")])
    #expect(state.step(one, now: 203 * Self.second) == DirectoryState.Step())
  }

  @Test("A directory that is empty, unreadable or gone takes nothing with it")
  func emptyOrUnreadable() {
    var state = Self.settled(Self.listing(["a.yaml": FileStamp()]))
    var unreadable = DirectoryListing()
    unreadable.unreadable = ["": "Permission denied"]
    for round in 0..<5 {
      let now = (200 + Int64(round)) * Self.second
      let empty = state.step(Self.listing([:]), now: now)
      #expect(empty.actions == [])
      #expect(empty.directoryProblems[""]?.contains("is empty now") == true)
      let step = state.step(unreadable, now: now)
      #expect(step.actions == [])
      #expect(step.directoryProblems == ["": "Permission denied"])
    }
  }

  @Test("A subdirectory that cannot be listed, or whose mount went, keeps its files; one that is gone does not")
  func subdirectory() {
    let full = Self.listing(
      ["a.yaml": FileStamp(), "s/b.yaml": FileStamp(inode: 2)], devices: ["": 1, "s": 7])
    var state = Self.settled(full)
    var unreadable = Self.listing(["a.yaml": FileStamp()])
    unreadable.unreadable = ["s": "Input/output error"]
    #expect(state.step(unreadable, now: 200 * Self.second).actions == [])
    #expect(state.step(unreadable, now: 202 * Self.second).actions == [])
    let unmounted = Self.listing(["a.yaml": FileStamp()], devices: ["": 1, "s": 1])
    #expect(state.step(unmounted, now: 203 * Self.second).actions == [])
    #expect(
      state.step(unmounted, now: 205 * Self.second).directoryProblems["s"]?.contains("another file system") == true)
    let gone = Self.listing(["a.yaml": FileStamp()])
    _ = state.step(gone, now: 206 * Self.second)
    #expect(state.step(gone, now: 208 * Self.second).actions == [.remove("s/b.yaml")])
  }

  @Test("CF-05 A file that others may write or own is not trusted")
  func distrust() {
    #expect(FileStamp(mode: 0o100666).distrust(user: 0)?.message.contains("mode 666") == true)
    #expect(FileStamp(mode: 0o100644, owner: 7).distrust(user: 0)?.message == "it belongs to user 7")
    #expect(FileStamp(mode: 0o100644, owner: 7).distrust(user: 7) == nil)
    #expect(FileStamp(mode: 0o100664, owner: 0).distrust(user: 7) == nil)
    #expect(FileStamp(mode: 0o040777).distrust(user: 0) != nil)
    #expect(FileStamp(mode: 0o041777).distrust(user: 0) == nil)
  }
}
