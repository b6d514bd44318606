"""A DNS server of the test itself, whose answers change at a word."""

import collections
import socket
import struct
import threading

from harness import LIMIT, split_address

SERVFAIL, NXDOMAIN, REFUSED = 2, 3, 5
A, AAAA = 1, 28

Question = collections.namedtuple("Question", "name kind")


class DnsServer:
    """Answers each question of a kind with those of `ips` that are of it, or with `rcode`."""

    def __init__(self, address=("127.0.0.1", 0)):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self.address = "%s:%d" % self._socket.getsockname()
        self._asked = threading.Condition()
        self.questions = []
        self._silent, self._ips, self._rcode, self._ttl = False, [], NXDOMAIN, 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def answer(self, *ips, rcode=0, ttl=4):
        self._silent, self._ips, self._rcode, self._ttl = False, list(ips), rcode, ttl

    def fall_silent(self):
        self._silent = True

    def wait_questions(self, count):
        """Waits for so many more questions."""
        with self._asked:
            wanted = len(self.questions) + count
            if not self._asked.wait_for(lambda: len(self.questions) >= wanted, LIMIT):
                raise AssertionError("nobody asks the DNS server")

    def _run(self):
        while True:
            query, peer = self._socket.recvfrom(512)
            if not query:
                return
            end = query.index(b"\0", 12) + 5
            kind = struct.unpack(">H", query[end - 4:end - 2])[0]
            if not self._silent:
                self._socket.sendto(self._answer_to(query, end, kind), peer)
            with self._asked:
                self.questions.append(Question(name_of(query), kind))
                self._asked.notify_all()

    def _answer_to(self, query, end, kind):
        family = {A: socket.AF_INET, AAAA: socket.AF_INET6}.get(kind)
        found = [socket.inet_pton(family, ip) for ip in self._ips
                 if (":" in ip) == (kind == AAAA)] if family and not self._rcode else []
        answer = query[:2] + struct.pack(">5H", 0x8180 | self._rcode, 1, len(found), 0, 0)
        answer += query[12:end]
        for data in found:
            answer += struct.pack(">3HIH", 0xc00c, kind, 1, self._ttl, len(data)) + data
        return answer

    def close(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"", split_address(self.address))
        self._thread.join(LIMIT)
        self._socket.close()


def name_of(query):
    labels, at = [], 12
    while size := query[at]:
        labels.append(query[at + 1:at + 1 + size].decode())
        at += 1 + size
    return ".".join(labels)
