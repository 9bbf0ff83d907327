import MeshBase
import MeshSnapshot

@testable import MeshCompiler

/// Resources of a small shop, as a user would write them.
enum Samples {
  static let config = """
    apiVersion: martlet.dev/v1alpha1
    kind: MeshConfig
    metadata: {name: mesh}
    spec:
      trustDomain: example.org
      rootNamespace: mesh-root
      vipRanges: [240.1.0.0/16, "fd00:1::/64"]
      connectTimeout: 1m30s500ms
    """

  static let namespace = """
    apiVersion: v1
    kind: Namespace
    metadata:
      name: shop
      labels: {team: a}
      annotations: {note: 1}
      creationTimestamp: null
    spec: {finalizers: [kubernetes]}
    status: {phase: Active}
    """

  static let workload = """
    apiVersion: martlet.dev/v1alpha1
    kind: Workload
    metadata:
      name: web-1
      namespace: shop
      labels:
        app: web
        version: v2
    spec:
      node: one
      serviceAccount: web
      networkNamespace: /run/netns/web
      addresses: [10.1.0.2, "fd00::2"]
      weight: 3
      failureMode: Open
      readiness: {tcp: {port: 8080}, periodSeconds: 5}
      ports:
        - {name: http, port: 8080}
    """

  static let service = """
    apiVersion: v1
    kind: Service
    metadata: {name: web, namespace: shop}
    spec:
      type: ClusterIP
      sessionAffinity: None
      internalTrafficPolicy: Cluster
      ipFamilyPolicy: SingleStack
      clusterIP: 10.96.0.1
      selector: {app: web}
      ports:
        - name: http
          port: 80
          targetPort: http
          protocol: TCP
          appProtocol: kubernetes.io/h2c
        - {name: db, port: 5432}
    """

  static let manual = """
    apiVersion: v1
    kind: Service
    metadata: {name: manual, namespace: shop}
    spec:
      ports: [{port: 9000}]
    """

  static let slice = """
    apiVersion: discovery.k8s.io/v1
    kind: EndpointSlice
    metadata:
      name: manual-1
      namespace: shop
      labels: {kubernetes.io/service-name: manual}
    addressType: IPv4
    ports: [{port: 9001, protocol: TCP}]
    endpoints:
      - addresses: [192.0.2.7]
      - addresses: [10.1.0.2]
        conditions: {ready: true, serving: true, terminating: true}
        targetRef: {kind: Workload, name: web-1}
        nodeName: one
    """

  static let route = """
    apiVersion: gateway.networking.k8s.io/v1alpha2
    kind: TCPRoute
    metadata: {name: split, namespace: shop}
    spec:
      parentRefs:
        - {group: "", kind: Service, name: web, port: 5432}
      rules:
        - backendRefs:
            - {name: web, port: 5432, weight: 9}
            - {group: "", kind: Service, name: other, namespace: stock, port: 7000}
    """

  static let stock = """
    apiVersion: v1
    kind: Service
    metadata: {name: other, namespace: stock}
    spec:
      clusterIP: None
      selector: {app: other}
      ports: [{port: 7000, targetPort: 7001}]
    """

  static let grant = """
    apiVersion: gateway.networking.k8s.io/v1beta1
    kind: ReferenceGrant
    metadata: {name: shop, namespace: stock}
    spec:
      from: [{group: gateway.networking.k8s.io, kind: TCPRoute, namespace: shop}]
      to: [{group: "", kind: Service, name: other}]
    """

  static let policy = """
    apiVersion: security.istio.io/v1
    kind: AuthorizationPolicy
    metadata: {name: web, namespace: shop}
    spec:
      selector: {matchLabels: {app: web}}
      action: DENY
      rules:
        - from:
            - source:
                principals: ["cluster.local/ns/shop/sa/a", "*/sa/b"]
                notPrincipals: ["cluster.local/ns/x/*"]
                namespaces: [shop, "st*"]
                notNamespaces: ["*-test"]
                ipBlocks: [10.0.0.0/8, "fd00::7"]
                notIpBlocks: [10.9.0.0/16]
            - source:
                serviceAccounts: [own, stock/other]
                notServiceAccounts: [bad]
          to:
            - operation: {ports: ["80", "5432"], notPorts: ["80"]}
          when:
            - {key: source.ip, values: [10.0.0.0/8], notValues: [10.7.0.1]}
            - {key: source.namespace, notValues: ["kube-*"]}
            - {key: source.principal, values: ["*"]}
            - {key: destination.port, values: ["5432"], notValues: ["22"]}
    """

  static let root = """
    apiVersion: security.istio.io/v1beta1
    kind: AuthorizationPolicy
    metadata: {name: all, namespace: mesh-root}
    spec:
      rules: [{from: [{source: {principals: ["*"]}}]}]
    """

  static let all = [
    config, namespace, workload, service, manual, slice, route, stock, grant, policy, root,
  ]

  static func stream(_ documents: [String]) -> [UInt8] {
    Array(documents.joined(separator: "\n---\n").utf8)
  }

  static func compile(_ documents: String...) -> CompileResult {
    var compiler = Compiler()
    compiler.update(file: "a.yaml", bytes: Self.stream(documents))
    return compiler.compile(now: 1_000)
  }

  static func name(_ text: String) -> ResourceName { ResourceName(text) ?? Self.none }
  private static let none = ResourceName(namespace: "none", name: "none").unsafelyUnwrapped
}
