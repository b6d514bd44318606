"""group_by_ip with the real daemon and command line: the ports of one IP are one group."""

import os
import socket
import subprocess
import threading
import time

from harness import LIMIT, ApiError, TestCase, ctl, http_get, main, res, split_address

CLI = os.path.join(os.environ["SIDELB_BIN"], "sidelb-cli")


class CountingBackend:
    """Accepts, counts, and answers who asks; a probe asks nothing."""

    def __init__(self, name, ip):
        self.name, self.accepted = name, 0
        self._listener = None
        self._listen((ip, 0))
        self.address = "%s:%d" % self._listener.getsockname()

    def _listen(self, address):
        self._listener = socket.create_server(address, backlog=256)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted):
        body = f"{self.name} answers\n".encode()
        with accepted:
            try:
                while accepted.recv(4096):
                    accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"
                                     % (len(body), body))
            except OSError:
                pass

    def die(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def come_back(self):
        self._listen(split_address(self.address))

    def close(self):
        try:
            self.die()
        except OSError:
            pass


class IpGrouping(TestCase):

    def start_ports(self, ip, *names):
        return [self.keep(CountingBackend(name, ip)) for name in names]

    def wait_for(self, condition, what):
        end = time.monotonic() + LIMIT
        while not condition():
            self.assertLess(time.monotonic(), end, f"{what} did not come")

    def cli(self, daemon, *arguments):
        done = subprocess.run([CLI, "--endpoint", daemon.endpoint, *arguments], text=True,
                              capture_output=True, timeout=LIMIT, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def health(self, client, pool="default"):
        return {address: (backend.status.health, backend.status.reason)
                for address, backend in client.backends(pool).items()}

    def test_feature_ip_grouping(self):
        a1, a2, a3 = self.start_ports("127.0.0.1", "a1", "a2", "a3")
        b1, = self.start_ports("127.0.0.2", "b1")
        everybody = [a1, a2, a3, b1]
        daemon = self.start_sidelb(
            "127.0.0.1:0", "mode=least-connections", "group_by_ip=true",
            "backends=" + ",".join(backend.address for backend in everybody))
        client = self.connect(daemon)
        address = client.listen_address()
        client.wait_serving("default", *[backend.address for backend in everybody])
        self.assertTrue(client.state().state.pools[0].group_by_ip)
        self.cli(daemon, "set", "pool", "default", "--probe-interval", "50ms", "--fall", "2")

        # One probe for an IP: the other ports see nothing.
        probed = a1.accepted, b1.accepted
        self.wait_for(lambda: a1.accepted > probed[0] + 3 and b1.accepted > probed[1] + 3, "probes")
        self.assertEqual((a2.accepted, a3.accepted), (0, 0))
        probes = {row.address: row.probes for row in client.stats()
                  if row.kind == ctl.OBJECT_KIND_BACKEND}
        self.assertGreater(probes[a1.address], 3)
        self.assertEqual((probes[a2.address], probes[a3.address]), (0, 0))

        # Least-connections compares IPs: 3 ports have three times the weight of one.
        sessions = []
        for _ in range(12):
            sessions.append(self.open_session(address))
            sessions[-1].get()
        active = client.backends()
        self.assertEqual([active[backend.address].status.active_connections
                          for backend in everybody], [3, 3, 3, 3])
        wide = self.cli(daemon, "get", "backends", "default", "-o", "wide").splitlines()
        columns = wide[0].index("IP-GROUP"), wide[0].index("IP-SESSIONS")
        rows = {line.split()[1]: [line[at:].split()[0] for at in columns] for line in wide[1:]}
        self.assertEqual(rows[a2.address], ["127.0.0.1", "9"])
        self.assertEqual(rows[b1.address], ["127.0.0.2", "3"])
        told = self.cli(daemon, "describe", "backend", "default", a3.address)
        self.assertIn("127.0.0.1: 3 backends, 9 sessions", told)
        self.assertIn("by IP: 2 groups", self.cli(daemon, "describe", "pool", "default"))

        # The probed port dies: all ports are out, the others by the group.
        a1.die()
        self.wait_for(lambda: self.health(client)[a3.address][0] == res.HEALTH_UNHEALTHY,
                      "the end of a group")
        health = self.health(client)
        self.assertEqual(health[a1.address], (res.HEALTH_UNHEALTHY, res.HEALTH_REASON_REFUSED))
        self.assertEqual(health[a2.address], (res.HEALTH_UNHEALTHY, res.HEALTH_REASON_GROUP_DOWN))
        self.assertEqual(health[b1.address][0], res.HEALTH_HEALTHY)
        self.assertEqual({http_get(address) for _ in range(5)}, {"b1"})
        self.assertIn(f"{a1.address}: connect: ECONNREFUSED",
                      self.cli(daemon, "describe", "backend", "default", a2.address))
        for session in sessions:  # those that exist go on
            session.get()

        # And back again, all together.
        a1.come_back()
        client.wait_serving("default", *[backend.address for backend in everybody])
        self.assertEqual(self.health(client)[a2.address],
                         (res.HEALTH_HEALTHY, res.HEALTH_REASON_OK))

    def test_the_flag_and_the_variable_say_the_same_as_the_word(self):
        backend, = self.start_ports("127.0.0.1", "a")
        start = ["127.0.0.1:0", f"backends={backend.address}"]
        variable = {"SIDELB_GROUP_BY_IP": "true"}
        for more, environment, is_grouped in ((["--group-by-ip", "true"], {}, True),
                                              ([], variable, True),
                                              (["group_by_ip=false"], variable, False)):
            daemon = self.start_sidelb(*start, *more, environment=environment)
            pool, = self.connect(daemon).state().state.pools
            self.assertEqual(pool.group_by_ip, is_grouped, (more, environment))
            daemon.stop()

    def test_the_command_line_switches_it_and_sets_the_hash_key(self):
        daemon = self.start_sidelb()
        client = self.connect(daemon)
        self.cli(daemon, "add", "pool", "web", "--mode", "maglev", "--group-by-ip", "--hash-key",
                 "source-ip-port", "--hash-table-size", "1009")
        pool = client.state().state.pools[0]
        self.assertEqual((pool.group_by_ip, pool.hash_key, pool.hash_table_size),
                         (True, res.HASH_KEY_SOURCE_IP_PORT, 1009))
        self.cli(daemon, "set", "pool", "web", "--no-group-by-ip")
        self.cli(daemon, "mode", "web", "source-hash", "--hash", "source-ip")
        pool = client.state().state.pools[0]
        self.assertEqual((pool.mode, pool.group_by_ip, pool.hash_key, pool.hash_table_size),
                         (res.MODE_SOURCE_HASH, False, res.HASH_KEY_SOURCE_IP, 1009))
        self.assertIn("by source-ip, 1009 slots", self.cli(daemon, "describe", "pool", "web"))
        self.assertIn("source-ip-port", self.cli(daemon, "info"))

    def test_what_cannot_be_is_refused_by_name(self):
        client = self.connect(self.start_sidelb())
        for pool, code, field in (
                (res.Pool(name="web", hash_key=res.HASH_KEY_FIVE_TUPLE), "UNIMPLEMENTED",
                 "ops[0].put_pool.hash_key"),
                (res.Pool(name="web", hash_table_size=65536), "INVALID_ARGUMENT",
                 "ops[0].put_pool.hash_table_size")):
            with self.assertRaises(ApiError) as refused:
                client.apply(ctl.Op(put_pool=pool))
            self.assertEqual(refused.exception.code.name, code)
            self.assertIn(field, refused.exception.violations)


if __name__ == "__main__":
    main()
