import Crypto
import FoundationEssentials
import MeshBase
import MeshIdentity
import SwiftASN1
import Testing
import X509

@testable import MeshNet

/// An authority, and certificates of it that no authority would issue.
struct TLSBench {
  static let now = Date(timeIntervalSince1970: 1_800_000_000)
  static let time: Int64 = 1_800_000_000
  let rootKey = IdentityKey()
  let root: Certificate
  let authority: CertificateAuthority
  /// Signs what `authority` would not.
  let freeKey = P256.Signing.PrivateKey()
  let freeRoot: Certificate

  init(now: Date = Self.now) throws {
    self.root = try CertificateAuthority.makeRoot(trustDomain: "mesh.test", key: self.rootKey, now: now)
    let key = IdentityKey()
    let intermediate = try CertificateAuthority.makeIntermediate(
      trustDomain: "mesh.test", key: key, root: self.root, rootKey: self.rootKey, now: now)
    self.authority = try CertificateAuthority(
      trustDomain: "mesh.test", chain: [intermediate, self.root], key: key, now: now)
    let name = try DistinguishedName { CommonName("free") }
    self.freeRoot = try Certificate(
      version: .v3, serialNumber: .init(), publicKey: .init(self.freeKey.publicKey),
      notValidBefore: now.addingTimeInterval(-60), notValidAfter: now.addingTimeInterval(86_400), issuer: name,
      subject: name, signatureAlgorithm: .ecdsaWithSHA256,
      extensions: try Certificate.Extensions {
        Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 1))
        Critical(KeyUsage(keyCertSign: true))
      }, issuerPrivateKey: .init(self.freeKey))
  }

  static func id(_ name: String) -> SPIFFEID {
    guard let id = SPIFFEID("spiffe://mesh.test/ns/a/sa/\(name)") else {
      fatalError("\(name) names no service account")
    }
    return id
  }

  func roots() throws -> [[UInt8]] { try [self.root, self.freeRoot].map { try CertificateAuthority.der($0) } }

  func material(_ name: String, at date: Date = Self.now, lifetime: Double = 3600) throws -> TLSMaterial {
    let key = IdentityKey()
    let issued = try self.authority.issue(.workload(Self.id(name)), key: key.publicKey, lifetime: lifetime, now: date)
    return TLSMaterial(
      chain: issued.chain, key: try PEMDocument(pemString: key.pem).derBytes, roots: try self.roots())
  }

  /// Of `freeKey`, with any names, and whatever else is wrong with it.
  func material(
    names: [GeneralName], isAuthority: Bool = false, usages: [ExtendedKeyUsage.Usage] = [.serverAuth, .clientAuth],
    padding: Int = 0, length: Int = 1
  ) throws -> TLSMaterial {
    let key = P256.Signing.PrivateKey()
    let leaf = try Certificate(
      version: .v3, serialNumber: .init(), publicKey: .init(key.publicKey),
      notValidBefore: Self.now.addingTimeInterval(-60), notValidAfter: Self.now.addingTimeInterval(3600),
      issuer: self.freeRoot.subject, subject: DistinguishedName(), signatureAlgorithm: .ecdsaWithSHA256,
      extensions: try Certificate.Extensions {
        Critical(isAuthority ? BasicConstraints.isCertificateAuthority(maxPathLength: nil) : .notCertificateAuthority)
        Critical(KeyUsage(digitalSignature: true, keyCertSign: isAuthority))
        try ExtendedKeyUsage(usages)
        if !names.isEmpty { Critical(SubjectAlternativeNames(names)) }
        if padding > 0 {
          Certificate.Extension(
            oid: [1, 3, 6, 1, 4, 1, 99999, 1], critical: false, value: ArraySlice([UInt8](repeating: 4, count: padding))
          )
        }
      }, issuerPrivateKey: .init(self.freeKey))
    let der = try CertificateAuthority.der(leaf)
    return TLSMaterial(
      chain: [der] + (1..<max(1, length)).map { _ in der },
      key: try PEMDocument(pemString: key.pemRepresentation).derBytes,
      roots: try self.roots())
  }
}

/// Two streams and the wires between them.
struct TLSPair {
  let client: TLSStream
  let server: TLSStream

