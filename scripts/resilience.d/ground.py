"""A mesh with a client and ten backends, and Envoy beside it with the same backends: whoever calls one side, the other rests."""
import json
import subprocess
import time

import harness
import world as worlds

PREFIX = "martlet-resilience-"
VIP, PORT, TARGET = "240.0.0.20", 80, 9000
COUNT = 10
CLIENT, QUIET, CALLER, ENVOY = "10.96.0.2", "10.96.0.5", "10.96.0.3", "10.96.0.4"
IN_FORCE = 20.0
CONNECT_MS, TRY_MS, REQUEST_MS = 250, 500, 2000

# What each mechanism is, for Martlet's TrafficPolicy; `Envoy.cluster` and `Envoy.route` say the same.
RETRIES = {"attempts": 2, "codes": [502, 503, 504], "backoff": "25ms", "perTryTimeout": f"{TRY_MS}ms", "budget": {"percent": 20, "perSecond": 10}}
OUTLIERS = {"consecutiveErrors": 5, "interval": "1s", "baseEjectionTime": "3s", "maxEjectionTime": "30s", "maxEjectionPercent": 50}
SETTINGS = {
    "plain": set(), "balancing": {"balancing"}, "retries": {"retries"}, "outliers": {"outliers"},
    "all": {"balancing", "retries", "outliers"},
}


