import MeshBase
import Testing

@Suite("Names of units")
struct SystemdUnitTests {
  @Test("have a type with processes and the characters of systemd.unit(5)")
  func names() {
    for name in ["web.service", "app@blue.service", "a.b-c_d:1.scope", "user-1000.slice", "x\\x2dy.service"] {
      #expect(SystemdUnit.isName(name), "\(name)")
    }
    let long = String(repeating: "a", count: 248)
    #expect(SystemdUnit.isName(long.dropLast() + ".service"))
    for name in [
      "", ".service", "web", "web.socket", "app@.service", "@x.service", "../x.service", "a/b.service", "ä.service",
      "a b.service", "a\0.service", "web.service\n", long + ".service",
    ] {
      #expect(!SystemdUnit.isName(name), "\(name)")
    }
  }

  @Test("say where systemd puts them by itself")
  func cgroups() {
    #expect(SystemdUnit.usualCgroup("web.service") == "/system.slice/web.service")
    #expect(SystemdUnit.usualCgroup("app@blue.service") == "/system.slice/system-app.slice/app@blue.service")
    #expect(
      SystemdUnit.usualCgroup("my-app@1.service") == "/system.slice/system-my\\x2dapp.slice/my-app@1.service")
  }
}