  init(
    client: TLSMaterial, server: TLSMaterial, expecting name: String = "server", domain: String = "mesh.test",
    time: Int64 = TLSBench.time, serverName: String? = nil, choose: ((String?) -> TLSContext?)? = nil
  ) throws {
    self.client = try #require(
      TLSStream(
        try TLSContext(.client, client, object: "client"), .identity(TLSBench.id(name)), time: time,
        serverName: serverName))
    self.server = try #require(
      TLSStream(
        try TLSContext(.server, server, object: "server"), .trustDomain(domain), time: time, choose: choose))
  }

  /// What is in the way from one to the other, taken.
  static func take(_ stream: TLSStream) -> [UInt8] {
    let bytes = Array(stream.output)
    stream.sent(bytes.count)
    return bytes
  }

  static func feed(_ bytes: [UInt8], to stream: TLSStream) -> TLSStream.Step {
    bytes.withUnsafeBytes { bytes in
      stream.feed(bytes)
      defer { stream.forgetInput() }
      return stream.handshake()
    }
  }

  /// How both handshakes end. - piece: bytes that arrive at a time.
  func shake(piece: Int = .max) -> (client: TLSStream.Step, server: TLSStream.Step) {
    var client = self.client.handshake()
    var server = TLSStream.Step.needsInput
    for _ in 0..<8 {
      for piece in Self.pieces(Self.take(self.client), piece) where server == .needsInput {
        server = Self.feed(piece, to: self.server)
      }
      for piece in Self.pieces(Self.take(self.server), piece) where client == .needsInput {
        client = Self.feed(piece, to: self.client)
      }
    }
    return (client, server)
  }

  private static func pieces(_ bytes: [UInt8], _ size: Int) -> [[UInt8]] {
    guard size < bytes.count else { return bytes.isEmpty ? [] : [bytes] }
    return stride(from: 0, to: bytes.count, by: size).map { Array(bytes[$0..<min(bytes.count, $0 + size)]) }
  }

  /// What the other one reads.
  static func carry(from: TLSStream, to: TLSStream) -> (bytes: [UInt8], last: TLSStream.Read) {
    let records = Self.take(from)
    var result: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 16384)
    return records.withUnsafeBytes { records in
      to.feed(records)
      while true {
        let read = buffer.withUnsafeMutableBytes { to.read(into: $0) }
        guard case .bytes(let count) = read else { return (result, read) }
        result += buffer[..<count]
      }
    }
  }
}

@Suite("TLS between nodes")
struct TLSStreamTests {
  @Test("both sides know each other, and bytes go both ways, in one piece and byte by byte", arguments: [Int.max, 1])
  func handshake(piece: Int) throws {
    let bench = try TLSBench()
    let pair = try TLSPair(client: bench.material("client"), server: bench.material("server"))
    let steps = pair.shake(piece: piece)
    #expect(steps.client == .done)
    #expect(steps.server == .done)
    #expect(pair.client.peer == TLSBench.id("server"))
    #expect(pair.server.peer == TLSBench.id("client"))
    let sent = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    let isWritten = sent.withUnsafeBytes { pair.client.write($0) }
    #expect(isWritten)
    let carried = TLSPair.carry(from: pair.client, to: pair.server)
    #expect(carried.bytes == sent)
    #expect(carried.last == .needsInput)
    let isClosed = pair.server.close()
    #expect(isClosed)
    #expect(TLSPair.carry(from: pair.server, to: pair.client).last == .ended)
  }

  @Test("a server that is another one is not spoken to")
  func otherServer() throws {
    let bench = try TLSBench()
    let pair = try TLSPair(client: bench.material("client"), server: bench.material("other"))
    let steps = pair.shake()
    #expect(steps.client == .failed(.wrongIdentity))
    #expect(steps.server == .failed(.alert))
  }

  @Test("a certificate's time is judged at the time of the handshake")
  func times() throws {
    let bench = try TLSBench()
    let late = try TLSPair(
      client: bench.material("client", lifetime: 3600), server: bench.material("server", lifetime: 7200),
      time: TLSBench.time + 5000)
    #expect(late.shake().server == .failed(.expired))
    let early = try TLSPair(
      client: bench.material("client", at: TLSBench.now.addingTimeInterval(4000)), server: bench.material("server"))
    #expect(early.shake().server == .failed(.notYetValid))
  }

