// swift-tools-version:6.2
import PackageDescription

// The house: see docs/architecture.md. Dependencies go to a strictly lower floor; `scripts/check-layers` compares
// this file with the import lines of every target, because the compiler does not (Swift 6.3.1).

let everyTarget: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .treatAllWarnings(as: .error),
  .treatWarning("DeprecatedDeclaration", as: .warning),
]

/// Without it `package` API is neither specialised nor inlined across targets in a release build.
let crossModule: [SwiftSetting] = [
  .unsafeFlags(["-enable-cmo-everything"], .when(configuration: .release))
]

/// Floors 1 to 4 hold no pointers: the compiler checks it.
let pure: [SwiftSetting] = everyTarget + crossModule + [.strictMemorySafety()]
let driver: [SwiftSetting] = everyTarget + crossModule
/// With `crossModule` on more than one target the compiler leaves the same specialisation of a standard library function in
/// several objects, as strong symbols (Swift 6.3.1). They are equal code: the linker takes the first.
let roofLinking: [LinkerSetting] = [
  .unsafeFlags(["-Xlinker", "--allow-multiple-definition"], .when(configuration: .release))
]
let cSettings: [CSetting] = [.treatAllWarnings(as: .error)]

let nio: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let hpack: Target.Dependency = .product(name: "NIOHPACK", package: "swift-nio-http2")
let nioHTTP2: Target.Dependency = .product(name: "NIOHTTP2", package: "swift-nio-http2")
let nioEmbedded: Target.Dependency = .product(name: "NIOEmbedded", package: "swift-nio")
let protobuf: Target.Dependency = .product(name: "SwiftProtobuf", package: "swift-protobuf")
let grpc: Target.Dependency = .product(name: "GRPCCore", package: "grpc-swift-2")
let grpcTransport: Target.Dependency = .product(
  name: "GRPCNIOTransportHTTP2Posix", package: "grpc-swift-nio-transport")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let x509: Target.Dependency = .product(name: "X509", package: "swift-certificates")
let asn1: Target.Dependency = .product(name: "SwiftASN1", package: "swift-asn1")
let nioTLS: Target.Dependency = .product(name: "NIOTLS", package: "swift-nio")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let lifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let signals: Target.Dependency = .product(name: "UnixSignals", package: "swift-service-lifecycle")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

let ground: [Target] = [
  .target(name: "CMeshABI", path: "bpf/abi", cSettings: cSettings),
  .target(
    name: "CMeshBPF", cSettings: cSettings,
    linkerSettings: [.linkedLibrary(":libbpf.a"), .linkedLibrary(":libelf.a"), .linkedLibrary(":libz.a")]),
  .target(name: "CMeshLinux", cSettings: cSettings),
  .target(name: "CMeshRelay", cSettings: cSettings),
  .target(name: "CMeshTLS", dependencies: [nioSSL], cSettings: cSettings),
]

let floor1: [Target] = [
  .target(name: "MeshBase", swiftSettings: pure)
]

let floor2: [Target] = [
  .target(name: "MeshSnapshot", dependencies: ["MeshBase"], swiftSettings: pure)
]

let floor3: [Target] = [
  .target(name: "MeshPolicy", dependencies: ["MeshBase", "MeshSnapshot"], swiftSettings: pure),
  .target(name: "MeshSync", dependencies: ["MeshBase", "MeshSnapshot"], swiftSettings: pure),
  .target(
    name: "MeshProto", dependencies: ["MeshBase", "MeshSnapshot", protobuf], exclude: ["protos"],
    swiftSettings: pure),
  .target(name: "MeshDNS", dependencies: ["MeshBase", "MeshSnapshot"], swiftSettings: pure),
  .target(name: "MeshIdentity", dependencies: ["MeshBase", crypto, x509, asn1], swiftSettings: pure),
  .target(name: "MeshHTTP", dependencies: [nio, hpack], swiftSettings: pure),
  .target(name: "MeshContainers", dependencies: ["MeshBase", "MeshSnapshot"], swiftSettings: pure),
  .target(name: "MeshTelemetry", dependencies: ["MeshBase", "MeshSnapshot"], swiftSettings: pure),
]

let floor4: [Target] = [
  .target(
    name: "MeshCompiler",
    dependencies: ["MeshBase", "MeshSnapshot", "MeshPolicy", "MeshProto", "MeshTelemetry", yams],
    swiftSettings: pure),
  .target(name: "MeshRouting", dependencies: ["MeshBase", "MeshSnapshot", "MeshHTTP"], swiftSettings: pure),
  .target(
    name: "MeshDatapath", dependencies: ["CMeshABI", "MeshBase", "MeshSnapshot", "MeshPolicy"], swiftSettings: pure),
]

