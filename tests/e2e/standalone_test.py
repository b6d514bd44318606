"""The daemon by itself: arguments, variables, exit codes, signals, readiness."""

import os
import signal
import socket

from harness import (LIMIT, TestCase, http_get, main, override, put_listener, put_pool, res,
                     split_address, upsert)


class Start(TestCase):

    def test_arguments_make_a_listener_and_a_pool_that_balance_in_exact_order(self):
        backends = self.start_backends("a", "b", "c")

        _, _, address = self.start_balanced(*backends, arguments=("--shards", "2"))

        names = [http_get(address) for _ in range(6)]
        self.assertEqual(sorted(names[:3]), ["a", "b", "c"])
        self.assertEqual(names[3:], names[:3])

    def test_backends_from_the_command_line_belong_to_owner_static(self):
        a, = self.start_backends("a")

        _, client, _ = self.start_balanced(a, mode="least-connections")

        state = client.state().state
        self.assertEqual([(p.name, p.mode) for p in state.pools],
                         [("default", res.MODE_LEAST_CONNECTIONS)])
        self.assertEqual([[c.owner for c in b.claims] for b in state.backends], [["static"]])
        self.assertEqual([(item.name, item.pool) for item in state.listeners],
                         [("default", "default")])

    def test_flags_say_the_same_as_words(self):
        a, = self.start_backends("a")

        daemon = self.start_sidelb("--bind", "127.0.0.1:0", "--mode", "round-robin", "--backends",
                                   a.address, "--proto", "tcp")

        self.assertEqual(http_get(self.connect(daemon).listen_address()), "a")

    def test_variables_say_the_same_as_arguments(self):
        a, = self.start_backends("a")

        daemon = self.start_sidelb(environment={
            "SIDELB_BIND_ADDR": "127.0.0.1:0", "SIDELB_BACKENDS": a.address,
            "SIDELB_MODE": "least-connections", "SIDELB_PROTO": "tcp"})

        client = self.connect(daemon)
        self.assertEqual(http_get(client.listen_address()), "a")
        self.assertEqual(client.state().state.pools[0].mode, res.MODE_LEAST_CONNECTIONS)

    def test_arguments_win_over_variables(self):
        a, b = self.start_backends("a", "b")

        daemon = self.start_sidelb("127.0.0.1:0", f"backends={b.address}",
                                   environment={"SIDELB_BIND_ADDR": "127.0.0.1:1",
                                                "SIDELB_BACKENDS": a.address,
                                                "SIDELB_MODE": "least-connections"})

        client = self.connect(daemon)
        self.assertEqual(http_get(client.listen_address()), "b")
        self.assertEqual(client.state().state.pools[0].mode, res.MODE_LEAST_CONNECTIONS)

    def test_without_arguments_it_starts_empty_and_is_set_up_over_grpc(self):
        a, = self.start_backends("a")
        client = self.connect(self.start_sidelb())
        self.assertEqual(client.state().total_size, 0)

        client.apply(put_pool("web"), put_listener("http", "web"), upsert("web", a.address))

        self.assertEqual(http_get(client.listen_address("http")), "a")

    def test_ipv6_listens_and_connects(self):
        a = self.start_backend("a", listen="[::1]:0")
        daemon = self.start_sidelb("[::1]:0", f"backends={a.address}")

        self.assertEqual(http_get(self.connect(daemon).listen_address()), "a")

    def test_the_number_of_shards_is_the_one_asked_for(self):
        client = self.connect(self.start_sidelb("--shards", "3"))

        self.assertEqual(client.info().shards, 3)

    def test_the_number_of_shards_is_that_of_the_usable_cpus_by_default(self):
        client = self.connect(self.start_sidelb())

        self.assertEqual(client.info().shards, len(os.sched_getaffinity(0)))


