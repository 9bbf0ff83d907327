import MeshBase
import MeshSnapshot
import MeshTestSupport

@testable import MeshDNS

func spelled(_ text: String) -> SpelledName {
  guard let name = SpelledName(text) else { preconditionFailure("\(text) is no name") }
  return name
}

func name(_ text: String) -> DNSName { spelled(text).name }

func endpoint(_ text: String) -> SocketEndpoint {
  guard let endpoint = SocketEndpoint(text) else { preconditionFailure("\(text) is no endpoint") }
  return endpoint
}

/// A question as a client sends it.
func queryBytes(
  _ name: String, _ type: DNSType = .a, id: UInt16 = 7, recordClass: UInt16 = DNSClass.internet, edns: EDNS? = nil,
  flags: DNSFlags = .recursionDesired
) -> [UInt8] {
  DNSMessage(
    id: id, flags: flags, questions: [DNSQuestion(name: spelled(name), type: type, recordClass: recordClass)],
    additionals: edns.map { [$0.record] } ?? []
  ).bytes
}

func message(_ bytes: [UInt8]) throws -> DNSMessage { try DNSMessage(parsing: bytes) }

/// What an honest upstream says: the question repeated, with these records.
func replyBytes(
  to query: [UInt8], code: DNSResponseCode = .noError, flags: DNSFlags = [], answers: [DNSRecord] = [],
  additionals: [DNSRecord] = []
) throws -> [UInt8] {
  var reply = try message(query)
  reply.flags = reply.flags.union([.response, .recursionAvailable]).union(flags)
  reply.flags.code = code.rawValue
  reply.answers = answers
  reply.additionals = additionals
  return reply.bytes
}

func record(_ owner: String, _ text: String) -> DNSRecord {
  DNSRecord(name: spelled(owner), timeToLive: 60, address: address(text))
}

/// `web` with two ports and addresses of both families, `legacy` with IPv4 only, `db` without addresses.
let sampleSnapshot: Snapshot = {
  func service(_ text: String, _ addresses: [String], _ ports: [(UInt16, String)]) -> Entry {
    let name = resourceName(text)
    return .service(
      ServiceEntry(
        name: name, addresses: addresses.map(address),
        ports: ports.map { ServicePort(port: $0.0, name: $0.1, backends: [Backend(service: name, port: $0.0)]) }))
  }
  let database = Entry.endpoints(
    EndpointsEntry(
      service: resourceName("prod/db"),
      endpoints: [
        Endpoint(
          workload: resourceName("prod/db-0"), weight: 3, ports: [PortMapping(servicePort: 5432, targetPort: 15432)]),
        Endpoint(
          addresses: [address("10.1.0.2"), address("fd01::2")],
          ports: [PortMapping(servicePort: 5432, targetPort: 5433)]),
        Endpoint(addresses: [address("10.1.0.3")], isReady: false, ports: []),
        Endpoint(addresses: [address("10.1.0.4")], weight: 0, ports: []),
      ]))
  return Snapshot(of: [
    .config(vips: "240.0.0.0/8", vips6: "fd00:6d61::/64"),
    service("default/web", ["240.1.2.3", "fd00:6d61::5"], [(80, "http"), (443, "https")]),
    service("default/legacy", ["240.1.2.4"], [(80, "")]),
    service("prod/db", [], [(5432, "PG")]),
    service("prod/a.b", ["240.9.9.9"], [(80, "")]),
    .workload("prod/db-0", addresses: ["10.1.0.1"]), database,
  ])
}()

let sampleZone = MeshZone(sampleSnapshot)
