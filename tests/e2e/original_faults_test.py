"""What the original did wrong over TCP, with DNS, and as a process; original_udp_test.py has UDP.

Each test begins with what the original did, and is one that it would fail.
"""

import os
import re
import resource
import signal
import socket
import time

from dns_server import AAAA, NXDOMAIN, REFUSED, SERVFAIL, A
from harness import (BIN, LIMIT, ctl, http_get, main, put_listener, put_pool, remove, res,
                     split_address, upsert)
from namespace import children_of
from original_test import UNPROBED, OriginalTestCase, cpu_seconds_of, read_all
from switchable_backend import SwitchableBackend
from udp_peers import UdpBackend, UdpClient, echo_of
from watcher import Watcher, is_serving

LINGER_NOT = b"\1\0\0\0\0\0\0\0"  # close() resets


def seconds_of(seconds):
    duration = res.HealthCheck().interval
    duration.FromNanoseconds(int(seconds * 1e9))
    return duration


class Picking(OriginalTestCase):

    def test_fault_round_robin_black_hole_after_the_list_shrinks(self):
        # Original: when the list shrank while the turn was at its end, no connection ever got a
        # backend again.
        backends = self.start_backends("a", "b", "c")
        addresses = [backend.address for backend in backends]
        client = self.connect(self.start_sidelb("--shards", "1"))
        client.apply(put_pool("web"), put_listener("http", "web"), upsert("web", *addresses))
        client.wait_serving("web", *addresses)
        listener = client.listen_address("http")

        for turn in range(3):
            for left in (2, 1):
                for _ in range(turn):
                    http_get(listener)
                client.apply(remove("web", *addresses[left:], drain=None))
                names = [http_get(listener) for _ in range(4)]
                self.assertEqual(set(names), {"a", "b"} if left == 2 else {"a"})
                client.apply(upsert("web", *addresses))
                client.wait_serving("web", *addresses)

    def test_fault_round_robin_black_hole_after_a_death(self):
        # Original: with two backends, the death of one was a total outage half of the time.
        for turn in range(2):
            a, b = self.start_backends("a", "b")
            daemon, client, address = self.start_balanced(a, b, arguments=("--shards", "1"))
            for _ in range(turn):
                http_get(address)

            b.kill()
            while client.backends()[b.address].status.health != res.HEALTH_UNHEALTHY:
                self.assertEqual(http_get(address), "a")

            self.assertEqual([http_get(address) for _ in range(4)], ["a"] * 4)
            daemon.stop()

    def test_fault_least_connections_sends_all_of_a_domain_to_one_ip(self):
        # Original: one count for a whole domain, and always the first of its addresses.
        hosts = [f"127.0.0.{number}" for number in range(1, 5)]
        backends, port = self.start_on(hosts)
        dns = self.start_dns(*hosts)
        daemon = self.start_sidelb("127.0.0.1:0", "mode=least-connections",
                                   f"ring_domain=web.example:{port}", "--resolver", dns.address)
        client = self.connect(daemon)
        self.wait_all_serve(client, backends)

        names = [self.open_session(client.listen_address()).get() for _ in range(8)]

        self.assertEqual({host: names.count(host) for host in hosts}, dict.fromkeys(hosts, 2))

    def test_fault_least_connections_counts_the_ports_of_an_ip_together(self):
        # Original: one count for all ports of an IP, and always the first of them.
        a, b = self.start_backends("a", "b")  # both on 127.0.0.1
        _, _, address = self.start_balanced(a, b, mode="least-connections")

        names = [self.open_session(address).get() for _ in range(6)]

        self.assertEqual((names.count("a"), names.count("b")), (3, 3))


