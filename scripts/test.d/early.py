"""early.py SECONDS ADDRESS:PORT...: calls what it may not call, as soon as it starts, and prints what it got, word and count."""
import collections
import socket
import sys
import time

got = collections.Counter()
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    for target in sys.argv[2:]:
        host, port = target.rsplit(":", 1)
        try:
            with socket.create_connection((host, int(port)), 3) as s:
                s.settimeout(3)
                s.sendall(b"stolen\n")
                got["answered" if s.recv(100) else "closed"] += 1
        except OSError as error:
            got[type(error).__name__] += 1
    time.sleep(0.02)
for word, count in got.items():
    print("got", word, count, flush=True)
