package import CMeshABI
import CMeshBPF
import Glibc
package import MeshBase
import Synchronization

/// Reads the ring of events on a thread of its own and hands over what came in batches: a descriptor of a BPF map cannot be
/// watched by an event loop. Programs wake the thread only when much is waiting; else it looks every `interval`.
package final class RingBufferReader: Sendable {
  private let state: Shared

  /// - Parameters:
  ///   - descriptor: the map; is used while the reader runs, so keep its owner.
  ///   - interval: milliseconds between two looks.
  ///   - deliver: runs on the reader's thread with at least one event, in order.
  package init(
    name: String, descriptor: CInt, interval: Int32 = 50, deliver: @escaping @Sendable ([mesh_event]) -> Void
  ) throws(MeshError) {
    let state = Shared(try OwnedDescriptor.duplicate(descriptor, name), interval, deliver)
    var failure: CInt = 0
    let context = Unmanaged.passRetained(state)
    guard
      let ring = cmesh_ring_open(
        state.descriptor.rawValue,
        { context, record, length in
          guard let context, let record, length >= MemoryLayout<mesh_event>.size else { return 0 }
          Unmanaged<Shared>.fromOpaque(context).takeUnretainedValue()
            .append(record.loadUnaligned(as: mesh_event.self))
          return 0
        }, context.toOpaque(), &failure)
    else {
      context.release()
      throw BPFFailure.error(failure, name, "cannot read the ring buffer")
    }
    state.ring = ring
    var thread = pthread_t()
    let result = pthread_create(
      &thread, nil,
      { context in
        if let context { Unmanaged<Shared>.fromOpaque(context).takeRetainedValue().run() }
        return nil
      }, context.toOpaque())
    guard result == 0 else {
      cmesh_ring_close(ring)
      context.release()
      throw BPFFailure.error(-result, name, "cannot start the reader's thread")
    }
    state.thread = thread
    self.state = state
  }

  deinit {
    self.state.stopping.store(true, ordering: .releasing)
    if self.state.joined.exchange(true, ordering: .acquiringAndReleasing) == false {
      pthread_detach(self.state.thread)
    }
  }

  /// Ends the thread after it delivered what is waiting, and returns when it has ended. Not from `deliver`.
  package func stop() {
    self.state.stopping.store(true, ordering: .releasing)
    if self.state.joined.exchange(true, ordering: .acquiringAndReleasing) == false {
      pthread_join(self.state.thread, nil)
    }
  }

  /// Shared by the owner and the thread. Unchecked: `ring` and `thread` are written before the thread starts or by the
  /// owner alone, `batch` is touched by the thread alone.
  private final class Shared: @unchecked Sendable {
    let descriptor: OwnedDescriptor
    let interval: Int32
    let deliver: @Sendable ([mesh_event]) -> Void
    let stopping = Atomic(false)
    let joined = Atomic(false)
    var ring: OpaquePointer?
    var thread = pthread_t()
    var batch: [mesh_event] = []

    init(
      _ descriptor: OwnedDescriptor, _ interval: Int32, _ deliver: @escaping @Sendable ([mesh_event]) -> Void
    ) {
      self.descriptor = descriptor
      self.interval = interval
      self.deliver = deliver
    }

    func append(_ record: mesh_event) {
      self.batch.append(record)
      // A storm must not gather without bound while the ring is being emptied.
      if self.batch.count >= 4_096 { self.flush() }
    }

    func flush() {
      guard !self.batch.isEmpty else { return }
      self.deliver(self.batch)
      self.batch.removeAll(keepingCapacity: true)
    }

    func run() {
      while true {
        let last = self.stopping.load(ordering: .acquiring)
        let result = cmesh_ring_poll(self.ring, last ? 0 : self.interval)
        self.flush()
        if last { break }
        // An error of the ring itself does not go away; looking at full speed would only burn a processor.
        if result < 0 { usleep(UInt32(max(self.interval, 1)) * 1_000) }
      }
      cmesh_ring_close(self.ring)
    }
  }
}
