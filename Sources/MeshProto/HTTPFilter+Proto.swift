import MeshBase
import MeshSnapshot
import SwiftProtobuf

extension Martlet_Entries_V1_HTTPFilter {
  init(_ filter: HTTPFilter) {
    self.init()
    self.filter =
      switch filter {
      case .requestHeaders(let edit): .requestHeaders(Martlet_Entries_V1_HeaderEdit(edit))
      case .responseHeaders(let edit): .responseHeaders(Martlet_Entries_V1_HeaderEdit(edit))
      case .redirect(let redirect): .redirect(Martlet_Entries_V1_HTTPRedirect(redirect))
      case .rewrite(let rewrite): .rewrite(Martlet_Entries_V1_HTTPRewrite(rewrite))
      case .mirror(let mirror): .mirror(Martlet_Entries_V1_HTTPMirror(mirror))
      case .cors(let policy): .cors(Martlet_Entries_V1_CORSPolicy(policy))
      }
  }
}

extension HTTPFilter {
  static func list(
    _ messages: [Martlet_Entries_V1_HTTPFilter], _ field: FieldPath
  ) throws(MeshError) -> [HTTPFilter] {
    try field.list(messages) { message, field throws(MeshError) in try HTTPFilter(message, field) }
  }

  private init(_ message: Martlet_Entries_V1_HTTPFilter, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    switch message.filter {
    case .requestHeaders(let edit): self = .requestHeaders(try HeaderEdit(edit, field["request_headers"]))
    case .responseHeaders(let edit): self = .responseHeaders(try HeaderEdit(edit, field["response_headers"]))
    case .redirect(let redirect): self = .redirect(try HTTPRedirect(redirect, field["redirect"]))
    case .rewrite(let rewrite): self = .rewrite(try HTTPRewrite(rewrite, field["rewrite"]))
    case .mirror(let mirror): self = .mirror(try HTTPMirror(mirror, field["mirror"]))
    case .cors(let policy): self = .cors(try CORSPolicy(policy, field["cors"]))
    case nil: throw field.error("missing, or unknown to this version")
    }
  }
}

extension Martlet_Entries_V1_HeaderEdit {
  init(_ edit: HeaderEdit) {
    self.init()
    self.set = edit.set.map { Martlet_Entries_V1_HeaderField($0) }
    self.add = edit.add.map { Martlet_Entries_V1_HeaderField($0) }
    self.remove = edit.remove
  }
}

extension HeaderEdit {
  init(_ message: Martlet_Entries_V1_HeaderEdit, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    self.init(
      set: try HeaderField.list(message.set, field["set"]), add: try HeaderField.list(message.add, field["add"]),
      remove: try field["remove"].list(message.remove) { name, field throws(MeshError) in try field.headerName(name) })
  }
}

extension Martlet_Entries_V1_HeaderField {
  init(_ field: HeaderField) {
    self.init()
    self.name = field.name
    self.value = field.value
  }
}

extension HeaderField {
  static func list(
    _ messages: [Martlet_Entries_V1_HeaderField], _ field: FieldPath
  ) throws(MeshError) -> [HeaderField] {
    try field.list(messages) { message, field throws(MeshError) in
      try field.known(message)
      return HeaderField(
        name: try field["name"].headerName(message.name), value: try field["value"].value(message.value))
    }
  }
}

extension Martlet_Entries_V1_PathRewrite {
  init(_ path: PathRewrite) {
    self.init()
    self.path =
      switch path {
      case .full(let path): .full(path)
      case .prefix(let path): .prefix(path)
      }
  }
}

extension PathRewrite {
  init(_ message: Martlet_Entries_V1_PathRewrite, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    switch message.path {
    case .full(let path): self = .full(try field["full"].value(path))
    case .prefix(let path): self = .prefix(try field["prefix"].value(path))
    case nil: throw field.error("missing, or unknown to this version")
    }
  }
}

extension Martlet_Entries_V1_HTTPRedirect {
  init(_ redirect: HTTPRedirect) {
    self.init()
    self.scheme = redirect.scheme ?? ""
    self.hostname = redirect.hostname ?? ""
    if let path = redirect.path { self.path = Martlet_Entries_V1_PathRewrite(path) }
    self.port = UInt32(redirect.port ?? 0)
    self.status = UInt32(redirect.status)
  }
}

extension HTTPRedirect {
  init(_ message: Martlet_Entries_V1_HTTPRedirect, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    guard let status = UInt16(exactly: message.status), Self.statuses.contains(status) else {
      throw field["status"].error("\(message.status) is no redirect")
    }
    self.init(
      scheme: message.scheme.isEmpty ? nil : try field["scheme"].scheme(message.scheme),
      hostname: message.hostname.isEmpty ? nil : try field["hostname"].hostname(message.hostname),
      path: message.hasPath ? try PathRewrite(message.path, field["path"]) : nil,
      port: message.port == 0 ? nil : try field["port"].port(message.port), status: status)
  }
}

extension Martlet_Entries_V1_HTTPRewrite {
  init(_ rewrite: HTTPRewrite) {
    self.init()
    self.hostname = rewrite.hostname ?? ""
    if let path = rewrite.path { self.path = Martlet_Entries_V1_PathRewrite(path) }
  }
}

extension HTTPRewrite {
  init(_ message: Martlet_Entries_V1_HTTPRewrite, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    self.init(
      hostname: message.hostname.isEmpty ? nil : try field["hostname"].hostname(message.hostname),
      path: message.hasPath ? try PathRewrite(message.path, field["path"]) : nil)
  }
}

extension Martlet_Entries_V1_HTTPMirror {
  init(_ mirror: HTTPMirror) {
    self.init()
    self.service = mirror.backend.service.description
    self.port = UInt32(mirror.backend.port)
    self.valid = mirror.backend.isValid
    self.numerator = mirror.numerator
    self.denominator = mirror.denominator
  }
}

extension HTTPMirror {
  /// A mirror has neither weight nor filters of its own.
  init(_ message: Martlet_Entries_V1_HTTPMirror, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    guard message.denominator > 0, message.numerator <= message.denominator else {
      throw field["numerator"].error("\(message.numerator) of \(message.denominator) is no share")
    }
    self.init(
      backend: HTTPBackend(
        service: try field["service"].resourceName(message.service), port: try field["port"].port(message.port),
        isValid: message.valid), numerator: message.numerator, denominator: message.denominator)
  }
}

extension Martlet_Entries_V1_CORSPolicy {
  init(_ policy: CORSPolicy) {
    self.init()
    self.origins = policy.origins
    self.allowsCredentials = policy.allowsCredentials
    self.methods = policy.methods
    self.headers = policy.headers
    self.exposedHeaders = policy.exposedHeaders
    self.maxAgeSeconds = policy.maxAgeSeconds
  }
}

extension CORSPolicy {
  init(_ message: Martlet_Entries_V1_CORSPolicy, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    func tokens(_ texts: [String], _ field: FieldPath) throws(MeshError) -> [String] {
      try field.list(texts) { text, field throws(MeshError) in try field.token(text) }
    }
    self.init(
      origins: try field["origins"].list(message.origins) { origin, field throws(MeshError) in
        try field.text(origin, limit: 512)
      }, allowsCredentials: message.allowsCredentials, methods: try tokens(message.methods, field["methods"]),
      headers: try tokens(message.headers, field["headers"]),
      exposedHeaders: try tokens(message.exposedHeaders, field["exposed_headers"]),
      maxAgeSeconds: message.maxAgeSeconds)
  }
}
