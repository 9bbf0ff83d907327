import Glibc
import Logging
import MeshBase
import MeshDatapath
import MeshLinux
import MeshProto
import MeshSnapshot
import MeshSync

/// What the control plane says.
extension Agent {
  /// Makes a batch true on this node. Returns what cannot be: nothing, because entries are checked when they are decoded and
  /// a table that does not fit is a fault of this node, which refuses connections and not the entry.
  /// - Parameter received: when it came, on the monotonic clock, in nanoseconds.
  func apply(_ batch: SessionBatch, received: UInt64) -> [Rejection] {
    self.lastHeard = received
    if self.firstHeard == 0 { self.firstHeard = received }
    self.snapshot.apply(batch.delta)
    self.followPaths(batch.delta)
    self.snapshotVersion = batch.version
    self.snapshotSource = "session"
    if batch.isComplete, !self.isComplete {
      self.isComplete = true
      Task { await self.supervisor.snapshotCame() }
    }
    guard self.isComplete else { return [] }
    self.followIdentities(isNew: batch.isComplete)
    self.reconcile(batch.delta)
    // Nothing to write: nothing waits.
    if self.tablesFollow { self.firstHeard = 0 }
    self.scheduleSave()
    return []
  }

  var heldVersions: [EntryKey: ContentVersion] { self.snapshot.versions }

  /// Writes the snapshot soon: many batches make one file.
  func scheduleSave() {
    guard !self.saveIsScheduled else { return }
    self.saveIsScheduled = true
    Task {
      try? await Task.sleep(for: .milliseconds(500))
      await self.save()
    }
  }

  private func save() async {
    self.saveIsScheduled = false
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    let file = SnapshotFile(
      node: self.configuration.node, epoch: self.snapshotVersion.epoch, revision: self.snapshotVersion.revision,
      createdUnixSeconds: Int64(now.tv_sec),
      identifiers: self.planner.identifiers.exported.tables.merging([Readiness.table: self.readiness.table]) { $1 },
      snapshot: self.snapshot)
    let disk = self.disk
    // Encoding and fsync take their time; the actor goes on meanwhile.
    let failure: MeshError? = await Task.detached {
      do throws(MeshError) {
        try disk.write(file.encoded())
        return nil
      } catch {
        return error
      }
    }.value
    // What decoding, planning and encoding took is free by now.
    Heap.giveBack()
    self.report("snapshot cannot be saved", failure)
    if failure != nil {
      self.scheduleRetryOfSave()
    } else {
      // What could not be read at the start has been written over.
      self.report("snapshot file", nil)
    }
  }

  private func scheduleRetryOfSave() {
    guard !self.saveIsScheduled else { return }
    self.saveIsScheduled = true
    Task {
      try? await Task.sleep(for: .seconds(10))
      await self.save()
    }
  }
}
