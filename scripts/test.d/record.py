"""record.py FILE: writes down every TCP connection that is begun on any interface of this namespace (SYN without ACK) and every UDP
question for a name, each pair of ends once: SOURCE DESTINATION PORT INTERFACE. It runs until it is ended; FILE is always whole."""
import socket
import sys

IPV4, IPV6, TCP, UDP, NAMES = 0x0800, 0x86DD, 6, 17, 53
ALL = 3
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
        line = "%s %s %d %s\n" % (socket.inet_ntop(family, source), socket.inet_ntop(family, destination), port, interface)
        if line not in seen:
            seen.add(line)
            log.write(line)
