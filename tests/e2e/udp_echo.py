"""A UDP backend as a process, which a test may kill: answers NAME and what it received."""

import socket
import sys

name = sys.argv[1].encode()
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    udp.bind(("127.0.0.1", 0))
    print("listens on %s:%d" % udp.getsockname(), flush=True)
    while True:
        data, sender = udp.recvfrom(65536)
        udp.sendto(name + b" " + data, sender)
