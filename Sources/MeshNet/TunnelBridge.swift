/// Between a pair of sockets of this process and a tunnel. Sockets of this kind know no RST: whether the end that comes is one is
/// told here.
final class TunnelBridge {
  /// What came is not whole.
  var isCut = false
}
