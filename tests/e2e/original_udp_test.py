"""What the original did wrong over UDP; original_faults_test.py has the rest.

Each test begins with what the original did, and is one that it would fail.
"""

import contextlib
import os
import socket
import time

from harness import LIMIT, TestCase, ctl, main, res, upsert
from udp_peers import LARGEST, UdpBackend, UdpClient, echo_of
from watcher import Watcher

# Sessions without an answer would go on while it drains.
STOP_AT_ONCE = ("--drain-timeout", "0s")


class UdpTestCase(TestCase):

    def start_standalone(self, *backends, listen="127.0.0.1:0"):
        """As the original is started: no setting but what its page has."""
        daemon = self.start_sidelb(listen, "proto=udp", *STOP_AT_ONCE,
                                   "backends=" + ",".join(backend.address for backend in backends))
        client = self.connect(daemon)
        return client.listen_address(), client

    def start_listener(self, policy, *backends, **probe):
        """A daemon set up over gRPC; the address, and the daemon."""
        daemon = self.start_sidelb("--shards", "2", *STOP_AT_ONCE)
        client = self.connect(daemon)
        client.apply(
            ctl.Op(put_pool=res.Pool(name="udp", health_check=res.HealthCheck(**probe))),
            upsert("udp", *(backend.address for backend in backends)),
            ctl.Op(put_listener=res.Listener(name="udp", pool="udp", address="127.0.0.1:0",
                                             protocol=res.PROTOCOL_UDP, udp_policy=policy)))
        return client.listen_address("udp"), daemon

    def start_udp(self, answer=lambda data: None, **options):
        return self.keep(UdpBackend(answer, **options))

    def connect_udp(self, address):
        return self.keep(UdpClient(address))