class Dns(OriginalTestCase):

    def start_ring(self, port, **fields):
        """A daemon whose pool "web" follows a domain; the fields are those of the pool."""
        client = self.connect(self.start_sidelb("--resolver", self.dns.address))
        ring = res.RingDomain(domain="web.example", port=port)
        ring.max_ttl.FromMilliseconds(50)
        ring.min_ttl.FromMilliseconds(50)
        client.apply(ctl.Op(put_pool=res.Pool(name="web", ring_domains=[ring], **fields)),
                     put_listener("http", "web"))
        return client, client.listen_address("http")

    def test_fault_dns_error_wipes_the_pool(self):
        # Original: any failed lookup removed every backend of the domain, and blocked a thread.
        (a,), port = self.start_on(["127.0.0.1"])
        self.dns = self.start_dns("127.0.0.1")
        client, address = self.start_ring(port)
        client.wait_serving("web", a.address)

        def codes():
            return [condition.code for condition in client.info().conditions]
        for failure in (SERVFAIL, REFUSED, NXDOMAIN, "silence"):
            with self.subTest(failure=failure):
                if failure == "silence":
                    self.dns.fall_silent()
                else:
                    self.dns.answer(rcode=failure)
                self.dns.wait_questions(2)
                self.assertEqual(http_get(address), a.backend_name)  # a lookup is under way
                self.wait_until(codes, "the condition")

                self.assertEqual(list(client.backends("web")), [a.address])
                self.assertEqual(http_get(address), a.backend_name)
                self.dns.answer("127.0.0.1")
                self.wait_until(lambda: not codes(), "the end of the condition")

    def test_fault_new_dns_backends_wait_for_the_next_checks(self):
        # Original: what DNS added got no traffic until the next pass of the checks, up to 10 s.
        (_, b), port = self.start_on(["127.0.0.1", "127.0.0.2"])
        self.dns = self.start_dns("127.0.0.1")
        client, address = self.start_ring(
            port, health_check=res.HealthCheck(interval=seconds_of(3600)))
        self.wait_until(lambda: len(client.backends("web")) == 1, "the first backend")

        self.dns.answer("127.0.0.2")
        client.wait_serving("web", b.address)

        self.wait_until(lambda: len(client.backends("web")) == 1, "the end of the first backend")
        self.assertEqual(http_get(address), "127.0.0.2")

    def test_fault_dns_ttl_is_ignored(self):
        # Original: one lookup in 60 s whatever the TTL said.
        self.dns = self.start_dns()
        self.dns.answer("127.0.0.1", ttl=1)
        self.start_sidelb("127.0.0.1:0", "ring_domain=web.example:1", "--resolver",
                          self.dns.address)
        self.dns.wait_questions(1)
        begin = time.monotonic()

        self.dns.wait_questions(2)

        self.assertLess(time.monotonic() - begin, LIMIT / 2)

    def test_fault_every_ip_is_looked_up_in_reverse(self):
        # Original: asked for the name of each address, one after the other, of public resolvers.
        self.dns = self.start_dns("127.0.0.1", "127.0.0.2")
        self.start_ring(1)
        self.dns.wait_questions(6)

        self.assertEqual({question.kind for question in self.dns.questions}, {A, AAAA})


