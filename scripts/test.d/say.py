"""say.py NAME PORT [LOG]: one line there and back, as an application makes a call: the name by the system's resolver, IPv4. Prints
the answer, `closed`, or the error's name; LOG: the same, `steered` for an answer, is a line at the end of that file."""
import socket
import sys

name, port, log = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
try:
    address = socket.getaddrinfo(name, port, socket.AF_INET, socket.SOCK_STREAM)[0][4]
    with socket.create_connection(address, 3) as s:
        # What is relayed waits for a socket of the agent as long as that.
        s.settimeout(10)
        s.sendall(b"hello\n")
        said = s.recv(10).decode(errors="replace").strip() or "closed"
except OSError as error:
    said = type(error).__name__
print(said)
if log:
    with open(log[0], "a") as file:
        file.write(("steered" if said == "hello" else said) + "\n")