  @Test("certificates of another authority are refused, and those of another trust domain")
  func authorities() throws {
    let bench = try TLSBench()
    let other = try TLSBench()
    var stranger = try other.material("client")
    stranger.roots = try bench.roots()
    #expect(
      try TLSPair(client: stranger, server: bench.material("server")).shake().server == .failed(.unknownAuthority))
    let pair = try TLSPair(client: bench.material("client"), server: bench.material("server"), domain: "other.test")
    #expect(pair.shake().server == .failed(.wrongIdentity))
  }

  @Test("a certificate has exactly one name, and that is a workload's")
  func names() throws {
    let bench = try TLSBench()
    let good = GeneralName.uniformResourceIdentifier(TLSBench.id("client").description)
    func outcome(_ names: [GeneralName]) throws -> TLSStream.Step {
      try TLSPair(client: bench.material(names: names), server: bench.material("server")).shake().server
    }
    #expect(try outcome([good]) == .done)
    let bad: [[GeneralName]] = [
      [], [good, good], [good, .dnsName("a.test")], [.dnsName("a.test"), good], [.dnsName("a.test")],
      [.registeredID([1, 2, 3])], [.uniformResourceIdentifier("https://mesh.test/ns/a/sa/client")],
      [.uniformResourceIdentifier("spiffe://mesh.test/ns/a/sa/client?x")],
      [.uniformResourceIdentifier("spiffe://MESH.test/ns/a/sa/client")],
      [.uniformResourceIdentifier("spiffe://mesh.test/ns/a/sa/client\0")],
      [.uniformResourceIdentifier("spiffe://mesh.test/ns/a/sa/%2e%2e")],
      [.uniformResourceIdentifier("spiffe://mesh.test/martlet/node/one")], [.uniformResourceIdentifier("")],
      [.uniformResourceIdentifier("spiffe://mesh.test/ns/a/sa/" + String(repeating: "x", count: 3000))],
    ]
    for names in bad { #expect(try outcome(names) == .failed(.wrongIdentity), "\(names)") }
  }

  @Test("authorities, certificates for other uses, and long chains are refused")
  func leaves() throws {
    let bench = try TLSBench()
    let name = GeneralName.uniformResourceIdentifier(TLSBench.id("client").description)
    func outcome(_ material: TLSMaterial) throws -> TLSStream.Step {
      try TLSPair(client: material, server: bench.material("server")).shake().server
    }
    #expect(try outcome(bench.material(names: [name], isAuthority: true)) == .failed(.notLeaf))
    #expect(try outcome(bench.material(names: [name], usages: [.serverAuth])) == .failed(.notLeaf))
    #expect(try outcome(bench.material(names: [name], length: 4)) == .failed(.chainTooLong))
    #expect(try outcome(bench.material(names: [name], padding: 10_000)) == .done)
    #expect(try outcome(bench.material(names: [name], padding: 20_000)) == .failed(.chainTooLong))
  }

  @Test("a listener of several chooses by the client's name, and nobody without one gets in")
  func serverNames() throws {
    let bench = try TLSBench()
    let server = try bench.material("server")
    let other = try TLSContext(.server, bench.material("second"), object: "second")
    func outcome(_ name: String?, expecting: String) throws -> (TLSStream.Step, TLSStream.Step) {
      let pair = try TLSPair(
        client: bench.material("client"), server: server, expecting: expecting, serverName: name,
        choose: { $0 == "w-0123456789abcdef" ? other : nil })
      let steps = pair.shake()
      return (steps.client, steps.server)
    }
    #expect(try outcome("w-0123456789abcdef", expecting: "second") == (.done, .done))
    #expect(try outcome("w-0000000000000000", expecting: "second") == (.failed(.alert), .failed(.unknownName)))
    #expect(try outcome(nil, expecting: "server") == (.failed(.alert), .failed(.unknownName)))
  }

  @Test("what is no TLS, and a handshake that does not end, are ended")
  func garbage() throws {
    let bench = try TLSBench()
    func server() throws -> TLSStream {
      try #require(
        TLSStream(
          TLSContext(.server, bench.material("server"), object: "server"), .trustDomain("mesh.test"),
          time: TLSBench.time
        ))
    }
    #expect(TLSPair.feed(Array("GET / HTTP/1.1\r\n\r\n".utf8), to: try server()) == .failed(.notTLS))
    var random = SystemRandomNumberGenerator()
    for _ in 0..<200 {
      let stream = try server()
      let bytes = (0..<64).map { _ in UInt8.random(in: 0...255, using: &random) }
      guard case .failed = TLSPair.feed([22, 3, 1, 0, 60] + bytes, to: stream) else {
        // What looks like the beginning of a longer message waits for it.
        continue
      }
    }
    // A ClientHello that would be 4 MiB long.
    let endless = try server()
    var step = TLSStream.Step.needsInput
    for index in 0..<8 where step == .needsInput {
      step = TLSPair.feed(
        [22, 3, 1, 0x40, 0] + (index == 0 ? [1, 0x3f, 0, 0] : [1, 1, 1, 1]) + [UInt8](repeating: 1, count: 16380),
        to: endless)
    }
    #expect(step != .needsInput)
    #expect(step != .done)
  }

  @Test("material that is wrong is named")
  func material() throws {
    let bench = try TLSBench()
    let good = try bench.material("client")
    let other = try bench.material("other")
    func message(_ material: TLSMaterial) -> String {
      do {
        _ = try TLSContext(.client, material, object: "w")
        return "good"
      } catch {
        return error.message
      }
    }
    #expect(message(good) == "good")
    #expect(message(TLSMaterial(chain: [], key: good.key, roots: good.roots)).contains("chain"))
    #expect(message(TLSMaterial(chain: [[1, 2]], key: good.key, roots: good.roots)).contains("chain"))
    #expect(message(TLSMaterial(chain: good.chain, key: [], roots: good.roots)).contains("PKCS"))
    #expect(message(TLSMaterial(chain: good.chain, key: other.key, roots: good.roots)).contains("not its certificate"))
    #expect(message(TLSMaterial(chain: good.chain, key: good.key, roots: [])).contains("root"))
    #expect("\(good)".contains("not shown"))
  }
}
