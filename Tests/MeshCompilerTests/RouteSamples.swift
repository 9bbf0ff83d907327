@testable import MeshCompiler

/// Routes of requests with every field that they may have.
enum RouteSamples {
  static let web = """
    apiVersion: v1
    kind: Service
    metadata: {name: web, namespace: shop}
    spec:
      selector: {app: web}
      ports:
        - {name: http, port: 80, appProtocol: http}
        - {name: admin, port: 81}
        - {name: calls, port: 90, appProtocol: grpc}
        - {name: db, port: 5432, appProtocol: postgres}
    """

  static let next = """
    apiVersion: v1
    kind: Service
    metadata: {name: next, namespace: shop}
    spec:
      selector: {app: next}
      ports: [{port: 80}]
    """

  static let stock = """
    apiVersion: v1
    kind: Service
    metadata: {name: other, namespace: stock}
    spec:
      selector: {app: other}
      ports: [{port: 80}]
    """

  static let http = """
    apiVersion: gateway.networking.k8s.io/v1
    kind: HTTPRoute
    metadata: {name: split, namespace: shop, creationTimestamp: "2026-01-31T00:00:00Z"}
    spec:
      parentRefs:
        - {group: "", kind: Service, name: web, port: 80}
      rules:
        - name: canary
          matches:
            - path: {type: PathPrefix, value: /a}
              method: GET
              headers: [{name: X-Version, value: one}, {type: RegularExpression, name: b, value: "v[0-9]+"}]
              queryParams: [{name: Q, value: whale}]
          filters:
            - type: RequestHeaderModifier
              requestHeaderModifier:
                set: [{name: X-Set, value: a}]
                add: [{name: x-add, value: b}]
                remove: [x-gone]
            - type: ResponseHeaderModifier
              responseHeaderModifier: {remove: [server]}
            - type: URLRewrite
              urlRewrite: {hostname: example.com, path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}
            - type: RequestMirror
              requestMirror: {backendRef: {name: next, port: 80}, percent: 20}
            - type: RequestMirror
              requestMirror: {backendRef: {name: gone, port: 80}, fraction: {numerator: 1, denominator: 3}}
            - type: CORS
              cors:
                allowOrigins: ["https://*.example.com:8443", "http://*"]
                allowCredentials: true
                allowMethods: [GET, PUT]
                allowHeaders: [X-D]
                exposeHeaders: [x-e, "*"]
                maxAge: 9
          backendRefs:
            - {name: web, port: 80, weight: 9}
            - name: next
              port: 80
              weight: 0
              filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-b, value: c}]}}]
            - {group: example.com, kind: Bucket, name: files}
          timeouts: {request: 10s, backendRequest: 1s500ms}
          retry: {codes: [500, 503], attempts: 3, backoff: 100ms}
          sessionPersistence:
            type: Cookie
            absoluteTimeout: 1h
            cookie: {name: sticky, path: /, lifetimeType: Permanent}
        - matches:
            - path: {type: Exact, value: /old}
            - path: {type: RegularExpression, value: "/[0-9]+"}
          filters:
            - type: RequestRedirect
              requestRedirect:
                scheme: https
                hostname: example.org
                port: 8443
                statusCode: 308
                path: {type: ReplaceFullPath, replaceFullPath: /new}
    """

  static let grpc = """
    apiVersion: gateway.networking.k8s.io/v1
    kind: GRPCRoute
    metadata: {name: calls, namespace: shop}
    spec:
      parentRefs:
        - {group: "", kind: Service, name: web, sectionName: calls}
      rules:
        - matches:
            - method: {service: p.Store, method: Get}
              headers: [{name: Tenant, value: a}]
            - method: {type: RegularExpression, service: "p[.].*"}
          filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-a, value: b}]}}]
          backendRefs: [{name: next, port: 80}]
          sessionPersistence: {type: Header, header: {name: X-Session}}
        - backendRefs: [{name: web, port: 90}]
    """

  static let tls = """
    apiVersion: gateway.networking.k8s.io/v1
    kind: TLSRoute
    metadata: {name: secure, namespace: shop}
    spec:
      parentRefs: [{group: "", kind: Service, name: web, port: 5432}]
      hostnames: [a.example.com, "*.example.com"]
      rules: [{backendRefs: [{name: next, port: 80}]}]
    """

  static let tcp = """
    apiVersion: gateway.networking.k8s.io/v1
    kind: TCPRoute
    metadata: {name: bytes, namespace: shop}
    spec:
      parentRefs: [{group: "", kind: Service, name: web}]
      rules: [{backendRefs: [{name: next, port: 80}]}]
    """

  /// For all clients of its namespace's `web`, one rule that leads to `next`.
  static func simple(
    _ name: String, namespace: String = "shop", kind: String = "HTTPRoute",
    parent: String = "name: web, port: 80",
    backend: String = "name: next, port: 80", created: String? = nil
  ) -> String {
    """
    apiVersion: gateway.networking.k8s.io/v1
    kind: \(kind)
    metadata: {name: \(name), namespace: \(namespace)\(created.map { ", creationTimestamp: \"\($0)\"" } ?? "")}
    spec:
      parentRefs: [{group: "", kind: Service, \(parent)}]
      rules: [{name: \(name), backendRefs: [{\(backend)}]}]
    """
  }
}
