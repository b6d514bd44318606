"""A proxy as a process on its CPU, in front of backends of its own."""

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import time
from pathlib import Path

from report import BenchError

BACKENDS = 8  # addresses for each proxy: every pair of addresses has ports of its own
PORT = 9700  # of every backend, TCP and UDP
READY_SECONDS = 10
PRIORITY = -15  # as of nice(1)

# The listeners, by what goes through them.
TCP, BULK, UDP, UDP_NEW = "tcp", "bulk", "udp", "udp-new"


class Proxy:
    """One proxy. `number` makes its backends 127.0.NUMBER.1 and up."""

    name = ""
    title = ""
    listeners = (TCP, BULK, UDP, UDP_NEW)
    has_cost = True  # a process of its own

    def __init__(self, number, program):
        self.program = program
        self.backends = [f"127.0.{number}.{i}:{PORT}" for i in range(1, BACKENDS + 1)]
        self.served = self.backends  # where the load generator listens
        self.addresses = {purpose: f"127.0.0.1:{free_port()}" for purpose in self.listeners}
        self.process = None
        self.folder = None

    def command(self):
        raise NotImplementedError(self.name)

    def version(self):
        return ""

    def has(self, purpose):
        return purpose in self.listeners

    def start(self, folder, cpus):
        self.folder = folder / self.name
        self.folder.mkdir()
        command = self.command()
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                preexec_fn=lambda: pin(cpus))
        address = split(self.addresses[TCP])
        end = time.monotonic() + READY_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(address, 1):
                return
            if self.process.poll() is not None:
                raise BenchError(f"{self.title} ended with {self.process.returncode} "
                                 f"({shlex.join(map(str, command))}):\n{self.log_text()}")
            if time.monotonic() > end:
                raise BenchError(f"{self.title} does not listen on {address} after "
                                 f"{READY_SECONDS} s:\n{self.log_text()}")
            time.sleep(0.02)

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def log_text(self):
        if self.folder is None or not (self.folder / "log").exists():
            return ""
        return (self.folder / "log").read_text(errors="replace")[-2000:]

    def pids(self):
        """The process and its children (NGINX's worker)."""
        pids = [self.process.pid]
        for pid in pids:
            for task in Path(f"/proc/{pid}/task").iterdir():
                pids += [int(child) for child in (task / "children").read_text().split()]
        return pids

    def memory(self):
        """Bytes by the names of smaps_rollup, over all its processes."""
        total = {}
        for pid in self.pids():
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            for key, kilobytes in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M):
                total[key] = total.get(key, 0) + int(kilobytes) * 1024
        return total


class Direct(Proxy):
    """No proxy: the clients speak to a backend themselves."""

    name = "direct"
    title = "direct"
    has_cost = False

    def __init__(self, number):
        super().__init__(number, None)
        self.addresses = {purpose: self.backends[0] for purpose in self.listeners}

    def start(self, folder, cpus):
        pass

    def stop(self):
        pass

    def pids(self):
        return []


def first_line(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    return (done.stdout or done.stderr).strip().splitlines()[0].strip()


def pin(cpus):
    """To some CPUs, and before other work on them where that is allowed (to root)."""
    os.sched_setaffinity(0, cpus)
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)


def split(address):
    host, port = address.rsplit(":", 1)
    return host, int(port)


def free_port():
    """One that is free for TCP and for UDP."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            with contextlib.suppress(OSError):
                udp.bind(tcp.getsockname())
                return tcp.getsockname()[1]