class Refusal(TestCase):

    def assert_refused_with(self, code, words, *arguments, environment=None, is_control_set=False):
        """The daemon must end with `code`, and its error must hold all `words`."""
        if not is_control_set:
            arguments = (*arguments, "--control", f"unix:{self.folder}/control.sock")
        program = self.start_program("sidelb", *arguments, environment=environment)
        self.assertEqual(program.wait(), code, program.describe())
        for word in words:
            self.assertIn(word, program.text(), program.describe())

    def test_a_wrong_argument_names_itself_and_what_is_allowed(self):
        for words, arguments in {
                ("mode", "fastest", "round-robin", "least-connections"):
                    ("127.0.0.1:0", "mode=fastest"),
                ("proto", "sctp", "tcp", "udp"): ("127.0.0.1:0", "proto=sctp"),
                ("127.0.0.1:99999",): ("127.0.0.1:99999",),
                ("localhost:80",): ("localhost:80",),
                ("backends", "10.0.0.1"): ("127.0.0.1:0", "backends=10.0.0.1"),
                ("colour", "backends"): ("127.0.0.1:0", "colour=red"),
                ("--shards", "0"): ("--shards", "0"),
                ("--no-such-flag",): ("--no-such-flag",)}.items():
            with self.subTest(arguments=arguments):
                self.assert_refused_with(2, words, *arguments)

    def test_an_address_without_backends_is_refused(self):
        self.assert_refused_with(2, ["127.0.0.1:0", "backends=", "ring_domain="], "127.0.0.1:0")

    def test_a_wrong_variable_names_itself(self):
        self.assert_refused_with(2, ["SIDELB_MODE", "fastest", "round-robin"], "127.0.0.1:0",
                                 environment={"SIDELB_MODE": "fastest"})

    def test_a_port_in_use_names_the_address_and_the_reason(self):
        with socket.create_server(("127.0.0.1", 0)) as holder:
            address = "127.0.0.1:%d" % holder.getsockname()[1]

            self.assert_refused_with(1, [address, "EADDRINUSE"], address, "backends=127.0.0.1:1")

    def test_a_second_daemon_on_the_endpoint_leaves_the_first_one_alone(self):
        a, = self.start_backends("a")
        first, client, address = self.start_balanced(a)

        self.assert_refused_with(1, [first.endpoint.removeprefix("unix:")], "--control",
                                 first.endpoint, is_control_set=True)

        self.assertEqual(http_get(address), "a")
        self.assertEqual(len(client.backends()), 1)

    def test_a_tcp_endpoint_that_others_can_reach_needs_consent(self):
        self.assert_refused_with(2, ["--control", "0.0.0.0:0", "--control-insecure"], "--control",
                                 "0.0.0.0:0", is_control_set=True)

    def test_help_and_version_end_with_0(self):
        for flag in ("--help", "--version"):
            program = self.start_program("sidelb", flag)
            self.assertEqual(program.wait(), 0)
            self.assertIn("sidelb", program.text("stdout").lower())


