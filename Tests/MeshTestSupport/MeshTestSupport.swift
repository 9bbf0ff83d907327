/// # MeshTestSupport: what tests are made of
///
/// Two halves. For pure tests: `Entry` builders with good defaults and `SplitMix64`, a seeded random generator. For tests
/// in the kernel: `World`, which builds nodes and pods (namespaces, bridges, veth pairs, cgroups) on one machine, so that a
/// test reads like a sentence:
///
///     let world = try World("policy")
///     let node = try world.node("a")
///     let web = try node.pod("web", v4: "10.77.0.2", v6: "fd77::2")
///     let client = try node.pod("client", v4: "10.77.0.3", v6: "fd77::3")
///     try web.startEcho(port: 80)
///     #expect(try client.call("10.77.0.2:80", "hello") == .answer("hello"))
///
/// Read in this order: `World`, `WorldNode`, `WorldPod`, `Place`, `WorldProcess`, `Place+Programs`, `eventually`, `Entry+Builders`.
///
/// Invariants: nothing of a World is in the namespace or the cgroups of the machine but one cgroup tree, names under
/// /run/netns, one directory in /run and one of pins, all bearing the World's identifier; it removes them when it goes, and
/// what a run that died has left is removed by the next World; no thread of the test process ever changes its namespace or
/// cgroup: programs are started in them.
package enum MeshTestSupport {}