class Backend:
    def __init__(self, pod, tool):
        self.pod = pod
        self.process = pod.start([tool, "serve", TARGET, pod.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.process.stdout.readline().strip() != "ready":
            raise harness.Failure(f"{pod.name} does not listen")

    def tell(self, line):
        """How many requests it has had."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline().split()[1])


class Ground:
    def __init__(self, bench, tool):
        self.bench, self.tool, self.marks = bench, tool, 0
        self.world = worlds.World(bench, PREFIX)
        self.client = self.world.pod("client", CLIENT)
        self.quiet = self.world.pod("quiet", QUIET)
        self.caller = self.world.outside("caller", CALLER)
        self.place = self.world.outside("envoy", ENVOY)
        self.backends = [Backend(self.world.pod(f"web{n}", f"10.96.1.{n + 1}"), tool) for n in range(COUNT)]
        self.envoy = None

    def start(self):
        self.switch("martlet", "plain")
        self.world.start_control().log.wait(r"\bready\b", timeout=60)
        self.world.start_agent()
        self.world.wait_ready()
        self._wait_in_force()

    def close(self):
        self.world.close()

    # ---- settings

    def switch(self, side, setting):
        """From now on this side does it so."""
        if side == "envoy":
            return self._start_envoy(SETTINGS[setting])
        self.marks += 1
        text = worlds.workload("client", path=self.client.path) + worlds.workload("quiet", path=self.quiet.path)
        for backend in self.backends:
            text += worlds.workload(backend.pod.name, labels={"app": "web"}, path=backend.pod.path)
        port = {"name": "http", "port": PORT, "targetPort": TARGET, "appProtocol": "http"}
        for name, app, address in (("web", "web", VIP), (f"mark-{self.marks}", "nobody", None)):
            spec = {"selector": {"app": app}, "ports": [port]}
            text += worlds.document("v1", "Service", name, spec | ({"clusterIP": address} if address else {}), None, "bench")
        parent = {"group": "", "kind": "Service", "name": "web"}
        text += worlds.document("gateway.networking.k8s.io/v1", "HTTPRoute", "web", {
            "parentRefs": [parent | {"port": PORT}], "rules": [{
                "timeouts": {"request": f"{REQUEST_MS}ms"}, "backendRefs": [{"name": "web", "port": PORT}]}]}, None, "bench")
        text += worlds.document("martlet.dev/v1alpha1", "MeshConfig", "mesh", {"connectTimeout": f"{CONNECT_MS}ms"}, None, "bench").replace(
            '"namespace": "bench"', '"labels": {}')
        text += worlds.document("martlet.dev/v1alpha1", "TrafficPolicy", "web", self.policy(SETTINGS[setting]) | {"targetRefs": [parent]}, None, "bench")
        self.world.write("mesh.yaml", text)
        if self.world.agent:
            self._wait_in_force()

    @staticmethod
    def policy(words):
        spec = {"loadBalancing": {"policy": "LeastRequest" if "balancing" in words else "RoundRobin"}}
        if "retries" in words:
            spec["retries"] = RETRIES
        if "outliers" in words:
            spec["outlierDetection"] = OUTLIERS
        return spec

    def _wait_in_force(self):
        deadline = time.monotonic() + IN_FORCE
        while time.monotonic() < deadline:
            names = [service["name"] for service in self.world.martlet("show", "services")]
            status = json.loads(subprocess.run(
                [self.bench.martlet("martlet"), "status", "--run-dir", self.world.run_directory, "-o", "json"], capture_output=True, text=True).stdout)
            if f"bench/mark-{self.marks}" in names and status["proxy"].get("appliedRevision", 0) >= status["revision"]:
                return
            time.sleep(0.05)
        raise harness.Failure(f"what was written is not in force within {IN_FORCE:g} s:\n  {self.world.control.log.tail()}\n  {self.world.agent.log.tail()}")

    # ---- the peer

    def _start_envoy(self, words):
        if self.envoy:
            self.envoy.terminate()
            self.envoy.wait()
            self.world.processes.remove(self.envoy)
        path = self.world.directory / "envoy.json"
        path.write_text(json.dumps(self.envoy_configuration(words)))
        self.envoy = self.place.start([self.bench.envoy(), "-c", path, "--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id"])
        for _ in range(200):
            if self.envoy.poll() is not None:
                raise harness.Failure(f"envoy ended with status {self.envoy.returncode}")
            if subprocess.run(self.caller.command(["curl", "-fs", "-m", "1", f"http://{ENVOY}/"]), capture_output=True).returncode == 0:
                return
            time.sleep(0.05)
        raise harness.Failure("envoy does not answer")

    def envoy_configuration(self, words):
        filters = "type.googleapis.com/envoy.extensions.filters"
        route = {"cluster": "web", "timeout": f"{REQUEST_MS / 1000}s"}
        if "retries" in words:
            route["retry_policy"] = {
                "retry_on": "connect-failure,refused-stream,reset,retriable-status-codes", "num_retries": RETRIES["attempts"],
                "retriable_status_codes": RETRIES["codes"], "per_try_timeout": f"{TRY_MS / 1000}s",
                "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.25s"}, "host_selection_retry_max_attempts": 5,
                "retry_host_predicate": [{"name": "previous", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"}}]}
        manager = {
            "@type": f"{filters}.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "http",
            "route_config": {"virtual_hosts": [{"name": "web", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": route}]}]},
            "http_filters": [{"name": "router", "typed_config": {"@type": f"{filters}.http.router.v3.Router"}}]}
        place = lambda address, port: {"socket_address": {"address": address, "port_value": port}}
        cluster = {
            "name": "web", "type": "STATIC", "connect_timeout": f"{CONNECT_MS / 1000}s",
            "lb_policy": "LEAST_REQUEST" if "balancing" in words else "ROUND_ROBIN",
            "circuit_breakers": {"thresholds": [{"retry_budget": {"budget_percent": {"value": 20}, "min_retry_concurrency": 10}}]},
            "load_assignment": {"cluster_name": "web", "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": place(backend.pod.address, TARGET)}} for backend in self.backends]}]}}
        if "outliers" in words:
            cluster["outlier_detection"] = {
                "consecutive_5xx": OUTLIERS["consecutiveErrors"], "interval": "1s", "base_ejection_time": "3s", "max_ejection_time": "30s",
                "max_ejection_percent": OUTLIERS["maxEjectionPercent"], "enforcing_success_rate": 0, "enforcing_consecutive_gateway_failure": 0}
        return {"static_resources": {
            "listeners": [{"name": "http", "address": place("0.0.0.0", PORT), "filter_chains": [{"filters": [
                {"name": "http", "typed_config": manager}]}]}], "clusters": [cluster]}}

    # ---- load

    def call(self, side, rate, seconds, threads=200, of="client"):
        """A caller that has started; `result` waits for it. `of`: which workload calls."""
        pod, address = (self.quiet if of == "quiet" else self.client, VIP) if side == "martlet" else (self.caller, ENVOY)
        return pod.start([self.tool, "call", address, PORT, "/", rate, seconds, threads], stdout=subprocess.PIPE)

    def flood(self, side, seconds):
        """As many calls as go, on 256 connections."""
        pod, address = (self.client, VIP) if side == "martlet" else (self.caller, ENVOY)
        return pod.start(["h2load", "--h1", "-t", 1, "-c", 256, "-D", f"{seconds}s", f"http://{address}:{PORT}/"])

    @staticmethod
    def result(process):
        text, _ = process.communicate(timeout=120)
        if process.returncode != 0:
            raise harness.Failure("the caller failed")
        figures = json.loads(text)
        figures["success"] = figures["ok"] / figures["calls"]
        figures["failed"] = figures["calls"] - figures["ok"]
        return figures

    def served(self, line="count"):
        """Requests that the backends had; `line`: what they are told."""
        return sum(backend.tell(line) for backend in self.backends)
