import CMeshRelay
import MeshBase

extension SocketEndpoint {
  var relayAddress: cmesh_relay_address {
    cmesh_relay_address(
      high: self.address.high, low: self.address.low, port: self.port, is_v4: self.address.isV4 ? 1 : 0)
  }
}
