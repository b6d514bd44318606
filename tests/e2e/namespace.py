"""A network of the test's own: a namespace with nothing but loopback, and any addresses on it."""

import os
import subprocess

from harness import LIMIT, Program


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return file.read().split()


class NetworkNamespace:
    """`wrap(command)` is that command within it; any port and any address is free there.

    Pathname unix sockets, and with them the control socket, reach across."""

    def __init__(self, *addresses):
        own_user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        setup = "".join(f"ip address add {address} dev lo && " for address in addresses)
        self._holder = Program("unshare", command=[
            "unshare", *own_user, "--net", "--kill-child", "--fork", "sh", "-c",
            f"ip link set lo up && {setup} echo ready && exec sleep infinity"])
        try:
            self._holder.wait_line("^ready$")
        except AssertionError:
            self._holder.close()
            raise
        child, = children_of(self._holder.pid)
        joined = ["--user", "--preserve-credentials"] if own_user else []
        self._enter = ["nsenter", "--target", child, *joined, "--net"]

    def wrap(self, command):
        return [*self._enter, *map(str, command)]

    def run(self, *command):
        """The output of a command that must succeed."""
        done = subprocess.run(self.wrap(command), capture_output=True, text=True, timeout=LIMIT,
                              check=False, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n"
                                 f"{done.stdout}{done.stderr}")
        return done.stdout

    def close(self):
        self._holder.close()