class Stop(TestCase):

    def test_a_signal_ends_an_idle_daemon_with_0(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number):
                daemon = self.start_sidelb("127.0.0.1:0", "backends=127.0.0.1:1")
                daemon.signal(number)
                self.assertEqual(daemon.wait(), 0, daemon.describe())

    def test_open_connections_live_on_and_new_ones_are_refused_while_it_drains(self):
        a, = self.start_backends("a")
        daemon, _, address = self.start_balanced(a, arguments=("--drain-timeout", "1h"))
        session = self.open_session(address)
        self.assertEqual(session.get(), "a")

        daemon.signal(signal.SIGTERM)
        daemon.wait_notification("STOPPING=1")
        self.wait_until_refused(address)

        self.assertEqual(session.get(close=True), "a")
        self.assertEqual(session.wait_for_end(), "fin")
        session.close()
        self.assertEqual(daemon.wait(), 0, daemon.describe())

    def test_a_udp_question_that_came_before_the_signal_is_answered(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as backend, \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            backend.bind(("127.0.0.1", 0))
            daemon = self.start_sidelb(
                "127.0.0.1:0", "proto=udp", f"backends=127.0.0.1:{backend.getsockname()[1]}")
            for end in (backend, client):
                end.settimeout(LIMIT)
            client.connect(split_address(self.connect(daemon).listen_address()))
            client.send(b"question")
            question, session = backend.recvfrom(100)
            daemon.signal(signal.SIGTERM)
            daemon.wait_notification("STOPPING=1")
            backend.sendto(b"the answer to " + question, session)
            self.assertEqual(client.recv(100), b"the answer to question")
            self.assertEqual(daemon.wait(), 0, daemon.describe())

    def test_the_drain_timeout_resets_what_is_left_and_ends_with_0(self):
        a, = self.start_backends("a")
        daemon, _, address = self.start_balanced(a, arguments=("--drain-timeout", "200ms"))
        session = self.open_session(address)
        self.assertEqual(session.get(), "a")

        daemon.signal(signal.SIGTERM)

        self.assertEqual(session.wait_for_end(), "reset")
        self.assertEqual(daemon.wait(), 0, daemon.describe())

    def test_a_second_signal_ends_it_at_once(self):
        a, = self.start_backends("a")
        daemon, _, address = self.start_balanced(a, arguments=("--drain-timeout", "1h"))
        session = self.open_session(address)
        self.assertEqual(session.get(), "a")

        daemon.signal(signal.SIGTERM)
        daemon.wait_notification("STOPPING=1")
        daemon.signal(signal.SIGTERM)

        self.assertNotEqual(daemon.wait(), 0)

    def test_the_control_socket_goes_with_the_daemon(self):
        daemon = self.start_sidelb()
        path = daemon.endpoint.removeprefix("unix:")
        self.assertTrue(os.path.exists(path))

        daemon.stop()

        self.assertFalse(os.path.exists(path))

    def test_a_socket_left_by_a_killed_daemon_is_no_obstacle(self):
        daemon = self.start_sidelb()
        daemon.kill()

        again = self.start_sidelb()

        self.assertEqual(self.connect(again).state().total_size, 0)

    def wait_until_refused(self, address):
        """The listeners accept what is queued before they close, which is not yet at STOPPING."""
        while True:
            try:
                socket.create_connection(split_address(address), 60).close()
            except (ConnectionRefusedError, ConnectionResetError):
                return


class Status(TestCase):

    def check(self, *path):
        program = self.start_program("sidelb", "--health-check-uds", *path)
        return program.wait(), program.text("stdout"), program.text()

    def test_the_health_check_follows_the_daemon(self):
        a, = self.start_backends("a")
        path = f"{self.folder}/status.sock"
        self.assertEqual(self.check(path)[0], 1)
        daemon, client, address = self.start_balanced(a, arguments=(
            "--status-socket", path, "--drain-timeout", "1h"))
        self.assertEqual(self.check(path)[:2], (0, "HEALTHY"))

        client.apply(override("default", a.address, admin_state=res.ADMIN_STATE_DISABLED))
        self.assertEqual(self.check(path)[:2], (1, "UNHEALTHY"))
        client.apply(override("default", a.address, admin_state=res.ADMIN_STATE_ENABLED))
        self.assertEqual(self.check(path)[:2], (0, "HEALTHY"))

        session = self.open_session(address)
        self.assertEqual(session.get(), "a")
        daemon.signal(signal.SIGTERM)
        daemon.wait_notification("STOPPING=1")
        self.wait_unhealthy(path)
        session.close()
        self.assertEqual(daemon.wait(), 0, daemon.describe())
        code, _, error = self.check(path)
        self.assertEqual(code, 1)
        self.assertIn(path, error)
        self.assertIn("is sidelb running?", error)

    def wait_unhealthy(self, path):
        while (answer := self.check(path)[:2]) == (0, "HEALTHY"):
            pass
        self.assertEqual(answer, (1, "UNHEALTHY"))

    def test_it_is_found_beside_the_control_socket(self):
        if os.path.exists("/run/sidelb.sock") or os.path.exists("/run/sidelb/status.sock"):
            self.skipTest("a daemon of this machine would be found first")
        environment = {"XDG_RUNTIME_DIR": self.folder}
        os.mkdir(f"{self.folder}/sidelb")
        daemon = self.start_sidelb("--status-socket", f"{self.folder}/sidelb/status.sock")

        program = self.start_program("sidelb", "--health-check-uds", environment=environment)

        self.assertEqual((program.wait(), program.text("stdout")), (0, "HEALTHY"))
        daemon.stop()


if __name__ == "__main__":
    main()
