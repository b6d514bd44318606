"""TLS, roles and bounds of the control endpoint, and Shutdown."""

import os
import shutil
import signal
import socket
import unittest
from pathlib import Path

import grpc

from certificates import Authority
from flooding import ConnectionFlood
from harness import (BIN, LIMIT, Client, Program, TestCase, ctl, ctl_grpc, http_get, main,
                     override, put_pool, res, split_address,
                     upsert)

FOREIGN_UID = 4242


class TlsClient(Client):
    """As Client, over TLS."""

    def __init__(self, address, ca, certificate=None, key=None):
        credentials = grpc.ssl_channel_credentials(
            ca.read_bytes(), key and key.read_bytes(), certificate and certificate.read_bytes())
        self._channel = grpc.secure_channel(
            address, credentials, options=[("grpc.use_local_subchannel_pool", 1)])
        self._stub = ctl_grpc.ControlServiceStub(self._channel)

    def refused(self):
        """The error of a call that the handshake must not let through."""
        try:
            self._stub.GetInfo(ctl.GetInfoRequest(), timeout=LIMIT)
        except grpc.RpcError as error:
            return error
        raise AssertionError("the call was answered")


class TlsTestCase(TestCase):

    def setUp(self):
        super().setUp()
        self.authority = Authority(self.folder, "ours")
        self.certificate, self.key = self.authority.sign("daemon", "IP:127.0.0.1,DNS:localhost")

    def start_tls(self, *arguments, client_ca=True):
        more = ("--tls-client-ca", self.authority.ca) if client_ca else ()
        daemon = self.start_sidelb("--tls-cert", self.certificate, "--tls-key", self.key, *more,
                                   *arguments, control="127.0.0.1:0")
        daemon.endpoint = daemon.wait_line(r"control endpoint: (\S+) \(TLS", "stderr").group(1)
        return daemon

    def tls_client(self, daemon, file=None, san=None):
        pair = self.authority.sign(file, san) if file else (None, None)
        return self.keep(TlsClient(daemon.endpoint, self.authority.ca, *pair))

    def cli(self, daemon, *arguments, environment=None):
        return self.run_cli("--endpoint", daemon.endpoint, *arguments, environment=environment)

    def run_cli(self, *arguments, environment=None):
        program = self.start_program("sidelb-cli", *arguments, environment=environment)
        code = program.wait()
        return code, program.text("stdout"), program.text()


