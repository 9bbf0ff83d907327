import Glibc
import MeshBase
import Testing

@testable import MeshLink

@Suite struct DescriptorReceiverTests {
  @Test("the reading thread leaves its socket open: its number is nobody else's before the owner knows of the end")
  func socketStays() async throws {
    var pair: (CInt, CInt) = (-1, -1)
    let made = withUnsafeMutablePointer(to: &pair) {
      $0.withMemoryRebound(to: CInt.self, capacity: 2) {
        socketpair(AF_UNIX, CInt(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue), 0, $0)
      }
    }
    #expect(made == 0)
    let (ours, theirs) = pair
    let isOpen: Bool = try await withCheckedThrowingContinuation { continuation in
      let receiver = DescriptorReceiver(
        socket: ours, received: { _, descriptors in DescriptorSender.close(descriptors) },
        ended: { error in
          continuation.resume(returning: error == nil && fcntl(ours, F_GETFD) >= 0)
        })
      do throws(MeshError) {
        try receiver.start()
        close(theirs)
      } catch {
        continuation.resume(throwing: error)
      }
    }
    #expect(isOpen)
    #expect(close(ours) == 0)
  }
}
