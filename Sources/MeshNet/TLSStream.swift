import CMeshRelay
import CMeshTLS
import Glibc
import MeshBase

/// One TLS connection without its socket: ciphertext is fed to it and taken from it in large pieces, whatever records are in them.
/// Confined to its loop.
///
/// ```
/// feed ─► handshake until done ─► read until needsInput        write ─► send(to:) or output, sent
/// ```
/// What was fed has to stay where it is until it was read, or `forgetInput`.
final class TLSStream {
  enum Step: Equatable {
    case needsInput
    case done
    case failed(TLSFailure)
  }

  enum Read: Equatable {
    case bytes(Int)
    case needsInput
    /// close_notify: nothing is missing.
    case ended
    case failed(TLSFailure)
  }

  /// What a record holds at most (RFC 8446 section 5.1).
  static let largestRecord = 16 << 10
  /// Of a handshake: a certificate message of 16 KiB, and what is around it.
  private static let longestHandshake = 32 << 10

  private let rule: TLSPeerRule
  private let choose: ((String?) -> TLSContext?)?
  /// Held while BoringSSL uses it.
  private var contexts: [TLSContext]
  private var handle: OpaquePointer?
  /// The peer's, when the handshake is done.
  private(set) var peer: SPIFFEID?
  private(set) var isOpen = false
  private var hasClosed = false
  private var taken = 0
  /// Given to the socket so far.
  private(set) var sentBytes: UInt64 = 0

  /// - time: Unix time in seconds, that certificates are judged at.
  /// - serverName: of a client.
  /// - choose: of a server: the context for the name that the client asks for; nil refuses it. Without it all get `context`.
  ///
  /// Nil: no memory.
  init?(
    _ context: TLSContext, _ rule: TLSPeerRule, time: Int64, serverName: String? = nil,
    choose: ((String?) -> TLSContext?)? = nil
  ) {
    self.rule = rule
    self.choose = choose
    self.contexts = [context]
    var hooks = mesh_tls_hooks(judge: judgePeer, choose: choose == nil ? nil : chooseContext)
    self.handle = nil
    guard
      let handle = mesh_tls_new(context.handle, &hooks, Unmanaged.passUnretained(self).toOpaque(), time, serverName)
    else { return nil }
    self.handle = handle
  }

  deinit { mesh_tls_free(self.handle) }

  // MARK: what BoringSSL asks

  fileprivate func judge(_ names: Int, _ uri: String?) -> Bool {
    self.peer = self.rule.admit(names: names, uri: uri)
    return self.peer != nil
  }

  fileprivate func context(for name: String?) -> OpaquePointer? {
    guard let context = self.choose?(name) else { return nil }
    self.contexts.append(context)
    return context.handle
  }

  // MARK: input

  func feed(_ bytes: UnsafeRawBufferPointer) {
    mesh_tls_feed(self.handle, bytes.baseAddress, bytes.count)
    if !self.isOpen { self.taken += bytes.count }
  }

  /// What is left of it is of no use.
  func forgetInput() { mesh_tls_feed(self.handle, nil, 0) }

  /// What comes of what was fed. A client begins with it; there is output after it in any case.
  func handshake() -> Step {
    guard !self.isOpen else { return .done }
    switch mesh_tls_handshake(self.handle) {
    case MESH_TLS_DONE:
      guard self.peer != nil else { return .failed(.noCertificate) }
      self.isOpen = true
      return .done
    case MESH_TLS_WANTS_INPUT: return self.taken > Self.longestHandshake ? .failed(.handshakeTooLong) : .needsInput
    default: return .failed(self.failure)
    }
  }

  /// One record, at most; `buffer` has room for one (16 KiB).
  func read(into buffer: UnsafeMutableRawBufferPointer) -> Read {
    let count = mesh_tls_read(self.handle, buffer.baseAddress, buffer.count)
    switch count {
    case 0: return .needsInput
    case -2: return .ended
    case 1...: return .bytes(count)
    default: return .failed(self.failure)
    }
  }

  private var failure: TLSFailure { TLSFailure(mesh_tls_reason(self.handle)) }

  /// The alert that the peer ended the handshake with (RFC 8446 section 6).
  var alert: UInt8? {
    let alert = mesh_tls_alert(self.handle)
    return alert < 0 ? nil : UInt8(truncatingIfNeeded: alert)
  }

  // MARK: output

  /// Makes records of it. False: the connection has failed.
  func write(_ bytes: UnsafeRawBufferPointer) -> Bool {
    mesh_tls_write(self.handle, bytes.baseAddress, bytes.count) == 0
  }

  /// Says that nothing comes any more. False: it was said.
  func close() -> Bool {
    guard self.isOpen, !self.hasClosed else { return false }
    self.hasClosed = true
    mesh_tls_close(self.handle)
    return true
  }

  var output: UnsafeRawBufferPointer {
    var size = 0
    let bytes = mesh_tls_output(self.handle, &size)
    return UnsafeRawBufferPointer(start: bytes, count: size)
  }

  func sent(_ count: Int) {
    self.sentBytes &+= UInt64(count)
    mesh_tls_sent(self.handle, count)
  }

  /// Gives back memory that nothing is in.
  func rest() { mesh_tls_rest(self.handle) }

  /// As many of its records as the socket takes now.
  func flush(to socket: CInt) -> OutputQueue.Outcome {
    let output = self.output
    guard output.count > 0 else { return .empty }
    let count = cmesh_relay_send(socket, output.baseAddress, output.count)
    guard count >= 0 else { return count == -Int(EAGAIN) ? .full : .failed }
    self.sent(count)
    return count == output.count ? .empty : .full
  }
}

private func stream(_ user: UnsafeMutableRawPointer?) -> TLSStream? {
  user.map { Unmanaged<TLSStream>.fromOpaque($0).takeUnretainedValue() }
}

private let judgePeer: @convention(c) (UnsafeMutableRawPointer?, Int, UnsafePointer<UInt8>?, Int) -> CInt = {
  user, names, bytes, count in
  // A longer one is none of ours; a NUL in it is a character like any other, that no identity has.
  let uri = bytes.flatMap { bytes in
    count > 2048 ? nil : String(validating: UnsafeBufferPointer(start: bytes, count: count), as: UTF8.self)
  }
  return stream(user)?.judge(names, uri) == true ? 1 : 0
}

private let chooseContext: @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<CChar>?) -> OpaquePointer? = {
  user, name in
  stream(user)?.context(for: name.map { String(cString: $0) })
}

extension TLSFailure {
  init(_ reason: mesh_tls_reason) {
    self =
      switch reason {
      case MESH_TLS_OUT_OF_MEMORY: .outOfMemory
      case MESH_TLS_NO_CERTIFICATE: .noCertificate
      case MESH_TLS_EXPIRED: .expired
      case MESH_TLS_NOT_YET_VALID: .notYetValid
      case MESH_TLS_UNKNOWN_AUTHORITY: .unknownAuthority
      case MESH_TLS_CHAIN_TOO_LONG: .chainTooLong
      case MESH_TLS_WEAK: .weak
      case MESH_TLS_NOT_A_LEAF: .notLeaf
      case MESH_TLS_BAD_CHAIN: .badChain
      case MESH_TLS_WRONG_IDENTITY: .wrongIdentity
      case MESH_TLS_NO_PROTOCOL: .noProtocol
      case MESH_TLS_WRONG_VERSION: .wrongVersion
      case MESH_TLS_UNKNOWN_NAME: .unknownName
      case MESH_TLS_NOT_TLS: .notTLS
      case MESH_TLS_ALERT: .alert
      default: .protocolError
      }
  }
}