let floor5: [Target] = [
  .target(
    name: "MeshArguments", dependencies: ["MeshBase", "MeshTelemetry", "MeshSnapshot", arguments], swiftSettings: driver
  ),
  .target(name: "MeshLinux", dependencies: ["CMeshLinux", "MeshBase"], swiftSettings: driver),
  .target(name: "MeshBPF", dependencies: ["CMeshABI", "CMeshBPF", "MeshBase"], swiftSettings: driver),
  .target(
    name: "MeshLink",
    dependencies: [
      "CMeshLinux", "MeshBase", "MeshSnapshot", "MeshProto", "MeshTelemetry", "MeshRouting", nio, nioPosix, logging,
    ],
    swiftSettings: driver),
  .target(
    name: "MeshNet",
    dependencies: [
      "CMeshABI", "CMeshRelay", "CMeshTLS", "MeshBase", "MeshSnapshot", "MeshDNS", "MeshHTTP", "MeshTelemetry",
      "MeshRouting", logging,
    ], swiftSettings: driver),
  .target(
    name: "MeshWire",
    dependencies: [
      "MeshBase", "MeshSnapshot", "MeshSync", "MeshProto", "MeshTelemetry", "MeshIdentity", protobuf, grpc,
      grpcTransport, nio, nioPosix, nioHTTP1, nioTLS, nioSSL, x509, logging, lifecycle,
    ],
    swiftSettings: driver),
  .target(
    name: "MeshStore", dependencies: ["MeshBase", "MeshCompiler", nio, nioPosix, logging], swiftSettings: driver),
]

let floor6: [Target] = [
  .target(
    name: "MeshControlPlane",
    dependencies: [
      "MeshBase", "MeshSnapshot", "MeshSync", "MeshProto", "MeshTelemetry", "MeshIdentity", "MeshCompiler", "MeshLinux",
      "MeshWire", "MeshStore", nio, nioPosix, nioHTTP1, x509, logging, lifecycle, signals,
    ], swiftSettings: driver),
  .target(
    name: "MeshAgent",
    dependencies: [
      "CMeshABI", "MeshBase", "MeshSnapshot", "MeshPolicy", "MeshSync", "MeshProto", "MeshContainers", "MeshTelemetry",
      "MeshRouting", "MeshHTTP", "MeshIdentity",
      "MeshDatapath", "MeshDNS", "MeshLinux", "MeshBPF", "MeshLink", "MeshWire", nio, nioPosix, nioHTTP1, logging,
      lifecycle, grpc,
    ], swiftSettings: driver),
  .target(
    name: "MeshProxy",
    dependencies: [
      "MeshBase", "MeshDNS", "MeshSnapshot", "MeshPolicy", "MeshTelemetry", "MeshHTTP", "MeshRouting", "MeshLink",
      "MeshNet", nio, nioPosix, logging, lifecycle,
    ],
    swiftSettings: driver),
  .target(
    name: "MeshCommands",
    dependencies: [
      "CMeshABI", "MeshBase", "MeshSnapshot", "MeshPolicy", "MeshContainers", "MeshTelemetry", "MeshCompiler",
      "MeshLinux", "MeshBPF",
      "MeshDatapath", "MeshStore", arguments, nio, nioPosix, nioHTTP1, yams,
    ], swiftSettings: driver),
]

let roof: [Target] = [
  .executableTarget(
    name: "martlet-control",
    dependencies: [
      "MeshControlPlane", "MeshArguments", "MeshBase", "MeshLinux", arguments, logging, lifecycle, signals,
    ],
    swiftSettings: everyTarget, linkerSettings: roofLinking),
  .executableTarget(
    name: "martletd",
    dependencies: [
      "MeshAgent", "MeshArguments", "MeshBase", "MeshLinux", "MeshTelemetry", arguments, logging, lifecycle, signals,
    ],
    swiftSettings: everyTarget, linkerSettings: roofLinking),
  .executableTarget(
    name: "martlet-proxy",
    dependencies: ["MeshProxy", "MeshArguments", "MeshBase", arguments, logging, lifecycle, signals],
    swiftSettings: everyTarget, linkerSettings: roofLinking),
  .executableTarget(
    name: "martlet", dependencies: ["MeshCommands", "MeshBase", arguments], swiftSettings: everyTarget,
    linkerSettings: roofLinking),
]

func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
  .testTarget(
    name: name + "Tests", dependencies: [.target(name: name)] + dependencies, exclude: exclude,
    swiftSettings: everyTarget)
}

