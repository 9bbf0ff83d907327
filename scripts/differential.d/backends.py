"""nginx and HAProxy, which answer every request with what they took for its target, and write down each one.

A record is (request id, target, X-Of, status); `-` where there was none.
"""
import json
import os
import shutil
import subprocess
import time

NGINX = """daemon off; worker_processes 1; pid {work}/nginx.pid; error_log {work}/nginx.err crit;
events {{ worker_connections 4096; }}
http {{
  client_body_temp_path {work}/body; proxy_temp_path {work}/p; fastcgi_temp_path {work}/f; uwsgi_temp_path {work}/u; scgi_temp_path {work}/s;
  log_format record escape=json '{{"id":"$http_x_request_id","target":"$request_uri","of":"$http_x_of","status":$status}}';
  access_log {work}/nginx.log record;
  keepalive_requests 100000; client_max_body_size 0; large_client_header_buffers 8 64k;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "$request_uri\\n"; }} }}
}}
"""

HAPROXY = """global
  log stdout len 16000 format raw local0
  nbthread 1
  tune.bufsize 65536
defaults
  mode http
  log global
  timeout client 60s
  timeout connect 5s
  timeout server 60s
  timeout http-request 60s
frontend f
  bind 127.0.0.1:{port}
  http-request set-var(txn.target) pathq
  http-request set-var(txn.id) req.hdr(x-request-id)
  http-request set-var(txn.of) req.hdr(x-of)
  log-format "R %[var(txn.id),json(utf8s)] %[var(txn.target),json(utf8s)] %[var(txn.of),json(utf8s)] %ts %ST"
  http-request return status 200 content-type text/plain lf-string "%[pathq]\\n"
"""


class Backend:
    def __init__(self, name, port, work):
        self.name, self.port, self.log = name, port, work / f"{name}.log"
        program = shutil.which(name) or f"/usr/sbin/{name}"
        if not os.path.exists(program):
            raise SystemExit(f"error: {name} is not installed; run scripts/bootstrap")
        configuration = work / f"{name}.conf"
        if name == "nginx":
            configuration.write_text(NGINX.format(work=work, port=port))
            command, out = [program, "-p", work, "-c", configuration, "-e", work / "nginx.err"], subprocess.DEVNULL
        else:
            configuration.write_text(HAPROXY.format(port=port))
            command, out = [program, "-f", configuration], self.log.open("w")
        self.process = subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL)

    def end(self):
        """Ends it, when it has written everything down."""
        time.sleep(0.5)
        self.process.terminate()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def records(self):
        last = "nothing"
        with self.log.open(errors="replace") as lines:
            for line in lines:
                record = self._record(line.rstrip("\n"))
                if record is None:
                    continue
                # Of what it could not read it tells nothing: then the one before says where to look.
                if record[1] == "-":
                    record = (record[0], f"- after {last}, {line.strip()[-30:]}", record[2], record[3])
                else:
                    last = record[1]
                yield record

    def _record(self, line):
        if self.name == "nginx":
            record = json.loads(line)
            return record["id"] or "-", record["target"] or "-", record["of"] or "-", record["status"]
        if not line.startswith("R "):
            return None
        parts = line.split(" ")
        # CR: the proxy ended the connection amid a request, whose client had gone.
        if parts[-2].startswith("CR"):
            return None
        return parts[1] or "-", parts[2] or "-", " ".join(parts[3:-2]) or "-", int(parts[-1])
