"""System calls of the shard for one connection, round trip and datagram, against a committed
baseline. Nothing is timed: one unit at a time, and each step waits until the shard sleeps.

docs/performance.md says what each call is for. SIDELB_WRITE_BASELINE=1 writes the baseline anew.
"""

import collections
import json
import os
import re
import shutil
import socket
import subprocess
import time
import unittest
from pathlib import Path

from harness import BIN, LIMIT, ROOT, TestCase, main

BASELINE = ROOT / "tests/e2e/syscalls_baseline.json"
UNITS = 100
RUNS = 3
ALLOWED = 1.10
MESSAGE = b"x" * 64


def why_not():
    """Why nothing can be traced here; empty when it can."""
    if os.environ.get("SIDELB_SANITIZE"):
        return "sanitizers make calls of their own"
    if shutil.which("strace") is None:
        return "strace is not installed; scripts/install-deps --tests does it"
    done = subprocess.run(["strace", "-D", "-o", "/dev/null", "true"], capture_output=True,
                          text=True, check=False)
    return f"strace cannot trace: {done.stderr.strip()}" if done.returncode else ""


class Shard:
    """The thread that carries the traffic, and what strace writes of it."""

    def __init__(self, pid, trace):
        for task in Path(f"/proc/{pid}/task").iterdir():
            if (task / "comm").read_text().strip() == "slb-shard-0":
                self._status = task / "stat"
                self._trace = Path(f"{trace}.{task.name}")

    def settle(self):
        """Waits until it sleeps, which it does in epoll_wait only; nothing tells that as an event."""
        end = time.monotonic() + LIMIT
        while self._status.read_text().rpartition(")")[2].split()[0] != "S":
            if time.monotonic() > end:
                raise AssertionError(f"the shard does not come to rest: {self._trace.read_text()[-2000:]}")
            os.sched_yield()

    def calls(self, work):
        """How often each call is made while `work` runs."""
        self.settle()
        before = self._trace.stat().st_size
        work()
        self.settle()
        with self._trace.open(encoding="utf-8", errors="replace") as file:
            file.seek(before)
            # The call that it slept in is the rest of a line.
            return collections.Counter(re.findall(r"^(\w+)\(", file.read(), re.M))


@unittest.skipIf(why_not(), why_not())
class Syscalls(TestCase):

    def setUp(self):
        super().setUp()
        self.tcp = self.keep(socket.create_server(("127.0.0.1", 0)))
        self.udp = self.keep(socket.socket(type=socket.SOCK_DGRAM))
        self.udp.bind(self.tcp.getsockname())
        for server in (self.tcp, self.udp):
            server.settimeout(LIMIT)
        address = "127.0.0.1:%d" % self.tcp.getsockname()[1]
        listeners = [("tcp", "TCP", "SESSION"), ("udp", "UDP", "SESSION"),
                     ("udp-new", "UDP", "REQUEST_RESPONSE")]
        config = Path(self.folder, "sidelb.json")
        config.write_text(json.dumps({
            "listeners": [{"name": name, "address": "127.0.0.1:0", "pool": "web",
                           "protocol": f"PROTOCOL_{protocol}", "udpPolicy": f"UDP_POLICY_{policy}"}
                          for name, protocol, policy in listeners],
            # Probes are another thread's, but what answers them is this one.
            "pools": [{"name": "web", "healthCheck": {"kind": "PROBE_KIND_NONE"}}],
            "backends": [{"pool": "web", "address": address}]}), encoding="utf-8")
        trace = Path(self.folder, "trace")
        # A file for each thread. -D: the daemon is our child, and strace its child: no privilege.
        daemon = self.start_sidelb("--config", config, "--shards", "1", command=[
            "strace", "-D", "-ff", "-s", "0", "-e", "signal=none", "-o", trace, BIN / "sidelb"])
        client = self.connect(daemon)
        self.address = {name: ("127.0.0.1", int(client.listen_address(name).rpartition(":")[2]))
                        for name, _, _ in listeners}
        self.shard = Shard(daemon.pid, trace)

    def open(self):
        """Both ends of a connection."""
        client = socket.create_connection(self.address["tcp"], LIMIT)
        backend, _ = self.tcp.accept()
        backend.settimeout(LIMIT)
        self.shard.settle()
        return client, backend

    def round_trip(self, client, backend):
        client.sendall(MESSAGE)
        backend.sendall(backend.recv(4096))
        self.assertEqual(client.recv(4096), MESSAGE)
        self.shard.settle()

    def connection(self):
        client, backend = self.open()
        with client, backend:
            self.round_trip(client, backend)
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(backend.recv(1), b"")
            self.shard.settle()
            backend.close()
            self.assertEqual(client.recv(1), b"")
            self.shard.settle()

    def datagram(self, client):
        client.send(MESSAGE)
        data, proxy = self.udp.recvfrom(4096)
        self.udp.sendto(data, proxy)
        self.assertEqual(client.recv(4096), MESSAGE)
        self.shard.settle()

    def open_udp(self, name):
        client = socket.socket(type=socket.SOCK_DGRAM)
        client.settimeout(LIMIT)
        client.connect(self.address[name])
        return client

    def session(self):
        with self.open_udp("udp-new") as client:
            self.datagram(client)

    def repeated(self, work, *arguments):
        def run():
            for _ in range(UNITS):
                work(*arguments)
        work(*arguments)  # what comes once
        # A timer of the shard, or a wake-up in two halves on a busy machine, adds some.
        calls = min((self.shard.calls(run) for _ in range(RUNS)), key=lambda one: one.total())
        return {name: count / UNITS for name, count in sorted(calls.items())}

    def test_no_unit_of_work_makes_more_calls_than_the_baseline(self):
        measured = {"connection": self.repeated(self.connection)}
        client, backend = self.open()
        with client, backend:
            measured["round trip"] = self.repeated(self.round_trip, client, backend)
        with self.open_udp("udp") as client:
            measured["datagram"] = self.repeated(self.datagram, client)
        measured["datagram in a new session"] = self.repeated(self.session)
        if os.environ.get("SIDELB_WRITE_BASELINE"):
            BASELINE.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")

        for unit, expected in json.loads(BASELINE.read_text(encoding="utf-8")).items():
            with self.subTest(unit=unit):
                calls = measured[unit]
                before, now = sum(expected.values()), sum(calls.values())
                self.assertLessEqual(now, before * ALLOWED, f"\nnow      {calls}\nbaseline {expected}")
                if now < before / ALLOWED:
                    print(f"\n  {unit}: {now:.2f} calls, {before:.2f} before: write the baseline anew",
                          flush=True)


if __name__ == "__main__":
    main()
