"""The variables of the original's image, with the defaults, errors and examples of its page.

Examples are taken word for word; where addresses matter, in a network namespace that has them.
"""

import os
import subprocess

from dns_server import DnsServer
from entrypoint import EntrypointDaemon, environment_of, run_entrypoint
from harness import TestCase, http_get, main, res, split_address
from namespace import NetworkNamespace
from udp_peers import UdpBackend, UdpClient, echo_of

ANYWHERE = "127.0.0.1:0"


class VariablesTestCase(TestCase):

    def start_from(self, *arguments, namespace=None, **variables):
        daemon = self.keep(EntrypointDaemon(self.folder, *arguments, variables=variables,
                                            namespace=namespace))
        self.addCleanup(lambda: daemon.is_running and daemon.stop())
        return daemon, self.connect(daemon)

    def assert_command(self, daemon, words):
        """The entrypoint printed this command, to which the tests add flags."""
        line = daemon.wait_line("^Executing: ").string
        self.assertTrue(line.startswith(f"Executing: {words} --status-socket"), line)

    def assert_ends(self, code, words, *arguments, **variables):
        program = self.keep(run_entrypoint(*arguments, "--control", f"unix:{self.folder}/control",
                                           variables=variables))
        self.assertEqual(program.wait(), code, program.describe())
        for word in words:
            self.assertIn(word, program.text(), program.describe())

    def open_namespace(self, *addresses):
        if subprocess.run(["unshare", "--user", "--map-root-user", "--net", "true"], check=False,
                          capture_output=True).returncode != 0 and os.geteuid() != 0:
            self.skipTest("this machine allows no network namespaces")
        return self.keep(NetworkNamespace(*addresses))

    def start_in(self, namespace, name, address):
        """A demo backend at a fixed address of the namespace."""
        backend = self.start_program(name, command=namespace.wrap(
            [environment_of({})["PATH"].split(":")[0] + "/sidelb-demo-backend", "--listen", address,
             "--name", name]))
        backend.wait_line(r"listens on (\S+)$")

    def names_in(self, namespace, url, count=4):
        """Who answers requests from within the namespace."""
        return {namespace.run("curl", "--silent", "--fail", "--max-time", "20", url).split()[0]
                for _ in range(count)}


