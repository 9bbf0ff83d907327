"""record.py FILE: writes down every TCP connection that is begun on any interface of this namespace (SYN without ACK) and every UDP
question for a name, each once: SOURCE DESTINATION PORT INTERFACE [NAME]. It runs until it is ended; FILE is always whole."""
import socket
import sys

IPV4, IPV6, TCP, UDP, NAMES = 0x0800, 0x86DD, 6, 17, 53
ALL = 3


def name(question):
    """Of a DNS message, in letters that need no quotes."""
    labels, at = [], 12
    while at < len(question) and 0 < question[at] < 64:
        labels.append("".join(c if c.isalnum() or c in "-_" else "?" for c in question[at + 1:at + 1 + question[at]].decode("latin-1")))
        at += 1 + question[at]
    return ".".join(labels).lower() or "."


seen = set()
tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ALL))
with open(sys.argv[1], "w", buffering=1) as log:
    log.write("# begun\n")
    while True:
        packet, (interface, protocol, *_) = tap.recvfrom(65536)
        if protocol == IPV4 and len(packet) >= 20:
            header = (packet[0] & 15) * 4
            kind, family, source, destination = packet[9], socket.AF_INET, packet[12:16], packet[16:20]
        elif protocol == IPV6 and len(packet) >= 40:
            header, kind, family, source, destination = 40, packet[6], socket.AF_INET6, packet[8:24], packet[24:40]
        else:
            continue
        port = int.from_bytes(packet[header + 2:header + 4], "big")
        begins = kind == TCP and len(packet) >= header + 14 and packet[header + 13] & 0x12 == 0x02
        if not begins and not (kind == UDP and port == NAMES):
            continue
        line = "%s %s %d %s" % (socket.inet_ntop(family, source), socket.inet_ntop(family, destination), port, interface)
        line += "\n" if begins else " %s\n" % name(packet[header + 8:])
        if line not in seen:
            seen.add(line)
            log.write(line)
