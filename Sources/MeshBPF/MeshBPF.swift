/// The Swift face of libbpf, and the datapath as one object.
///
/// Reading order: ``BPFObject`` (a compiled object: open, size, load), ``BPFMap`` and ``PerCPUMap`` (typed tables),
/// ``BPFLink`` (a program attached somewhere), ``PinDirectory`` (what survives the process, and the lock of its single
/// writer), ``RingBufferReader`` (events), and then ``KernelDatapath``, which is made of all of them: the mesh's programs
/// and maps, loaded as a transaction or adopted from the pins of an earlier process.
///
/// Invariants:
/// - Each descriptor has one owner, which closes it in `deinit`. A pin outlives the owner.
/// - Sizes of keys and values are compared with the kernel's when a map is opened; bytes are never reinterpreted.
/// - libbpf prints nothing: what it and the verifier said is the cause of the ``MeshError``.
/// - Pins of another layout are refused, never touched.
package enum MeshBPF {}
