"""A control plane for Envoy: ADS over gRPC with clusters and endpoints as many as it is told. Run by `eds.py` with the Python of
the peers' virtual environment (grpcio).

eds_server.py PORT SERVICES ENDPOINTS_EACH. Lines on standard input: `go` lets clusters out; `weight N` changes the weight of the
first endpoint of the first cluster and pushes that cluster, as incremental control planes do. The few messages that are
needed are written by hand, so that no generated code is.
"""
import concurrent.futures
import queue
import sys
import threading

import grpc

CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
ASSIGNMENT = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"


# ---- protobuf: varints and length-delimited fields

def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def number(field, value):
    return varint(field << 3) + varint(value)


def block(field, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def fields(message):
    """Of a message, its length-delimited fields; others are skipped."""
    at = 0

    def take():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        tag = take()
        kind = tag & 7
        if kind == 2:
            length = take()
            yield tag >> 3, message[at:at + length]
            at += length
        elif kind == 0:
            take()
        else:
            at += 8 if kind == 1 else 4


# ---- what is served

def cluster(name):
    source = block(3, b"") + number(6, 2)  # ads, V3
    return block(1, name) + number(2, 3) + block(3, block(1, source)) + block(4, number(1, 1))


def assignment(index, each, weight):
    places = b""
    for number_ in range(each):
        place = index * each + number_
        address = block(2, f"10.90.{place // 250}.{place % 250 + 1}") + number(3, 8080)
        endpoint = block(1, block(1, block(1, address)))
        places += block(2, endpoint + block(4, number(1, weight if index == number_ == 0 else 1)))
    return block(1, f"app-{index}") + block(2, places)


class Plane:
    def __init__(self, services, each):
        self.services, self.each, self.weight = services, each, 1
        self.go = threading.Event()
        self.streams = []

    def push(self, weight):
        self.weight = weight
        for stream in list(self.streams):
            stream.put(("push", None))

    def serve(self, requests, _):
        events = queue.Queue()
        self.streams.append(events)

        def read():
            try:
                for request in requests:
                    events.put(("request", request))
            except grpc.RpcError:
                pass
            events.put(("end", None))

        threading.Thread(target=read, daemon=True).start()
        sent, version = set(), 0
        try:
            while True:
                what, request = events.get()
                if what == "end":
                    return
                if what == "push":
                    kind, items = ASSIGNMENT, [assignment(0, self.each, self.weight)]
                else:
                    found = list(fields(request))
                    kind = next((value.decode() for field, value in found if field == 4), "")
                    if kind == CLUSTER and CLUSTER not in sent:
                        self.go.wait()
                        sent.add(CLUSTER)
                        items = [cluster(f"app-{index}") for index in range(self.services)]
                    elif kind == ASSIGNMENT:
                        names = {value.decode() for field, value in found if field == 3} - sent
                        sent |= names
                        items = [assignment(int(name[4:]), self.each, self.weight) for name in sorted(names)]
                    else:
                        items = []
                    if not items:
                        continue  # an answer to what was sent
                version += 1
                resources = b"".join(block(2, block(1, kind) + block(2, item)) for item in items)
                yield block(1, str(version)) + resources + block(4, kind) + block(5, str(version))
        finally:
            self.streams.remove(events)


def main():
    port, services, each = map(int, sys.argv[1:4])
    plane = Plane(services, each)
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(
        "envoy.service.discovery.v3.AggregatedDiscoveryService",
        {"StreamAggregatedResources": grpc.stream_stream_rpc_method_handler(plane.serve)}),))
    if server.add_insecure_port(f"127.0.0.1:{port}") != port:
        sys.exit(f"port {port} cannot be bound")
    server.start()
    for line in sys.stdin:
        words = line.split()
        if words == ["go"]:
            plane.go.set()
        elif words[:1] == ["weight"]:
            plane.push(int(words[1]))
    server.stop(0)


if __name__ == "__main__":
    main()