class Tcp(OriginalTestCase):

    def start_before(self, server, **fields):
        """A listener in front of the server, which meets no probes; its address and a client."""
        client = self.connect(self.start_sidelb())
        client.apply(ctl.Op(put_pool=res.Pool(name="web", health_check=UNPROBED)),
                     upsert("web", "%s:%d" % server.getsockname()),
                     ctl.Op(put_listener=res.Listener(name="tcp", pool="web",
                                                      address="127.0.0.1:0", **fields)))
        return client.listen_address("tcp"), client

    def open_pair(self, **fields):
        """The sockets of a client and of a backend between which a daemon relays."""
        server = self.keep(socket.create_server(("127.0.0.1", 0)))
        server.settimeout(LIMIT)
        address, client = self.start_before(server, **fields)
        return *self.connect_through(address, server), client

    def connect_through(self, address, server):
        downstream = self.keep(socket.create_connection(split_address(address), LIMIT))
        upstream = self.keep(server.accept()[0])
        upstream.settimeout(LIMIT)
        return downstream, upstream

    def active_sessions(self, client):
        return client.state().state.pools[0].status.active_connections

    def test_fault_lost_fin_of_the_client(self):
        # Original: the backend never saw the FIN, and waited for more.
        downstream, upstream, client = self.open_pair()

        downstream.sendall(b"question")
        downstream.shutdown(socket.SHUT_WR)
        self.assertEqual(read_all(upstream), b"question")
        upstream.sendall(b"answer")
        upstream.close()

        self.assertEqual(read_all(downstream), b"answer")
        self.wait_until(lambda: self.active_sessions(client) == 0, "the end of the session")

    def test_fault_lost_fin_of_the_backend(self):
        # Original: the client never saw the FIN, and waited for more.
        downstream, upstream, client = self.open_pair()

        upstream.sendall(b"greeting")
        upstream.shutdown(socket.SHUT_WR)
        self.assertEqual(read_all(downstream), b"greeting")
        downstream.sendall(b"later")
        downstream.close()

        self.assertEqual(read_all(upstream), b"later")
        self.wait_until(lambda: self.active_sessions(client) == 0, "the end of the session")

    def test_fault_a_client_that_leaves_holds_its_backend(self):
        # Original: held the connection to the backend until the backend itself closed.
        server = self.keep(socket.create_server(("127.0.0.1", 0)))
        server.settimeout(LIMIT)
        address, client = self.start_before(server, half_close_timeout=seconds_of(0.2))
        for leave in ("fin", "reset"):
            with self.subTest(leave=leave):
                downstream, upstream = self.connect_through(address, server)
                if leave == "reset":
                    downstream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
                downstream.close()

                try:
                    self.assertEqual(read_all(upstream), b"")
                except ConnectionResetError:
                    self.assertEqual(leave, "reset")
                # The backend closes nothing.
                self.wait_until(lambda: self.active_sessions(client) == 0, "the end of it")

    def test_fault_no_idle_timeout(self):
        # Original: a session without traffic stayed for ever.
        downstream, upstream, _ = self.open_pair(idle_timeout=seconds_of(0.2))

        for end in (downstream, upstream):
            with self.assertRaises(ConnectionResetError):
                end.recv(1)

    def test_fault_no_keepalive(self):
        # Original: a peer that vanished without a FIN was never noticed.
        downstream, upstream, _ = self.open_pair()
        # Both of the daemon's sockets get the timer of keepalive (02); short sessions never do.
        for end in (downstream, upstream):
            self.wait_until(lambda: self.timer_of(end.getpeername(), end.getsockname()) == "02",
                            "the timer")

    def timer_of(self, local, remote):
        wanted = self.hex_of(local), self.hex_of(remote)
        with open("/proc/net/tcp", encoding="ascii") as file:
            return next(fields[5][:2] for fields in map(str.split, file)
                        if (fields[1], fields[2]) == wanted)

    def hex_of(self, address):
        ip, port = address
        return f"{int.from_bytes(socket.inet_aton(ip), 'little'):08X}:{port:04X}"

    def test_fault_no_retry(self):
        # Original: a connection whose backend refused was dropped.
        a, = self.start_backends("a")
        with socket.create_server(("127.0.0.1", 0)) as server:
            address, client = self.start_before(server)
            dead = "%s:%d" % server.getsockname()
        client.apply(upsert("web", a.address))

        self.assertEqual([http_get(address) for _ in range(4)], ["a"] * 4)

        row, = client.stats(kinds=[ctl.OBJECT_KIND_BACKEND],
                            backends=ctl.Selector(addresses=[dead]))
        self.assertGreater(row.retries, 0)

    def test_fault_no_connect_timeout(self):
        # Original: a backend that drops SYNs held its client for two minutes.
        a = self.start_backend("a")
        hole = self.keep(SwitchableBackend("hole"))
        hole.black_hole()
        client = self.connect(self.start_sidelb())
        client.apply(
            ctl.Op(put_pool=res.Pool(name="web", health_check=UNPROBED)),
            upsert("web", a.address, hole.address),
            ctl.Op(put_listener=res.Listener(name="tcp", pool="web", address="127.0.0.1:0",
                                             connect_timeout=seconds_of(0.1))))

        names = [http_get(client.listen_address("tcp")) for _ in range(2)]

        self.assertEqual(names, ["a", "a"])
        self.assertEqual(sum(row.timeouts for row in client.stats(
            kinds=[ctl.OBJECT_KIND_BACKEND])), 1)


class Checks(OriginalTestCase):

    def start_probed(self, backends, **probe):
        daemon = self.start_sidelb()
        self.connect(daemon).apply(
            ctl.Op(put_pool=res.Pool(name="web", health_check=res.HealthCheck(**probe))),
            upsert("web", *(backend.address for backend in backends)),
            put_listener("http", "web"))
        return self.keep(Watcher(daemon.endpoint))

    def test_fault_one_black_hole_stalls_the_checks_of_all(self):
        # Original: one check after the other without a timeout; a SYN without an answer held up
        # all others for two minutes.
        holes = [self.keep(SwitchableBackend(f"hole-{number}")) for number in range(8)]
        for hole in holes:
            hole.black_hole()
        good = self.keep(SwitchableBackend("good"))

        watcher = self.start_probed([*holes, good], interval=seconds_of(0.05),
                                    timeout=seconds_of(LIMIT), rise=1, fall=1)

        watcher.wait_backend(good.address, is_serving)
        refused = time.monotonic()
        good.refuse()
        watcher.wait_backend(good.address, lambda told: told.state == "UNHEALTHY", refused)
        served = time.monotonic()
        good.serve()
        watcher.wait_backend(good.address, is_serving, served)
        # All this while the first probes of the holes were waiting.
        self.assertEqual({told.health for hole in holes for told in watcher.told_of(hole.address)},
                         {"UNKNOWN"})

    def test_fault_one_failed_check_takes_a_backend_out(self):
        # Original: rise and fall of 1, so that each lost packet was a change.
        a, b = self.start_backends("a", "b")
        watcher = self.start_probed([a, b], interval=seconds_of(0.2))
        watcher.wait_backend(b.address, is_serving)

        killed = time.monotonic()
        b.kill()
        first = watcher.wait_backend(b.address, lambda told: told.reason == "REFUSED", killed)
        watcher.wait_backend(b.address, lambda told: told.state == "UNHEALTHY", killed)

        self.assertEqual((first.state, first.health), ("SERVING", "HEALTHY"))


