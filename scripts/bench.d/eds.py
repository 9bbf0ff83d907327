"""Envoy as a peer of `churn`: as many clusters and endpoints, over ADS from `eds_server.py`, and when its admin endpoint says that
they are in use."""
import json
import subprocess
import sys
import time
import urllib.request

import harness


class Envoy:
    """One Envoy and its control plane. Times are from the moment that the control plane is told until Envoy's own statistics,
    asked every 2 ms, show the change."""

    def __init__(self, bench, services, each):
        self.bench, self.services, self.each = bench, services, each
        self.program = bench.envoy()
        self.python = bench.peer_python("grpcio", "grpc")
        self.processes = []

    def start(self):
        port, self.admin = self.bench.free_ports(2)
        self.plane = self.bench.start(
            [self.python, self.bench.root / "scripts" / "bench.d" / "eds_server.py", port, self.services, self.each],
            ready_port=port, stdin=subprocess.PIPE, text=True)
        grpc = {"envoy_grpc": {"cluster_name": "plane"}}
        http2 = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}}}}
        place = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
        # Only the statistics that are asked for, so that asking costs little.
        patterns = [{"prefix": "cluster_manager."}, {"prefix": "cluster.app-0.update_success"}, {"suffix": "membership_total"}]
        path = self.bench.work / "envoy-eds.json"
        path.write_text(json.dumps({
            "node": {"id": "bench", "cluster": "bench"},
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": self.admin}}},
            "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": patterns}}},
            "dynamic_resources": {
                "ads_config": {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [grpc]},
                "cds_config": {"resource_api_version": "V3", "ads": {}, "initial_fetch_timeout": "0s"}},
            "static_resources": {"clusters": [{
                "name": "plane", "type": "STATIC", "connect_timeout": "5s", "typed_extension_protocol_options": http2,
                "load_assignment": {"cluster_name": "plane", "endpoints": [{"lb_endpoints": [place]}]}}]}}))
        envoy = self.bench.start(
            [self.program, "-c", path, "--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id"],
            ready_port=self.admin)
        self.processes = [envoy, self.plane]
        time.sleep(1)  # the stream to the control plane is up

    def stop(self):
        for process in self.processes:
            process.terminate()
            process.wait()
            self.bench.processes.remove(process)
        self.processes = []

    def tell(self, line):
        self.plane.stdin.write(line + "\n")
        self.plane.stdin.flush()

    def stats(self, expression):
        url = f"http://127.0.0.1:{self.admin}/stats?filter={expression}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return {name: int(value) for name, _, value in (line.partition(": ") for line in lines) if value.isdigit()}

    def until(self, expression, condition, limit=60):
        """Milliseconds until the condition holds."""
        start = time.monotonic()
        while not condition(self.stats(expression)):
            if time.monotonic() - start > limit:
                raise harness.Failure(f"envoy does not follow: {self.stats(expression)}")
            time.sleep(0.002)
        return (time.monotonic() - start) * 1000

    def full_resync(self):
        """From clusters let out until all are warm, with every endpoint."""
        self.tell("go")
        spent = self.until(
            "^cluster_manager.(active|warming)_clusters$",
            lambda stats: stats.get("cluster_manager.active_clusters") == self.services + 1
            and stats.get("cluster_manager.warming_clusters") == 0)
        total = sum(value for name, value in self.stats("membership_total$").items() if ".app-" in name)
        if total != self.services * self.each:
            raise harness.Failure(f"envoy has {total} endpoints, not {self.services * self.each}")
        return spent

    def change(self, weight):
        """One endpoint's weight."""
        name = "cluster.app-0.update_success"
        before = self.stats(f"^{name}$").get(name, 0)
        self.tell(f"weight {weight}")
        return self.until(f"^{name}$", lambda stats: stats.get(name, 0) > before)


if __name__ == "__main__":
    sys.exit("scripts/bench churn runs this")
