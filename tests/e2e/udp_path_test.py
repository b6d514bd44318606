"""UDP over a path of a small MTU: what the kernel refuses to cut into segments arrives all the
same, in order."""

import os
import subprocess
import sys
import textwrap

from harness import BIN, TestCase, main
from namespace import NetworkNamespace

# Both ends, within the namespace. While the daemon is stopped all datagrams of a round queue up, so
# that it takes them together.
ENDS = textwrap.dedent("""
    import os, signal, socket, sys
    pid, backend_port, port = map(int, sys.argv[1:])

    def is_stopped():
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "T"

    def pass_on(send, receive, sizes):
        os.kill(pid, signal.SIGSTOP)
        while not is_stopped():
            os.sched_yield()
        sent = [bytes([i]) * size for i, size in enumerate(sizes)]
        for datagram in sent:
            send(datagram)
        os.kill(pid, signal.SIGCONT)
        for i, datagram in enumerate(sent):
            got = receive()
            assert got == datagram, f"{i}: {got[:1]} of {len(got)} instead of {len(datagram)} bytes"

    backend, client = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(2))
    for end in (backend, client):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        end.settimeout(60)
    backend.bind(("127.0.0.1", backend_port))
    client.connect(("127.0.0.1", port))
    client.send(b"hello")
    _, session = backend.recvfrom(65536)
    for sizes in [2000] * 30, [1400] * 30, [1472, 1473, 1473, 900, 20000, 20000, 1], [2000] * 30:
        pass_on(client.send, lambda: backend.recv(65536), sizes)
        pass_on(lambda data: backend.sendto(data, session), lambda: client.recv(65536), sizes)
""")


class Path(TestCase):

    def test_datagrams_larger_than_the_mtu_come_one_by_one(self):
        if subprocess.run(["unshare", "--user", "--map-root-user", "--net", "true"], check=False,
                          capture_output=True).returncode != 0 and os.geteuid() != 0:
            self.skipTest("this machine allows no network namespaces")
        namespace = self.keep(NetworkNamespace())
        namespace.run("ip", "link", "set", "lo", "mtu", "1500")
        daemon = self.start_sidelb("127.0.0.1:4000", "proto=udp", "backends=127.0.0.1:5000",
                                   "--shards", "1", "--drain-timeout", "0s",
                                   command=namespace.wrap([BIN / "sidelb"]))

        namespace.run(sys.executable, "-c", ENDS, str(daemon.pid), "5000", "4000")

        for row in self.connect(daemon).stats():
            self.assertEqual(row.packets_dropped, 0, row)


if __name__ == "__main__":
    main()