class Tls(TlsTestCase):

    def test_a_client_with_a_certificate_of_the_ca_is_admin_without_a_roles_file(self):
        client = self.tls_client(self.start_tls(), "deploy", "DNS:deploy.example")

        info = client.info()

        self.assertEqual((info.principal, info.role), ("san:deploy.example", ctl.ROLE_ADMIN))
        client.apply(put_pool("web"))

    def test_a_client_without_a_certificate_or_with_a_foreign_one_gets_nothing(self):
        daemon = self.start_tls()
        foreign = Authority(self.folder, "foreign").sign("stranger", "DNS:deploy.example")

        for pair in ((None, None), foreign):
            client = self.keep(TlsClient(daemon.endpoint, self.authority.ca, *pair))
            self.assertEqual(client.refused().code(), grpc.StatusCode.UNAVAILABLE)

    def test_a_client_without_tls_gets_nothing(self):
        daemon = self.start_tls()
        channel = self.keep(grpc.insecure_channel(daemon.endpoint))
        with self.assertRaises(grpc.RpcError) as caught:
            ctl_grpc.ControlServiceStub(channel).GetInfo(ctl.GetInfoRequest(), timeout=LIMIT)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)

    def test_replaced_files_count_for_new_connections_and_broken_ones_do_not(self):
        daemon = self.start_tls()
        old = self.tls_client(daemon, "first", "DNS:a.example")
        old.info()

        # Half of a pair, then garbage: what was there stays in use.
        self.certificate.write_text("garbage\n")
        self.tls_client(daemon, "second", "DNS:b.example").info()
        daemon.wait_line(r"error.*daemon\.pem: has no certificate in it", "stderr")

        new = Authority(self.folder, "new")
        other, other_key = new.sign("other", "IP:127.0.0.1")
        os.replace(other, self.certificate)
        self.tls_client(daemon, "third", "DNS:c.example").info()
        daemon.wait_line(r"error.*daemon\.key: is not the key of", "stderr")
        os.replace(other_key, self.key)

        pair = self.authority.sign("fourth", "DNS:d.example")
        client = self.keep(TlsClient(daemon.endpoint, new.ca, *pair))
        self.assertEqual(client.info().principal, "san:d.example")
        old.info()  # goes on

    def test_half_a_handshake_is_ended(self):
        daemon = self.start_tls()
        with socket.create_connection(split_address(daemon.endpoint), LIMIT) as connection:
            connection.sendall(ConnectionFlood.HELLO)
            connection.settimeout(LIMIT)  # the daemon's is 5 s
            try:
                self.assertEqual(connection.recv(1), b"")
            except ConnectionResetError:
                pass

    def test_files_that_cannot_be_used_stop_the_start(self):
        other, other_key = self.authority.sign("other", "DNS:x")
        for words, certificate, key, ca in [
                (["none.pem", "ENOENT"], "none.pem", self.key, None),
                (["other.key", "daemon.pem"], self.certificate, other_key, None),
                (["daemon.key", "no certificate"], self.certificate, self.key, self.key)]:
            more = ("--tls-client-ca", ca) if ca else ()
            program = self.start_program(
                "sidelb", "--control", "127.0.0.1:0", "--status-socket", "none", "--tls-cert",
                certificate, "--tls-key", key, *more)
            self.assertEqual(program.wait(), 1, program.describe())
            for word in words:
                self.assertIn(word, program.text())

    def test_the_cli_speaks_tls_by_flags_and_by_variables(self):
        daemon = self.start_tls()
        certificate, key = self.authority.sign("ops", "DNS:ops.example")
        flags = ("--cacert", self.authority.ca, "--cert", certificate, "--key", key)

        code, out, _ = self.cli(daemon, *flags, "info")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"san:ops\.example, admin")
        code, out, _ = self.cli(daemon, "info", environment={
            "SIDELB_CACERT": str(self.authority.ca), "SIDELB_CERT": str(certificate),
            "SIDELB_KEY": str(key), "SIDELB_SERVER_NAME": "localhost"})
        self.assertEqual(code, 0)
        code, _, err = self.cli(daemon, *flags, "--server-name", "else.example", "info")
        self.assertEqual(code, 6, err)
        code, _, err = self.cli(daemon, "--cert", certificate, "--key", key, "info")
        self.assertEqual(code, 2, err)
        self.assertIn("--cacert", err)

    def test_the_cli_says_what_of_tls_to_look_at(self):
        daemon = self.start_tls()
        certificate, key = self.authority.sign("ops", "DNS:ops.example")
        _, other_key = self.authority.sign("other", "DNS:ops.example")
        foreign = Authority(self.folder, "foreign")
        ca, pair = ("--cacert", self.authority.ca), ("--cert", certificate, "--key", key)

        for flags, words in [((), "TLS and a certificate"), (ca, "TLS and a certificate"),
                             (("--cacert", foreign.ca, *pair), "is --cacert the CA"),
                             ((*ca, "--cert", certificate, "--key", other_key),
                              "belong together"),
                             ((*ca, *pair, "--server-name", "else.example"), "--server-name")]:
            with self.subTest(words, flags=flags):
                code, _, err = self.cli(daemon, *flags, "info")
                self.assertEqual(code, 6, err)
                self.assertIn(words, err)
                self.assertNotIn("is sidelb running?", err)
        plain = self.start_sidelb(control="127.0.0.1:0")
        plain.endpoint = plain.wait_line(r"control endpoint: (\S+)$", "stderr").group(1)
        code, _, err = self.cli(plain, *ca, "info")
        self.assertEqual(code, 6, err)
        self.assertIn("speaks no TLS", err)