class Udp(UdpTestCase):

    def test_fault_a_silent_backend_stalls_all_datagrams(self):
        # Original: waited up to 5 s for the answer to one datagram before it read the next one.
        silent, good = self.start_udp(), self.start_udp(echo_of("good"))
        address, _ = self.start_standalone(silent, good)
        clients = [self.connect_udp(address) for _ in range(40)]

        begin = time.monotonic()
        for client in clients:
            client.send(b"hello")
        silent.wait_received(20)
        good.wait_received(20)
        for client in clients:
            client.socket.setblocking(False)
        answered = self.wait_until(lambda: self.all_answers(clients, 20), "20 answers")

        self.assertEqual(set(answered), {b"good heard hello"})
        # 20 of them were silent: 100 s, one after the other.
        self.assertLess(time.monotonic() - begin, LIMIT)

    def all_answers(self, clients, count):
        """So many answers, each client's only one, or nothing yet."""
        for client in clients:
            with contextlib.suppress(BlockingIOError):
                self.answers.append(client.receive())
        return self.answers if len(self.answers) >= count else None

    def setUp(self):
        super().setUp()
        self.answers = []

    def test_fault_a_silent_backend_stalls_its_own_client(self):
        # Original: a client's second datagram waited for the answer to its first one, too.
        quick = self.start_udp(lambda data: data if data == b"loud" else None)
        for policy in (res.UDP_POLICY_SESSION, res.UDP_POLICY_REQUEST_RESPONSE):
            with self.subTest(policy=res.UdpPolicy.Name(policy)):
                address, daemon = self.start_listener(policy, quick)
                client = self.connect_udp(address)
                for _ in range(20):
                    client.send(b"silent")

                self.assertEqual(client.ask(b"loud"), b"loud")
                daemon.stop()

    def test_fault_one_way_protocols_crawl(self):
        # Original: 0.2 datagrams a second where nothing is answered, as with syslog and statsd.
        count, window = 5000, 200
        for policy in (res.UDP_POLICY_SESSION, res.UDP_POLICY_ONE_WAY,
                       res.UDP_POLICY_PER_PACKET):
            with self.subTest(policy=res.UdpPolicy.Name(policy)):
                sink = self.start_udp()
                address, daemon = self.start_listener(policy, sink)
                client = self.connect_udp(address)

                begin = time.monotonic()
                for number in range(0, count, window):
                    for offset in range(window):
                        client.send(b"%d" % (number + offset))
                    received = sink.wait_received(number + window)
                rate = count / (time.monotonic() - begin)

                self.assertEqual([data for data, _ in received],
                                 [b"%d" % number for number in range(count)])
                print(f"\n  {res.UdpPolicy.Name(policy)}: {rate:.0f} datagrams a second",
                      flush=True)
                daemon.stop()

    def test_fault_datagrams_are_cut_at_2048_bytes(self):
        # Original: kept the first 2048 bytes of a datagram, either way, and threw the rest away.
        echo = self.start_udp(lambda data: data)
        address, _ = self.start_standalone(echo)
        client = self.connect_udp(address)

        for size in (0, 1, 512, 1472, 2047, 2048, 2049, 4096, 9000, 65000, LARGEST):
            with self.subTest(size=size):
                data = os.urandom(size)

                self.assertEqual(client.ask(data), data)

        self.assertEqual([len(data) for data, _ in echo.received][-1], LARGEST)

    def test_fault_a_reply_of_anyone_is_passed_on(self):
        # Original: took whatever came first on its socket for the backend's answer.
        backend = self.start_udp()
        address, _ = self.start_standalone(backend)
        client = self.connect_udp(address)
        client.send(b"question")
        (_, asker), = backend.wait_received(1)

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as intruder:
            intruder.settimeout(LIMIT)
            intruder.connect(asker)
            intruder.send(b"forged")
            with self.assertRaises(ConnectionRefusedError):  # the kernel told it off
                intruder.recv(100)
        backend.socket.sendto(b"answer", asker)

        self.assertEqual(client.receive(), b"answer")

    def test_fault_ipv6_backends_get_nothing(self):
        # Original: sent from a socket of IPv4, from which no IPv6 address is reached.
        six = self.start_udp(echo_of("six"), listen="[::1]:0")
        for listen in ("127.0.0.1:0", "[::1]:0"):
            with self.subTest(listen=listen):
                daemon = self.start_sidelb(listen, "proto=udp", f"backends={six.address}")
                client = self.connect_udp(self.connect(daemon).listen_address())

                self.assertEqual(client.ask(b"hello"), b"six heard hello")
                daemon.stop()

    def test_fault_no_affinity(self):
        # Original: a new socket and a new backend for each datagram of a client.
        a, b = self.start_udp(echo_of("a")), self.start_udp(echo_of("b"))
        address, client = self.start_standalone(a, b)
        clients = [self.connect_udp(address) for _ in range(2)]

        answers = [{client.ask(b"hello") for _ in range(10)} for client in clients]

        self.assertEqual(sorted(map(sorted, answers)), [[b"a heard hello"], [b"b heard hello"]])
        for backend in (a, b):
            self.assertEqual(len({sender for _, sender in backend.received}), 1)
        row, = client.stats(kinds=[ctl.OBJECT_KIND_LISTENER])
        self.assertEqual((row.total, row.active, row.packets_in, row.packets_out), (2, 2, 20, 20))

    def test_fault_late_and_further_answers_are_lost(self):
        # Original: passed on one answer to a datagram, and closed its socket.
        backend = self.start_udp()
        address, _ = self.start_standalone(backend)
        client = self.connect_udp(address)
        client.send(b"question")
        (_, asker), = backend.wait_received(1)

        for number in range(100):
            backend.socket.sendto(b"%d" % number, asker)

        self.assertEqual([client.receive() for _ in range(100)],
                         [b"%d" % number for number in range(100)])

    def test_fault_every_udp_backend_is_called_healthy(self):
        # Original: a check was a sendto(), which succeeds whoever listens.
        dead = UdpBackend()
        dead.close()

        _, client = self.start_standalone(dead)
        status = client.backends()[dead.address].status

        self.assertEqual((status.health, status.reason),
                         (res.HEALTH_UNKNOWN, res.HEALTH_REASON_NOT_CHECKED))

    def test_fault_a_dead_udp_backend_is_not_found_by_checks(self):
        # Original: the same; a dead backend got its share of the datagrams for ever.
        good = self.start_udp(lambda data: b"pong" if data == b"ping" else b"good")
        dead = UdpBackend()
        dead.close()
        address, daemon = self.start_listener(
            res.UDP_POLICY_PER_PACKET, good, dead, kind=res.PROBE_KIND_UDP, send=b"ping",
            expect=b"pong")
        watcher = self.keep(Watcher(daemon.endpoint))
        watcher.wait_backend(good.address, lambda told: told.health == "HEALTHY")
        watcher.wait_backend(dead.address, lambda told: told.health == "UNHEALTHY")
        client = self.connect_udp(address)

        for number in range(10):
            client.send(b"%d" % number)

        self.wait_until(lambda: len(self.data_of(good)) == 10, "all datagrams")

    def data_of(self, backend):
        return [data for data, _ in backend.received if data != b"ping"]


if __name__ == "__main__":
    main()
