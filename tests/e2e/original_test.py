"""What the original promises on its page, one test for each of its features and variables.

docs/original.md maps every line of that page to the test that proves it here.
"""

import os
import re
import resource
import socket
import threading

from dns_server import DnsServer
from entrypoint import EntrypointDaemon
from harness import (LIMIT, ROOT, TestCase, ctl, http_get, main, override, put_listener, res,
                     split_address, upsert)
from udp_peers import UdpBackend, UdpClient, echo_of

HTTP_REQUESTS = 8
UNPROBED = res.HealthCheck(kind=res.PROBE_KIND_NONE)


class OriginalTestCase(TestCase):

    def start_dns(self, *ips):
        dns = self.keep(DnsServer())
        dns.answer(*ips)
        return dns

    def find_port(self, *hosts):
        """A TCP port that is free on each of the hosts."""
        while True:
            held = []
            try:
                port = 0
                for host in hosts:
                    held.append(socket.create_server(
                        (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET))
                    port = held[0].getsockname()[1]
                return port
            except OSError:
                continue  # somebody has it there
            finally:
                for server in held:
                    server.close()

    def start_on(self, hosts):
        """Backends on one port of several hosts, each named as its host is; and the port."""
        port = self.find_port(*hosts)
        return [self.start_backend(host, listen=f"[{host}]:{port}" if ":" in host
                                   else f"{host}:{port}") for host in hosts], port

    def wait_all_serve(self, client, backends):
        client.wait_serving("default", *(backend.address for backend in backends))

    def names_of(self, address, count=HTTP_REQUESTS):
        return [http_get(address) for _ in range(count)]


class Features(OriginalTestCase):

    def test_feature_tcp_load_balancing(self):
        a, b, c = self.start_backends("a", "b", "c")

        _, _, address = self.start_balanced(a, b, c)

        self.assertEqual(sorted(self.names_of(address, 9)), sorted(["a", "b", "c"] * 3))

    def test_feature_udp_load_balancing(self):
        a, b = (self.keep(UdpBackend(echo_of(name))) for name in "ab")
        daemon = self.start_sidelb("127.0.0.1:0", "proto=udp", f"backends={a.address},{b.address}")
        address = self.connect(daemon).listen_address()

        answers = [self.keep(UdpClient(address)).ask(b"hello") for _ in range(6)]

        self.assertEqual(sorted(answers), [b"a heard hello"] * 3 + [b"b heard hello"] * 3)

    def test_feature_layer_4_reverse_proxy(self):
        """Bytes of no protocol pass as they are, whichever side begins."""
        sent, returned = os.urandom(1 << 20), os.urandom(1 << 20)
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(LIMIT)
            client = self.connect(self.start_sidelb())
            client.apply(ctl.Op(put_pool=res.Pool(name="web", health_check=UNPROBED)),
                         put_listener("web", "web"), upsert("web", "%s:%d" % server.getsockname()))
            address = client.listen_address("web")
            heard = []

            def serve():
                peer, _ = server.accept()
                with peer:
                    peer.settimeout(LIMIT)
                    peer.sendall(returned)
                    heard.append(read_all(peer))
            thread = threading.Thread(target=serve, daemon=True)
            thread.start()

            with socket.create_connection(split_address(address), LIMIT) as downstream:
                received = read_exactly(downstream, len(returned))
                downstream.sendall(sent)
                downstream.shutdown(socket.SHUT_WR)
                thread.join(LIMIT)

        self.assertEqual(received, returned)
        self.assertEqual(heard, [sent])

    def test_feature_dynamic_dns_ring_domain(self):
        """A and AAAA records are backends, and follow their domain both ways."""
        hosts = ["127.0.0.1", "127.0.0.2", "::1"]
        backends, port = self.start_on(hosts)
        dns = self.start_dns("127.0.0.1", "::1")
        daemon = self.start_sidelb("127.0.0.1:0", f"ring_domain=web.example:{port}", "--resolver",
                                   dns.address, "--ring-max-ttl", "50ms")
        client = self.connect(daemon)
        address = client.listen_address()

        self.wait_all_serve(client, [backends[0], backends[2]])
        self.assertEqual(set(self.names_of(address)), {"127.0.0.1", "::1"})

        dns.answer(*hosts)
        self.wait_all_serve(client, backends)
        self.assertEqual(set(self.names_of(address, 9)), set(hosts))

        dns.answer("127.0.0.2")
        self.wait_until(lambda: list(client.backends()) == [backends[1].address], "the end of two")
        self.assertEqual(set(self.names_of(address)), {"127.0.0.2"})

    def test_feature_static_ip_list(self):
        a, b, c = self.start_backends("a", "b", "c")

        _, client, address = self.start_balanced(a, b)

        self.assertEqual(set(client.backends()), {a.address, b.address})
        self.assertEqual(set(self.names_of(address)), {"a", "b"}, f"{c.address} is not listed")

    def test_feature_unified_pool(self):
        """Static and found backends take turns as one pool; an address of both is one backend."""
        (found, both), port = self.start_on(["127.0.0.1", "127.0.0.2"])
        static = self.start_backend("static")
        dns = self.start_dns("127.0.0.1", "127.0.0.2")

        daemon = self.start_sidelb("127.0.0.1:0", f"backends={static.address},{both.address}",
                                   f"ring_domain=web.example:{port}", "--resolver", dns.address)
        client = self.connect(daemon)
        self.wait_all_serve(client, [static, both, found])

        names = self.names_of(client.listen_address(), 9)
        self.assertEqual(sorted(names), sorted(["127.0.0.1", "127.0.0.2", "static"] * 3))
        owners = {address: sorted(claim.owner for claim in backend.claims)
                  for address, backend in client.backends().items()}
        self.assertEqual(owners, {static.address: ["static"], found.address: ["ring:web.example"],
                                  both.address: ["ring:web.example", "static"]})

    def test_feature_round_robin(self):
        backends = self.start_backends("a", "b", "c")

        _, _, address = self.start_balanced(*backends, mode="round-robin")

        names = self.names_of(address, 12)
        self.assertEqual(set(names[:3]), {"a", "b", "c"})
        self.assertEqual(names, names[:3] * 4)

    def test_feature_least_connections(self):
        a, b, c = self.start_backends("a", "b", "c")
        _, client, address = self.start_balanced(a, b, c, mode="least-connections")
        sessions = {}
        for _ in range(6):
            session = self.open_session(address)
            sessions.setdefault(session.get(), []).append(session)
        self.assertEqual({name: len(opened) for name, opened in sessions.items()},
                         {"a": 2, "b": 2, "c": 2})

        for session in sessions["b"]:
            session.close()
        self.wait_until(lambda: client.backends()[b.address].status.active_connections == 0,
                        "the end of the sessions of b")

        self.assertEqual([self.open_session(address).get() for _ in range(2)], ["b", "b"])

    def test_feature_health_monitoring(self):
        """A backend that stops is left out without traffic having met it, and is back by itself."""
        a, b = self.start_backends("a", "b")
        _, client, address = self.start_balanced(a, b)

        b.kill()
        self.wait_until(
            lambda: client.backends()[b.address].status.health == res.HEALTH_UNHEALTHY, "its end")
        self.assertEqual(set(self.names_of(address)), {"a"})
        self.assertEqual(client.backends()[b.address].status.reason, res.HEALTH_REASON_REFUSED)
        again = self.start_backend("b-again", listen=b.address)
        client.wait_serving("default", b.address)

        self.assertEqual(set(self.names_of(address)), {"a", again.backend_name})

    def test_feature_container_friendly(self):
        """The entrypoint becomes the daemon, says the command, and is asked for its health."""
        a, = self.start_backends("a")
        status = f"{self.folder}/status.sock"
        daemon = self.keep(EntrypointDaemon(
            self.folder, "--status-socket", status,
            variables={"SIDELB_BIND_ADDR": "127.0.0.1:0", "SIDELB_BACKENDS": a.address}))
        client = self.connect(daemon)
        client.wait_serving("default", a.address)
        self.assertEqual(http_get(client.listen_address()), "a")

        with open(f"/proc/{daemon.pid}/comm", encoding="ascii") as file:
            self.assertEqual(file.read(), "sidelb\n", "signals would not reach the daemon")
        daemon.wait_line(r"^Executing: sidelb 127\.0\.0\.1:0 backends=\S+ mode=round-robin "
                         r"proto=tcp ")
        for action, answer in ((res.ADMIN_STATE_DISABLED, (1, "UNHEALTHY")),
                               (res.ADMIN_STATE_ENABLED, (0, "HEALTHY"))):
            client.apply(override("default", a.address, admin_state=action))
            check = self.start_program("sidelb", "--health-check-uds", status)
            self.assertEqual((check.wait(), check.text("stdout")), answer)
        daemon.stop()

    def test_feature_lightweight_and_efficient(self):
        """500 idle sessions cost little memory, and hardly any CPU time while probes go on."""
        sessions = 500
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        a, b = self.start_backends("a", "b")
        daemon, client, address = self.start_balanced(a, b, arguments=("--shards", "2"))
        http_get(address)
        before = memory_of(daemon.pid)
        for _ in range(sessions):
            self.open_session(address).get()
        grown = memory_of(daemon.pid) - before

        with socket.create_server(("127.0.0.1", 0)) as probed:
            probed.settimeout(LIMIT)
            client.apply(ctl.Op(put_pool=res.Pool(name="probed", health_check=res.HealthCheck(
                kind=res.PROBE_KIND_TCP_CONNECT))),
                         upsert("probed", "%s:%d" % probed.getsockname()))
            probed.accept()[0].close()
            used, wall = cpu_seconds_of(daemon.pid), os.times().elapsed
            for _ in range(2):
                probed.accept()[0].close()
            used, wall = cpu_seconds_of(daemon.pid) - used, os.times().elapsed - wall

        print(f"\n  {before >> 10} KiB resident, {grown >> 10} KiB more with {sessions} idle "
              f"sessions, {used:.2f} s of CPU time in {wall:.1f} s", flush=True)
        self.assertLess(used, 0.1 * wall)
        if not os.environ.get("SIDELB_SANITIZE"):
            self.assertLess(before, 64 << 20)
            self.assertLess(grown, sessions * (16 << 10))


def memory_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmRSS:"))


def cpu_seconds_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def read_exactly(sock, size):
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            break
        data += part
    return data


def read_all(sock):
    parts = []
    while part := sock.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


class Map(TestCase):

    def test_the_table_and_the_tests_name_each_other(self):
        named = set(re.findall(r"`(test_\w+)`",
                               (ROOT / "docs/original.md").read_text(encoding="utf-8")))
        tests = {name for file in (ROOT / "tests/e2e").glob("*_test.py")
                 for name in re.findall(r"    def (test_\w+)\(", file.read_text(encoding="utf-8"))}

        self.assertEqual(named - tests, set(), "these are no tests")
        self.assertEqual({name for name in tests - named
                          if re.match("test_(feature|variable|example|fault)_", name)}, set(),
                         "these are not in the table")


if __name__ == "__main__":
    main()
