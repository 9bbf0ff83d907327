"""What the runner takes for right and wrong, without a mesh: python3 -m unittest discover -s scripts/conformance.d"""
import base64
import json
import pathlib
import sys
import types
import unittest

sys.dont_write_bytecode = True
sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "bench.d"))
import caller
import conditions
import expectations
import manifests
import run

ECHO = types.SimpleNamespace(grpc_facts=lambda data: {"path": "/s/m", "host": "h", "headers": {}, "namespace": "n", "pod": "echo-v1-x-0"})
REQUEST = {"protocol": "http", "method": "GET", "host": "echo", "path": "/a", "headers": {}}


def answer(status=200, headers=(), trailers=(), body=None, **seen):
    facts = {"pod": "echo-v1-conf-0", "namespace": "n", "method": "GET", "path": "/a", "host": "echo", "headers": {}, **seen}
    body = json.dumps(facts).encode() if body is None else body
    return {"status": status, "headers": list(headers), "trailers": list(trailers), "body": base64.b64encode(body).decode()}


def problems(expect, given, **request):
    return expectations.problems(given, expect, {**REQUEST, **request}, ECHO)[0]


class Expectations(unittest.TestCase):
    def holds(self, expect, given, **request):
        self.assertEqual(problems(expect, given, **request), [])

    def fails(self, expect, given, word, **request):
        self.assertIn(word, " ".join(problems(expect, given, **request)))

    def test_what_nobody_knows_fails(self):
        for expect in ({"nonsense": 1}, {"request": {"nonsense": 1}}, {"response": {"nonsense": 1}}, {"redirect": {"nonsense": 1}}):
            self.fails(expect, answer(headers=[("Location", "http://echo/a")]), "nonsense")

    def test_status(self):
        self.holds({"status": [404, 200]}, answer())
        self.fails({"status": [404]}, answer(), "status 200")
        self.holds({"status": [408]}, answer(504))
        self.fails({"status": [200]}, {"error": "reset"}, "reset")

    def test_grpc_status(self):
        self.holds({"grpc_status": 0, "status": [200]}, answer(trailers=[("grpc-status", "0")]), protocol="grpc")
        self.holds({"grpc_status": 12, "status": [200]}, answer(404, body=b""), protocol="grpc")
        self.fails({"grpc_status": 0}, answer(404, body=b""), "gRPC status None", protocol="grpc")
        self.fails({"grpc_status": 0}, answer(headers=[("grpc-status", "14")]), "gRPC status 14", protocol="grpc")

    def test_backend(self):
        self.holds({"backend": "echo-v1", "namespace": "n"}, answer())
        self.fails({"backend": "echo-v2"}, answer(), "echo-v1-conf-0 answered")
        self.fails({"namespace": "m"}, answer(), "namespace n")
        self.fails({"backend": "echo-v1"}, answer(body=b"not found"), "no backend")
        self.holds({"reaches_backend": False, "status": [200]}, answer(body=b""))
        self.fails({"reaches_backend": False}, answer(), "no backend should")
        self.holds({"backend_named_by_header": "X-B"}, with_seen({"X-B": ["echo-v1"]}))
        self.fails({"backend_named_by_header": "X-B"}, with_seen({"X-B": ["echo-v2"]}), "X-B")
        self.fails({"backend_named_by_header": "X-B"}, with_seen({"X-B": ["echo-v1", "echo-v1"]}), "X-B")

    def test_what_the_backend_saw(self):
        self.holds({"request": {"method": "GET", "path": "/a", "host": "echo"}}, answer())
        self.fails({"request": {"path": "/b"}}, answer(), "path /a")
        self.fails({"request": {"host": "other"}}, answer(), "host echo")
        self.holds({"request": {"headers": {"x-a": "1,2"}}}, with_seen({"X-A": ["1", "2"]}))
        self.fails({"request": {"headers": {"x-a": "1"}}}, with_seen({"X-A": ["1", "2"]}), "1,2")
        self.fails({"request": {"headers": {"x-a": "1"}}}, with_seen({}), "None")
        self.fails({"request": {"absent_headers": ["x-a"]}}, with_seen({"X-A": [""]}), "expected none")

    def test_response(self):
        given = answer(headers=[("X-A", "1"), ("x-a", "2"), ("Vary", "a, b")])
        self.holds({"response": {"headers": {"x-A": ["3", "1,2"]}, "absent_headers": ["x-b"]}}, given)
        self.fails({"response": {"headers": {"x-a": ["1"]}}}, given, "1,2")
        self.fails({"response": {"absent_headers": ["x-a"]}}, given, "expected none")
        self.holds({"response": {"headers": {"vary": ["a,b"]}, "ignore_whitespace": True}}, given)

    def test_redirect(self):
        def to(location):
            return answer(302, headers=[("Location", location)], body=b"")

        expect = {"scheme": "http", "host": None, "port": None, "path": "/p"}
        self.holds({"redirect": expect}, to("http://any/p"))
        self.holds({"redirect": expect}, to("http://any:80/p?x=1"))
        self.holds({"redirect": expect}, to("/p"))
        self.fails({"redirect": expect}, to("http://any:8080/p"), "no port")
        self.fails({"redirect": expect}, to("https://any/p"), "scheme")
        self.fails({"redirect": expect}, to("http://any/q"), "path")
        self.fails({"redirect": {**expect, "host": "b"}}, to("http://any/p"), "host b")
        self.holds({"redirect": {**expect, "port": 8083}}, to("http://any:8083/p"))
        self.fails({"redirect": {**expect, "port": 8083}}, to("http://any/p"), "port 8083")
        self.fails({"redirect": expect}, to("http://any:port/p"), "no port")
        self.fails({"redirect": expect}, answer(302), "no Location")

    def test_websocket_and_tcp(self):
        echoed = {"status": 101, "headers": [], "trailers": [], "body": "", "messages": ["a"]}
        self.holds({"echoed": True}, echoed, protocol="websocket", messages=["a"])
        self.fails({"echoed": True}, echoed, "came back", protocol="websocket", messages=["a", "b"])
        self.holds({"reaches_backend": False}, {"error": "refused"}, protocol="tcp")
        self.fails({"reaches_backend": False}, {"error": "refused"}, "refused")

    def test_shares(self):
        split = {"weights": {"a": 0.7, "b": 0.3}, "tolerance": 0.05}
        self.assertEqual(list(expectations.share_problems(["a"] * 72 + ["b"] * 28, split)), [])
        self.assertEqual(len(list(expectations.share_problems(["a"] * 80 + ["b"] * 20, split))), 2)
        self.assertEqual(len(list(expectations.share_problems(["a"] * 70 + ["b"] * 29 + ["c"], split))), 1)
        self.assertEqual(len(list(expectations.share_problems(["a"] * 100, {**split, "tolerance": 0.31}))), 0)
        deviations = {"tolerance_stddevs": 3}
        self.assertEqual(list(expectations.mirror_problems("m", 60, 50, deviations, 100)), [])
        self.assertEqual(len(list(expectations.mirror_problems("m", 70, 50, deviations, 100))), 1)
        self.assertEqual(expectations.backend_of("echo-v1-conf-0"), "echo-v1")

    def test_what_nobody_knows_of_a_case(self):
        case = {
            "name": "a", "from": {"namespace": "n"}, "to": {"service": {}, "port": 80}, "request": REQUEST,
            "expect": {"mirrored_to": ["b"], "distribution": {"requests": 1}}}
        self.assertEqual(run.unknown_parts(case), [])
        case["to"]["path"], case["expect"]["distribution"]["weight"], case["after"] = "/", 1, []
        case["expect"]["mirrored_to"] = [{"backend": "b", "share": 5}]
        self.assertEqual(run.unknown_parts(case), ["after", "distribution.weight", "mirrored_to.share", "to.path"])
        route = {"kind": "HTTPRoute", "namespace": "n", "name": "r"}
        self.assertIn("wanted", conditions.problem(None, {"route": route, "wanted": 1}))

    def test_messages(self):
        self.assertEqual(caller.payload("ab"), (1, b"ab"))
        self.assertEqual(caller.payload([0, 255]), (2, b"\x00\xff"))

    def test_manifests(self):
        deployment = {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "echo", "namespace": "n"},
            "spec": {"template": {"spec": {"containers": [{"ports": [{"name": "web", "containerPort": 80}, {"containerPort": 81}]}]}}}}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "n"}}
        pod = {"name": "echo-conf-0", "namespace": "n", "labels": {"app": "echo"}}
        workload = manifests.workload([deployment], pod, "node", "/run/netns/x")
        self.assertEqual(workload["spec"]["ports"], [{"name": "web", "port": 80}])
        self.assertTrue(manifests.is_applied(workload))
        self.assertFalse(manifests.is_applied(secret))
        self.assertEqual(manifests.left_out([deployment, secret]), ["Secret"])
        self.assertEqual(manifests.key({"kind": "Service", "namespace": "n", "name": "s"}), ("Service", "n", "s"))


def with_seen(headers):
    """An answer of a backend that saw these headers."""
    given = answer()
    facts = json.loads(base64.b64decode(given["body"]))
    return {**given, "body": base64.b64encode(json.dumps({**facts, "headers": headers}).encode()).decode()}


if __name__ == "__main__":
    unittest.main()
