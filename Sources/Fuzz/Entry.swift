import Glibc

/// What is fuzzed: bytes of peers and of requests, through the machines that take them first. One program for libFuzzer; which of
/// the three it is, `MARTLET_FUZZ` says. `scripts/fuzz` builds and runs it; ordinary builds know nothing of it.
///
/// Besides not trapping, each holds a law: what is found must not depend on where the bytes were cut, and what the proxy writes of
/// a request is that request to whoever reads it (`expect`).
private enum Subject {
  case http1, http2, routes

  static let chosen: Subject = {
    switch getenv("MARTLET_FUZZ").map({ String(cString: $0) }) {
    case "http2": .http2
    case "routes": .routes
    default: .http1
    }
  }()
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  guard let start, count > 0 else { return 0 }
  // The first byte says how the rest is cut.
  let cut = Int(start[0])
  let bytes = Array(UnsafeBufferPointer(start: start + 1, count: count - 1))
  switch Subject.chosen {
  case .http1: fuzzHTTP1(bytes, cut: cut)
  case .http2: fuzzHTTP2(bytes, cut: cut)
  case .routes: fuzzRoutes(bytes, cut: cut)
  }
  return 0
}

/// A law that does not hold is a crash to libFuzzer.
func expect(_ holds: Bool, _ law: StaticString, _ found: @autoclosure () -> String = "") {
  guard !holds else { return }
  let line = Array("\(law) \(found())\n".utf8)
  _ = line.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
  abort()
}

/// The pieces of a stream: all at once, or of this many bytes.
func pieces(of bytes: [UInt8], size: Int) -> [ArraySlice<UInt8>] {
  guard size > 0, size < bytes.count else { return [bytes[...]] }
  return stride(from: 0, to: bytes.count, by: size).map { bytes[$0..<min($0 + size, bytes.count)] }
}