let side: [Target] = [
  .target(
    name: "MeshTestSupport",
    dependencies: ["MeshBase", "MeshSnapshot", "MeshLinux", "CMeshLinux"], path: "Tests/MeshTestSupport",
    swiftSettings: everyTarget),
  tests("MeshBase", []),
  tests("MeshSnapshot", ["MeshBase", "MeshTestSupport"]),
  tests("MeshPolicy", ["MeshBase", "MeshSnapshot", "MeshTestSupport"]),
  tests("MeshSync", ["MeshBase", "MeshSnapshot", "MeshTestSupport"]),
  tests("MeshProto", ["MeshBase", "MeshSnapshot", "MeshTestSupport", protobuf]),
  tests("MeshDNS", ["MeshBase", "MeshSnapshot", "MeshTestSupport"]),
  tests("MeshIdentity", ["MeshBase", crypto, x509, asn1]),
  tests("MeshHTTP", [nio, nioEmbedded, hpack, nioHTTP2]),
  tests("MeshContainers", ["MeshBase", "MeshSnapshot"]),
  tests("MeshTelemetry", ["MeshBase", "MeshSnapshot", "MeshTestSupport"]),
  tests("MeshCompiler", ["MeshBase", "MeshSnapshot", "MeshPolicy", "MeshTestSupport"]),
  tests("MeshRouting", ["MeshBase", "MeshSnapshot", "MeshTestSupport"]),
  tests("MeshDatapath", ["CMeshABI", "MeshBase", "MeshSnapshot", "MeshPolicy", "MeshTestSupport"]),
  tests("MeshLinux", ["CMeshLinux", "MeshBase", "MeshTestSupport"]),
  tests(
    "MeshBPF", ["CMeshABI", "CMeshBPF", "MeshBase", "MeshLinux", "MeshTestSupport"], exclude: ["probe.py"]),
  tests(
    "MeshLink",
    [
      "MeshBase", "MeshSnapshot", "MeshTelemetry", "MeshRouting", "MeshLinux", "MeshTestSupport", nio, nioPosix,
      nioEmbedded,
    ]),
  tests(
    "MeshNet",
    [
      "CMeshABI", "CMeshRelay", "MeshBase", "MeshDNS", "MeshHTTP", "MeshIdentity", "MeshSnapshot", "MeshRouting",
      "MeshLinux", "MeshTelemetry", "MeshTestSupport", logging, crypto, x509, asn1,
    ]),
  tests(
    "MeshProxy",
    [
      "MeshBase", "MeshDNS", "MeshSnapshot", "MeshPolicy", "MeshTelemetry", "MeshHTTP", "MeshRouting", "MeshLink",
      "MeshNet",
      "MeshTestSupport", "martlet-proxy", nioPosix, logging,
    ]),
  tests(
    "MeshWire",
    [
      "MeshBase", "MeshSnapshot", "MeshSync", "MeshProto", "MeshIdentity", "MeshTestSupport", grpc, nio, nioPosix,
      nioSSL, logging,
    ]),
  tests("MeshStore", ["MeshBase", "MeshSnapshot", "MeshCompiler", "MeshTestSupport", nio, nioPosix, logging]),
  tests(
    "MeshControlPlane",
    [
      "MeshBase", "MeshSnapshot", "MeshSync", "MeshWire", "MeshCompiler", "MeshLinux", "MeshTelemetry",
      "MeshIdentity", "MeshTestSupport", "MeshProto", nio, nioPosix, nioSSL, x509, logging,
      lifecycle,
    ]),
  tests(
    "MeshAgent",
    [
      "CMeshABI", "MeshBase", "MeshHTTP", "MeshSnapshot", "MeshPolicy", "MeshDatapath", "MeshDNS", "MeshLinux",
      "MeshBPF", "MeshTelemetry", "MeshIdentity", "MeshTestSupport", "MeshWire", nio, nioPosix, nioHTTP1, logging,
    ]),
  tests(
    "MeshCommands",
    [
      "MeshAgent", "MeshBase", "MeshBPF", "MeshLinux", "MeshSnapshot", "MeshTelemetry", "MeshTestSupport", "MeshWire",
      nioPosix,
    ]),
  .testTarget(
    name: "RootTests",
    dependencies: [
      "CMeshABI", "MeshBase", "MeshSnapshot", "MeshLinux", "MeshBPF", "MeshDatapath", "MeshTestSupport",
      "martletd", "martlet-proxy", "martlet-control", "martlet",
    ], swiftSettings: everyTarget),
]

// The program of libFuzzer has no main: only scripts/fuzz asks for it.
let fuzz: [Target] =
  Context.environment["MARTLET_FUZZ"] == "build"
  ? [
    .executableTarget(
      name: "Fuzz", dependencies: ["MeshBase", "MeshSnapshot", "MeshHTTP", "MeshRouting"], swiftSettings: everyTarget)
  ] : []

// Only scripts/bench asks for it.
let bench: [Target] =
  Context.environment["MARTLET_BENCH"] == "build"
  ? [
    .executableTarget(
      name: "ChoiceBench", dependencies: ["MeshBase", "MeshSnapshot", "MeshRouting"], swiftSettings: everyTarget,
      linkerSettings: roofLinking)
  ] : []

let package = Package(
  name: "martlet",
  dependencies: [
    .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-http2.git", from: "1.46.0"),
    .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.6"),
    .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-protobuf.git", from: "1.39.0", traits: []),
    .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
    .package(url: "https://github.com/grpc/grpc-swift-2.git", from: "2.4.3"),
    .package(url: "https://github.com/grpc/grpc-swift-nio-transport.git", from: "2.9.2"),
    .package(url: "https://github.com/apple/swift-asn1.git", from: "1.7.4"),
    .package(url: "https://github.com/apple/swift-certificates.git", from: "1.21.1"),
    .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.2"),
    .package(url: "https://github.com/jpsim/Yams.git", from: "6.2.2"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
  ],
  targets: ground + floor1 + floor2 + floor3 + floor4 + floor5 + floor6 + roof + side + fuzz + bench
)
