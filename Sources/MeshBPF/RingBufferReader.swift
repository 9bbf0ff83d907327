package import CMeshABI
import CMeshBPF
import Glibc
package import MeshBase
import Synchronization

/// Reads the ring of events on a thread of its own and hands over what came in batches: a descriptor of a BPF map cannot be
/// watched by an event loop. The first record wakes the thread; then it rests for `rest`, so that many records cost few
/// wakes. While nothing is recorded it sleeps.
package final class RingBufferReader: Sendable {
  private let state: Shared

  /// - Parameters:
  ///   - descriptor: the map; is used while the reader runs, so keep its owner.
  ///   - rest: milliseconds after a batch in which nobody is woken.
  ///   - deliver: runs on the reader's thread with at least one event, in order.
  package init(
    name: String, descriptor: CInt, rest: UInt32 = 20, deliver: @escaping @Sendable ([mesh_event]) -> Void
  ) throws(MeshError) {
    let state = Shared(try OwnedDescriptor.duplicate(descriptor, name), rest, deliver)
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
      context.release()
      throw BPFFailure.error(-result, name, "cannot start the reader's thread")
    }
    state.thread = thread
    self.state = state
  }

  deinit {
    self.state.stop()
    if self.state.joined.exchange(true, ordering: .acquiringAndReleasing) == false {
      pthread_detach(self.state.thread)
    }
  }

  /// Ends the thread after it delivered what is waiting, and returns when it has ended. Not from `deliver`.
  package func stop() {
    self.state.stop()
    if self.state.joined.exchange(true, ordering: .acquiringAndReleasing) == false {
      pthread_join(self.state.thread, nil)
    }
  }

  /// Shared by the owner and the thread. Unchecked: `ring` and `thread` are written before the thread starts or by the
  /// owner alone, `batch` is touched by the thread alone.
  private final class Shared: @unchecked Sendable {
    let descriptor: OwnedDescriptor
    let rest: UInt32
    let deliver: @Sendable ([mesh_event]) -> Void
    let stopping = Atomic(false)
    let joined = Atomic(false)
    var ring: OpaquePointer?
    var thread = pthread_t()
    var batch: [mesh_event] = []

    init(
      _ descriptor: OwnedDescriptor, _ rest: UInt32, _ deliver: @escaping @Sendable ([mesh_event]) -> Void
    ) {
      self.descriptor = descriptor
      self.rest = rest
      self.deliver = deliver
    }

    deinit { cmesh_ring_close(self.ring) }

    func stop() {
      self.stopping.store(true, ordering: .releasing)
      cmesh_ring_wake(self.ring)
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

    /// The net below: a look that nobody asked for.
    private static let longest: Int32 = 10_000
    /// A batch after which there is no rest, because the ring fills faster than that.
    private static let storm: CInt = 1_024

    func run() {
      while true {
        let last = self.stopping.load(ordering: .acquiring)
        let result = cmesh_ring_poll(self.ring, last ? 0 : Self.longest)
        self.flush()
        if last { break }
        // An error of the ring itself does not go away; looking at full speed would only burn a processor.
        if result != 0, result < Self.storm { usleep(max(self.rest, 1) * 1_000) }
      }
    }
  }
}
