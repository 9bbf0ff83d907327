import ArgumentParser

/// Where the control plane is, and how this host joins.
struct ControlPlaneOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Unix socket of the control plane. Without it the snapshot on disk is served.", valueName: "unix:path"))
  var control: String?

  @Option(
    help: ArgumentHelp(
      "The control plane of another host, its martlet-control's --listen; it takes the place of --control.",
      valueName: "address:port"))
  var controlPlane: String?

  @Option(
    help: ArgumentHelp(
      "File with the token of martlet token create, for --control-plane. Of no use any more once this host has joined.",
      valueName: "file"))
  var joinTokenFile: String?

  @Option(
    help: ArgumentHelp(
      """
      Address of this host that other hosts reach; may be given for IPv4 and IPv6. Workloads here and there then call each other \
      through tunnels (mutual TLS) on port 15008. With --control-plane the default is the address that leads there.
      """, valueName: "address"))
  var nodeAddress: [String] = []
}
