"""Both ends of UDP tests: backends with a thread each, and clients."""

import socket
import threading

from harness import LIMIT, split_address

LARGEST = 65507  # what one datagram of IPv4 carries
ROOM = 4 << 20


def open_udp(address):
    """A socket with room for bursts, bound to `address`."""
    host, port = split_address(address)
    udp = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
    udp.bind((host, port))
    return udp


class UdpBackend:
    """Keeps what it receives, and sends back what `answer(data)` returns, unless that is None."""

    def __init__(self, answer=lambda data: None, listen="127.0.0.1:0"):
        self._answer = answer
        self.socket = open_udp(listen)
        host, port = self.socket.getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._changed = threading.Condition()
        self._received = []  # (data, sender)
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while True:
            data, sender = self.socket.recvfrom(65536)
            if self._is_stopping:
                return
            with self._changed:
                self._received.append((data, sender))
                self._changed.notify_all()
            answer = self._answer(data)
            if answer is not None:
                self.socket.sendto(answer, sender)

    def wait_received(self, count):
        """Waits until so many datagrams have come in all; returns all that have."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._received) >= count, LIMIT):
                raise AssertionError(f"only {len(self._received)} of {count} datagrams came")
            return list(self._received)

    @property
    def received(self):
        with self._changed:
            return list(self._received)

    def close(self):
        """Its port refuses from now on: nothing is bound there."""
        if self.socket.fileno() < 0:
            return
        self._is_stopping = True
        with socket.socket(self.socket.family, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self.socket.getsockname())
        self._thread.join(LIMIT)
        self.socket.close()


def echo_of(name):
    """An answer that says who heard it."""
    return lambda data: name.encode() + b" heard " + data


class UdpClient:
    """A connected socket: it hears nobody but the address that it sends to."""

    def __init__(self, address):
        host, port = split_address(address)
        self.socket = open_udp("[::1]:0" if ":" in host else "127.0.0.1:0")
        self.socket.connect((host, port))
        self.socket.settimeout(LIMIT)

    def send(self, data):
        self.socket.send(data)

    def receive(self):
        return self.socket.recv(65536)

    def ask(self, data):
        self.send(data)
        return self.receive()

    def close(self):
        self.socket.close()