class Process(OriginalTestCase):

    def test_fault_no_sigterm(self):
        # Original: did not handle SIGTERM, and cut every connection.
        a, = self.start_backends("a")
        daemon, _, address = self.start_balanced(a)
        session = self.open_session(address)
        session.get()

        daemon.signal(signal.SIGTERM)
        daemon.wait_notification("STOPPING=1")

        self.assertEqual(session.get(), "a")
        session.close()
        self.assertEqual(daemon.wait(), 0, daemon.describe())

    def test_fault_no_sigterm_as_pid_1(self):
        # Original: as PID 1 of a container the kernel threw SIGTERM away; 10 s later came SIGKILL.
        a, = self.start_backends("a")
        own_user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        daemon = self.start_sidelb(
            "127.0.0.1:0", f"backends={a.address}",
            command=["unshare", *own_user, "--pid", "--fork", "--kill-child", BIN / "sidelb"])
        first, = children_of(daemon.pid)
        with open(f"/proc/{first}/status", encoding="ascii") as file:
            self.assertRegex(file.read(), r"\nNSpid:\t\d+\t1\n")
        session = self.open_session(self.connect(daemon).listen_address())
        session.get()

        os.kill(int(first), signal.SIGTERM)
        daemon.wait_notification("STOPPING=1")

        self.assertEqual(session.get(), "a")
        session.close()
        self.assertEqual(daemon.wait(), 0, daemon.describe())

    def test_fault_out_of_descriptors_it_spins(self):
        # Original: tried to accept again at once, for ever, with all of a CPU.
        a, = self.start_backends("a")
        daemon, client, address = self.start_balanced(a, arguments=("--shards", "2"))
        watcher = self.keep(Watcher(daemon.endpoint, heartbeat_seconds=1))
        watcher.wait_kind("heartbeat")

        def count():
            return sum(fault.count for fault in client.info().faults if fault.code == "EMFILE")
        soft, hard = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE,
                         (len(os.listdir(f"/proc/{daemon.pid}/fd")), hard))
        waiting = [self.open_session(address) for _ in range(8)]
        self.wait_until(count, "EMFILE")
        begun, used, wall = count(), cpu_seconds_of(daemon.pid), time.monotonic()
        seen = len(watcher.messages)
        for _ in range(2):
            seen = watcher.messages.index(watcher.wait_kind("heartbeat", seen)) + 1
        used, wall = cpu_seconds_of(daemon.pid) - used, time.monotonic() - wall
        tried = count() - begun
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (soft, hard))

        print(f"\n  {tried} attempts and {used:.2f} s of CPU time in {wall:.1f} s", flush=True)
        self.assertLess(used, 0.25 * wall)
        self.assertLessEqual(tried, 2 * (wall / 0.1 + 2), "two shards, 100 ms between attempts")
        self.assertEqual([session.get() for session in waiting], ["a"] * 8)

    def test_fault_lines_of_log_for_each_connection(self):
        # Original: two or three lines for a connection, two for a datagram.
        quiet = self.log_of(0)
        busy = self.log_of(40)

        self.assertEqual(busy, quiet)

    def log_of(self, count):
        """What a daemon at its default level says in its life with so much traffic."""
        a = self.start_backend("a")
        udp = self.keep(UdpBackend(echo_of("u")))
        daemon, client, address = self.start_balanced(a)
        client.apply(put_pool("udp"), upsert("udp", udp.address), ctl.Op(put_listener=res.Listener(
            name="udp", pool="udp", address="127.0.0.1:0", protocol=res.PROTOCOL_UDP)))
        for number in range(count):
            self.assertEqual(http_get(address), "a")
            with socket.create_connection(split_address(address), LIMIT) as aborted:
                aborted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
            asker = UdpClient(client.listen_address("udp"))
            self.assertEqual(asker.ask(b"%d" % number), b"u heard %d" % number)
            asker.close()
        daemon.stop()
        # Without times, ports and revisions.
        return [re.sub(r"\d+", "N", line.split(" ", 2)[2])
                for line in (daemon.text("stdout") + daemon.text()).splitlines()]


if __name__ == "__main__":
    main()