class Roles(TlsTestCase):

    def roles(self, *lines):
        path = Path(self.folder, "roles")
        path.write_text("\n".join(lines) + "\n")
        return path

    def test_a_certificate_gives_the_role_that_the_file_says(self):
        path = self.roles("admin san:admin.example", "operator san:ops.example",
                          "owner san:deploy.example owners=api:deploy", "viewer san:view.example")
        daemon = self.start_tls("--roles", path)
        admin = self.tls_client(daemon, "admin", "DNS:admin.example")
        admin.apply(put_pool("web"), upsert("web", "10.0.0.1:80"))

        owner = self.tls_client(daemon, "deploy", "URI:spiffe://x/y,DNS:deploy.example")
        owner.apply(upsert("web", "10.0.0.2:80"), owner="api:deploy")
        with self.assert_api_error("PERMISSION_DENIED", "NOT_OWNER"):
            owner.apply(upsert("web", "10.0.0.3:80"), owner="api:other")
        with self.assert_api_error("PERMISSION_DENIED", "ROLE"):
            owner.apply(override("web", "10.0.0.2:80", admin_state=res.ADMIN_STATE_DRAINING),
                        owner="api:deploy")

        operator = self.tls_client(daemon, "ops", "DNS:ops.example")
        operator.apply(override("web", "10.0.0.2:80", admin_state=res.ADMIN_STATE_DISABLED))
        with self.assert_api_error("PERMISSION_DENIED", "ROLE"):
            operator.apply(put_pool("api"))

        viewer = self.tls_client(daemon, "view", "DNS:view.example")
        self.assertEqual(len(viewer.backends("web")), 2)
        with self.assert_api_error("PERMISSION_DENIED", "ROLE"):
            viewer.apply(put_pool("web"))

        stranger = self.tls_client(daemon, "stranger", "DNS:stranger.example")
        with self.assert_api_error("PERMISSION_DENIED", "ROLE"):
            stranger.info()

    def test_who_shows_no_certificate_is_anonymous(self):
        daemon = self.start_tls("--roles", self.roles("admin uid:0"), client_ca=False)
        with self.assert_api_error("UNAUTHENTICATED", "NO_IDENTITY"):
            self.tls_client(daemon).info()

    def test_sighup_reads_the_file_anew_and_a_broken_one_changes_nothing(self):
        uid = os.geteuid()
        path = self.roles(f"admin uid:{uid}")
        daemon = self.start_sidelb("--roles", path)
        client = self.connect(daemon)
        client.apply(put_pool("web"))

        self.roles(f"admin uid:{uid}", "king uid:1")
        daemon.signal(signal.SIGHUP)
        daemon.wait_line(r"error.*roles: line 2: 'king'", "stderr")
        client.apply(put_pool("web"))
        conditions = {c.code: c.detail for c in client.info().conditions}
        self.assertRegex(conditions["ROLES_REJECTED"], "^/.*roles: line 2: 'king'")
        self.assertEqual(conditions["ROLES_REJECTED"].count("roles:"), 1)

        self.roles(f"viewer uid:{uid}")
        daemon.signal(signal.SIGHUP)
        daemon.wait_line(r"has no admin", "stderr")
        self.assertEqual(list(client.info().conditions), [])
        with self.assert_api_error("PERMISSION_DENIED", "ROLE"):
            client.apply(put_pool("web"))

    @unittest.skipUnless(os.geteuid() == 0, "needs root to be another user")
    def test_users_of_the_socket_are_told_apart(self):
        path = self.roles("admin uid:0", f"owner uid:{FOREIGN_UID} owners=api:theirs")
        daemon = self.start_sidelb("--roles", path)
        os.chmod(self.folder, 0o755)
        os.chmod(daemon.endpoint.removeprefix("unix:"), 0o666)
        ours = self.connect(daemon)
        ours.apply(put_pool("web"))

        cli = shutil.copy(BIN / "sidelb-cli", self.folder)  # where another user may read it
        program = self.keep(Program("sidelb-cli", command=[
            "setpriv", "--reuid", str(FOREIGN_UID), "--clear-groups", "/bin/sh", "-c",
            'run() { "$cli" --endpoint "$endpoint" "$@"; }; cli=$0 endpoint=$1; '
            'run info; run --owner api:theirs add web 10.0.0.1:80; '
            'run add web 10.0.0.2:80; echo "other owner $?"; run add pool x; echo "pool $?"',
            cli, daemon.endpoint]))
        self.assertEqual(program.wait(), 0, program.describe())

        out = program.text("stdout")
        self.assertRegex(out, rf"uid:{FOREIGN_UID}, owner")
        self.assertIn("other owner 7", out)
        self.assertIn("pool 7", out)
        self.assertEqual([c.owner for b in ours.backends("web").values() for c in b.claims],
                         ["api:theirs"])
        self.assertEqual(ours.info().role, ctl.ROLE_ADMIN)


