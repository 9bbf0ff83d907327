"""conn: the price of a connection. `kernel tier connect` connects, accepts and closes through a service address decided in the
kernel, with 10,000 services and 10,000 policy rules in force, against the same pair of processes outside of the mesh."""
import kernel


def rows(bench):
    yield from kernel.conn_rows(bench)