class Variables(VariablesTestCase):

    def test_variable_sidelb_bind_addr(self):
        """The example's address, on which every interface of the machine is reached."""
        namespace = self.open_namespace("192.168.1.1/32", "192.168.1.10/32")
        self.start_in(namespace, "a", "192.168.1.10:80")

        daemon, client = self.start_from(namespace=namespace, SIDELB_BIND_ADDR="0.0.0.0:8080",
                                         SIDELB_BACKENDS="192.168.1.10:80")

        client.wait_serving("default", "192.168.1.10:80")
        self.assertEqual(client.listen_address(), "0.0.0.0:8080")
        for host in ("127.0.0.1", "192.168.1.1", "192.168.1.10"):
            self.assertEqual(self.names_in(namespace, f"http://{host}:8080/", 1), {"a"})
        daemon.stop()

    def test_variable_sidelb_bind_addr_is_mandatory(self):
        for arguments in ((), ("sidelb-daemon",)):
            for variables in ({}, {"SIDELB_BIND_ADDR": ""}):
                with self.subTest(arguments=arguments, variables=variables):
                    program = self.keep(run_entrypoint(
                        *arguments, variables={"SIDELB_BACKENDS": "127.0.0.1:1", **variables}))

                    self.assertEqual(program.wait(), 1)
                    self.assertRegex(program.text(), "(?m)^Error: SIDELB_BIND_ADDR is not set")
                    self.assertEqual(program.text("stdout"), "", "nothing was executed")

    def test_variable_sidelb_backends(self):
        """The example's two servers, on ports of their own, share the connections."""
        namespace = self.open_namespace("192.168.1.10/32", "192.168.1.11/32")
        self.start_in(namespace, "ten", "192.168.1.10:80")
        self.start_in(namespace, "eleven", "192.168.1.11:8000")

        daemon, client = self.start_from(
            namespace=namespace, SIDELB_BIND_ADDR="0.0.0.0:8080",
            SIDELB_BACKENDS="192.168.1.10:80,192.168.1.11:8000")

        client.wait_serving("default", "192.168.1.10:80", "192.168.1.11:8000")
        self.assertEqual(self.names_in(namespace, "http://127.0.0.1:8080/"), {"ten", "eleven"})
        daemon.stop()

    def test_variable_sidelb_backends_or_sidelb_ring_domain_is_needed(self):
        self.assert_ends(2, [ANYWHERE, "backends=", "ring_domain="], "sidelb-daemon",
                         SIDELB_BIND_ADDR=ANYWHERE)
        self.assert_ends(2, [ANYWHERE, "backends=", "ring_domain="], "sidelb-daemon",
                         SIDELB_BIND_ADDR=ANYWHERE, SIDELB_BACKENDS="", SIDELB_RING_DOMAIN="")

    def test_variable_sidelb_mode_is_round_robin_by_default(self):
        backends = self.start_backends("a", "b")
        addresses = ",".join(backend.address for backend in backends)
        for variables in ({}, {"SIDELB_MODE": ""}, {"SIDELB_MODE": "round-robin"}):
            with self.subTest(variables=variables):
                daemon, client = self.start_from(SIDELB_BIND_ADDR=ANYWHERE,
                                                 SIDELB_BACKENDS=addresses, **variables)
                client.wait_serving("default", *(backend.address for backend in backends))
                address = client.listen_address()
                first = self.open_session(address)
                names = [first.get()]
                second = self.open_session(address)
                names.append(second.get())
                second.close()
                self.wait_until(
                    lambda: client.state().state.pools[0].status.active_connections == 1,
                    "the end of the second session")
                # It goes to the one that is busy: least-connections would not.
                names.append(http_get(address))
                first.close()

                self.assertIn(names, [["a", "b", "a"], ["b", "a", "b"]])
                self.assertEqual(client.state().state.pools[0].mode, res.MODE_ROUND_ROBIN)
                self.assert_command(
                    daemon, f"sidelb {ANYWHERE} backends={addresses} mode=round-robin proto=tcp")
                daemon.stop()

    def test_variable_sidelb_mode(self):
        """The example's value: who has the fewest connections gets the next ones."""
        a, b = self.start_backends("a", "b")
        daemon, client = self.start_from(
            SIDELB_BIND_ADDR=ANYWHERE, SIDELB_BACKENDS=f"{a.address},{b.address}",
            SIDELB_MODE="least-connections")
        client.wait_serving("default", a.address, b.address)
        address = client.listen_address()
        held = {}
        for _ in range(4):
            session = self.open_session(address)
            held.setdefault(session.get(), []).append(session)
        for session in held["a"]:
            session.close()
        self.wait_until(lambda: client.backends()[a.address].status.active_connections == 0,
                        "the end of the sessions of a")

        self.assertEqual([self.open_session(address).get() for _ in range(2)], ["a", "a"])
        self.assert_command(daemon, f"sidelb {ANYWHERE} backends={a.address},{b.address} "
                                    "mode=least-connections proto=tcp")

    def test_variable_sidelb_mode_names_what_is_allowed(self):
        self.assert_ends(2, ["mode=fastest", "round-robin", "least-connections"], "sidelb-daemon",
                         SIDELB_BIND_ADDR=ANYWHERE, SIDELB_BACKENDS="127.0.0.1:1",
                         SIDELB_MODE="fastest")

    def test_variable_sidelb_proto_is_tcp_by_default(self):
        a, = self.start_backends("a")
        for variables in ({}, {"SIDELB_PROTO": ""}, {"SIDELB_PROTO": "tcp"}):
            with self.subTest(variables=variables):
                daemon, client = self.start_from(SIDELB_BIND_ADDR=ANYWHERE,
                                                 SIDELB_BACKENDS=a.address, **variables)

                self.assertEqual(http_get(client.listen_address()), "a")
                self.assert_command(
                    daemon, f"sidelb {ANYWHERE} backends={a.address} mode=round-robin proto=tcp")
                daemon.stop()

    def test_variable_sidelb_proto(self):
        """The example's value, for static backends and found ones alike."""
        static = self.keep(UdpBackend(echo_of("static")))
        found = self.keep(UdpBackend(echo_of("found")))
        dns = self.keep(DnsServer())
        dns.answer("127.0.0.1")

        daemon, client = self.start_from(
            "--resolver", dns.address, SIDELB_BIND_ADDR=ANYWHERE, SIDELB_BACKENDS=static.address,
            SIDELB_RING_DOMAIN=f"web.example:{split_address(found.address)[1]}",
            SIDELB_PROTO="udp")
        self.wait_until(lambda: len(client.backends()) == 2, "the backend of the domain")
        answers = {self.keep(UdpClient(client.listen_address())).ask(b"hello") for _ in range(4)}

        self.assertEqual(answers, {b"static heard hello", b"found heard hello"})
        self.assertEqual(client.state().state.listeners[0].protocol, res.PROTOCOL_UDP)
        daemon.wait_line("^Executing: .* proto=udp ")

    def test_variable_sidelb_proto_names_what_is_allowed(self):
        self.assert_ends(2, ["proto=sctp", "tcp", "udp"], "sidelb-daemon",
                         SIDELB_BIND_ADDR=ANYWHERE, SIDELB_BACKENDS="127.0.0.1:1",
                         SIDELB_PROTO="sctp")

    def test_variable_sidelb_ring_domain(self):
        """The example's name and port, without any static backend."""
        namespace = self.open_namespace("192.168.1.10/32", "192.168.1.11/32")
        self.start_in(namespace, "ten", "192.168.1.10:8000")
        self.start_in(namespace, "eleven", "192.168.1.11:8000")
        self.start_name_server(namespace, "127.0.0.53", "my-app-backends.example.com",
                               "192.168.1.10", "192.168.1.11")

        daemon, client = self.start_from(
            "--resolver", "127.0.0.53:53", namespace=namespace, SIDELB_BIND_ADDR="0.0.0.0:8080",
            SIDELB_RING_DOMAIN="my-app-backends.example.com:8000")
        client.wait_serving("default", "192.168.1.10:8000", "192.168.1.11:8000")

        self.assertEqual(self.names_in(namespace, "http://127.0.0.1:8080/"), {"ten", "eleven"})
        self.assert_command(daemon, "sidelb 0.0.0.0:8080 "
                                    "ring_domain=my-app-backends.example.com:8000 "
                                    "mode=round-robin proto=tcp --resolver 127.0.0.53:53")
        daemon.stop()

    def start_name_server(self, namespace, address, domain, *ips):
        server = self.start_program("dnsmasq", command=namespace.wrap(
            ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
             "--user=", "--group=", f"--listen-address={address}", "--bind-interfaces",
             *(f"--host-record={domain},{ip}" for ip in ips)]))
        server.wait_line("started, version", "stderr")


class Examples(VariablesTestCase):
    """The two command lines of the page, with every word that it puts in brackets."""

    def test_example_of_a_ring_domain(self):
        a, = self.start_backends("a")
        dns = self.keep(DnsServer())
        dns.answer("127.0.0.1")
        port = split_address(a.address)[1]

        daemon = self.start_sidelb(ANYWHERE, "mode=least-connections", "proto=tcp",
                                   f"ring_domain=web.example:{port}", "--resolver", dns.address)

        client = self.connect(daemon)
        client.wait_serving("default", a.address)
        self.assertEqual(http_get(client.listen_address()), "a")

    def test_example_of_a_set_of_ips(self):
        a, b = self.start_backends("a", "b")

        daemon = self.start_sidelb(ANYWHERE, "mode=round-robin", "proto=tcp",
                                   f"backends={a.address},{b.address}")

        client = self.connect(daemon)
        client.wait_serving("default", a.address, b.address)
        self.assertEqual({http_get(client.listen_address()) for _ in range(2)}, {"a", "b"})


if __name__ == "__main__":
    main()
