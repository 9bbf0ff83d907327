import Glibc
import MeshBase
import Testing

@testable import MeshLinux

@Suite struct DescriptorSocketTests {
  @Test("64 descriptors arrive in order, open, close-on-exec, with their payload", arguments: [0, 1, 2, 63, 64])
  func passes(count: Int) throws {
    let pair = try Descriptor.socketPair()
    // A pipe for each, holding its number: what arrives tells which it is.
    var sent: [CInt] = []
    defer { for descriptor in sent { close(descriptor) } }
    for number in 0..<count {
      let (reading, writing) = try Descriptor.pipe().split()
      sent.append(reading)
      #expect(write(writing, [UInt8(number)], 1) == 1)
      close(writing)
    }
    try DescriptorSocket.send([1, 2, 3], descriptors: sent, over: pair.first.rawValue)
    guard var message = try DescriptorSocket.receive(from: pair.second.rawValue) else {
      Issue.record("the peer has closed")
      return
    }
    #expect(message.payload == [1, 2, 3])
    #expect(message.descriptorCount == count)
    var values: [Int] = []
    while let descriptor = message.takeDescriptor() {
      #expect(fcntl(descriptor.rawValue, F_GETFD) == FD_CLOEXEC)
      var value: UInt8 = 255
      #expect(read(descriptor.rawValue, &value, 1) == 1)
      values.append(Int(value))
    }
    #expect(values == Array(0..<count))
  }

  @Test("65 descriptors, or some without payload, are an error and nothing is sent")
  func refuses() throws {
    let pair = try Descriptor.socketPair()
    let one = try Descriptor.open("/dev/null", O_RDONLY)
    #expect(throws: SystemError(EINVAL, "sendmsg")) {
      try DescriptorSocket.send(
        [1], descriptors: Array(repeating: one.rawValue, count: 65), over: pair.first.rawValue)
    }
    #expect(throws: SystemError(EINVAL, "sendmsg")) {
      try DescriptorSocket.send([], descriptors: [one.rawValue], over: pair.first.rawValue)
    }
    #expect(fcntl(pair.second.rawValue, F_SETFL, O_NONBLOCK) == 0)
    #expect(throws: SystemError(EAGAIN, "recvmsg")) { _ = try DescriptorSocket.receive(from: pair.second.rawValue) }
  }

  @Test("A message that does not fit is dropped whole; the next one is read; a closed peer is the end")
  func truncated() throws {
    let (first, second) = try Descriptor.socketPair().split()
    let receiver = Descriptor(owning: second)
    let null = try Descriptor.open("/dev/null", O_RDONLY)
    try DescriptorSocket.send([1, 2, 3, 4], descriptors: [null.rawValue], over: first)
    try DescriptorSocket.send([5], over: first)
    close(first)
    #expect(throws: SystemError(EMSGSIZE, "recvmsg")) {
      _ = try DescriptorSocket.receive(capacity: 3, from: receiver.rawValue)
    }
    guard let next = try DescriptorSocket.receive(from: receiver.rawValue) else {
      Issue.record("the second message is missing")
      return
    }
    #expect(next.payload == [5])
    #expect(next.descriptorCount == 0)
    switch try DescriptorSocket.receive(from: receiver.rawValue) {
    case nil: break
    case let message?: Issue.record("received \(message.payload)")
    }
  }

  @Test("A sender that has gone is EPIPE, not a signal")
  func brokenPipe() throws {
    let (first, second) = try Descriptor.socketPair().split()
    close(second)
    let sender = Descriptor(owning: first)
    #expect(throws: SystemError(EPIPE, "sendmsg")) { try DescriptorSocket.send([1], over: sender.rawValue) }
  }

  @Test("The peer of a socket pair is this process")
  func peer() throws {
    let pair = try Descriptor.socketPair(.stream)
    let peer = try PeerCredentials(ofSocket: pair.first.rawValue)
    #expect(peer.pid == getpid())
    #expect(peer.uid == getuid())
    #expect(throws: MeshError.self) { _ = try PeerCredentials(ofSocket: -1) }
  }
}