class Flood(TlsTestCase):

    def test_a_flood_on_the_port_leaves_traffic_and_memory_alone(self):
        backend = self.start_backend("a")
        daemon = self.start_tls("127.0.0.1:0", f"backends={backend.address}")
        client = self.tls_client(daemon, "ops", "DNS:ops.example")
        client.wait_serving("default", backend.address)
        address = client.listen_address()
        traffic = self.start_traffic(address, threads=2)
        flood = ConnectionFlood(*split_address(daemon.endpoint))
        self.addCleanup(flood.stop)

        flood.wait_for(2_000)
        requests = traffic.wait_for(100)
        info = client.info()  # the connection that is there already
        descriptors = len(os.listdir(f"/proc/{daemon.pid}/fd"))
        flood.stop()

        self.assert_all_answered(requests)
        self.assertLess(descriptors, 256 + 200)
        faults = {fault.code: fault.count for fault in info.faults}
        self.assertGreater(faults.get("CONTROL_RATE_LIMIT", 0) +
                           faults.get("CONTROL_SOURCE_LIMIT", 0), 0, faults)
        lines = [line for line in daemon.text().splitlines() if "more are refused" in line]
        self.assertLessEqual(len(lines), 3, "each bound is logged once a minute")
        self.assertEqual(http_get(address), "a")


class Shutdown(TestCase):

    def shutdown(self, daemon, *arguments):
        program = self.start_program("sidelb-cli", "--endpoint", daemon.endpoint, "shutdown",
                                     *arguments)
        self.assertEqual(program.wait(), 0, program.describe())
        return program.text("stdout")

    def test_an_idle_daemon_ends_at_once_with_0(self):
        daemon = self.start_sidelb()

        self.assertIn("draining", self.shutdown(daemon, "--comment", "new kernel"))

        self.assertEqual(daemon.wait(), 0)
        self.assertIn("asked for the end of the daemon: new kernel", daemon.text())

    def test_sessions_go_on_until_they_end(self):
        backend = self.start_backend("a")
        daemon, _, address = self.start_balanced(backend)
        session = self.open_session(address)
        session.get()

        self.shutdown(daemon, "--drain", "10m")

        daemon.wait_line("draining: 1 connections may end within 10m", "stderr")
        self.assertEqual(session.get(), "a")
        session.close()
        self.assertEqual(daemon.wait(), 0)

    def test_the_time_that_it_asked_for_counts(self):
        backend = self.start_backend("a")
        daemon, _, address = self.start_balanced(backend, arguments=("--drain-timeout", "1h"))
        session = self.open_session(address)
        session.get()

        self.shutdown(daemon, "--drain", "100ms")

        self.assertEqual(daemon.wait(), 0)
        self.assertEqual(session.wait_for_end(), "reset")


if __name__ == "__main__":
    main()
