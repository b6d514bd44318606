"""docs/examples as processes against real daemons: what they promise, with traffic and failures."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import uuid
from pathlib import Path

from certificates import Authority
from harness import (LIMIT, ROOT, TestCase, ctl, drain_of, main, override, put_listener, remove,
                     res, upsert)
from watcher import Watcher

EXAMPLES = ROOT / "docs/examples"
UNPROBED = res.HealthCheck(kind=res.PROBE_KIND_NONE)


def setUpModule():
    """Generates the code as the README says, into a folder of this run."""
    global generated
    folder = tempfile.TemporaryDirectory(prefix="sidelb-examples.")
    unittest.addModuleCleanup(folder.cleanup)
    generated = folder.name
    subprocess.run([sys.executable, EXAMPLES / "stubs.py"], check=True, timeout=LIMIT,
                   env={**os.environ, "SIDELB_GEN": generated})


def free_address():
    """An address at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return "127.0.0.1:%d" % server.getsockname()[1]


class Breakable:
    """A control socket in front of another one, whose connections can be cut and refused."""

    def __init__(self, path, target):
        self.endpoint = f"unix:{path}"
        self._path = path
        self._target = target
        self._lock = threading.Lock()
        self._sockets = []
        self._listener = None
        self.mend()

    def mend(self):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self._path)
        listener.listen()
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def cut(self):
        """Until mend() nobody gets through."""
        os.unlink(self._path)
        with self._lock:
            for item in (self._listener, *self._sockets):
                with contextlib.suppress(OSError):
                    item.shutdown(socket.SHUT_RDWR)
                item.close()
            self._sockets.clear()

    close = cut

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._target)
                with self._lock:
                    self._sockets += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    @staticmethod
    def _pass_on(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


class ExamplesTestCase(TestCase):

    def start(self, name, *words, endpoint=None, **environment):
        """An example that runs; of this test's daemon unless told otherwise."""
        environment["SIDELB_ENDPOINT"] = endpoint or self.daemon.endpoint
        return self.start_program(name, environment={"SIDELB_GEN": generated, **environment},
                                  command=[sys.executable, str(EXAMPLES / name), *words])

    def run_to_end(self, name, *words, **options):
        """Its exit code, stdout and stderr."""
        program = self.start(name, *words, **options)
        code = program.wait()
        return code, program.text("stdout"), program.text()

    def start_front(self, *backends, owner="api:deploy", **pool):
        """A daemon with pool `web`, its backends claimed by `owner`, and where it listens."""
        self.daemon = self.start_sidelb()
        self.api = self.connect(self.daemon)
        self.api.apply(ctl.Op(put_pool=res.Pool(name="web", **pool)), put_listener("web", "web"),
                       upsert("web", *(b.address for b in backends)), owner=owner)
        if backends:
            self.api.wait_serving("web", *(b.address for b in backends))
        return self.api.listen_address("web")

    def claimed(self):
        """Addresses with a claim; others only drain."""
        return {a for a, b in self.api.backends("web").items() if b.claims}


class Text(unittest.TestCase):

    def test_each_is_shorter_than_60_lines_and_in_the_readme(self):
        readme = (EXAMPLES / "README.md").read_text()
        files = sorted(EXAMPLES.glob("*.py"))
        self.assertGreaterEqual(len(files), 6)
        for file in files:
            self.assertLess(len(file.read_text().splitlines()), 60, file.name)
            self.assertIn(f"]({file.name})", readme)

    def test_without_generated_code_it_says_how_to_get_it(self):
        with tempfile.TemporaryDirectory() as empty:
            done = subprocess.run([sys.executable, EXAMPLES / "push.py", "web", "127.0.0.1:1"],
                                  env={**os.environ, "SIDELB_GEN": empty}, timeout=LIMIT, text=True,
                                  capture_output=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("stubs.py", done.stderr.splitlines()[-1])


class Push(ExamplesTestCase):

    def setUp(self):
        super().setUp()
        self.start_front(health_check=UNPROBED)

    def push_lines(self, text, *words):
        return subprocess.run(
            [sys.executable, EXAMPLES / "push.py", "web", *words], input=text, text=True,
            capture_output=True, timeout=LIMIT,
            env={**os.environ, "SIDELB_GEN": generated, "SIDELB_ENDPOINT": self.daemon.endpoint})

    def test_a_list_becomes_the_owners_backends_and_others_stay(self):
        self.api.apply(upsert("web", "127.0.0.1:9"), owner="api:other")

        code, out, _ = self.run_to_end("push.py", "web", "127.0.0.1:1", "127.0.0.1:2=50")
        self.assertEqual(code, 0)
        self.assertIn("2 added, 0 updated, 0 removed", out)
        done = self.push_lines("127.0.0.1:2=60\n127.0.0.1:3\n")

        self.assertIn("1 added, 1 updated, 1 removed", done.stdout)
        backends = self.api.backends("web")
        self.assertEqual(self.claimed(), {"127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:9"})
        self.assertEqual(backends["127.0.0.1:2"].effective.weight, 60)
        audit = self.api._call(self.api._stub.ListAudit, ctl.ListAuditRequest(owner="api:push"))
        ids = [entry.request_id for entry in audit.entries]
        self.assertEqual([len(uuid.UUID(text).bytes) for text in ids], [16, 16])
        self.assertNotEqual(*ids)

    def test_what_is_refused_is_explained_and_changes_nothing(self):
        self.push_lines("\n".join(f"127.0.0.1:{port}" for port in range(1, 7)))

        code, _, text = self.run_to_end("push.py", "web", "127.0.0.1:1=70000")
        self.assertEqual(code, 1)
        self.assertIn("reason BAD_FIELD", text)
        self.assertIn("ops[0].replace_backends.backends[0].weight", text)
        self.assertIn("POOL_NOT_FOUND {'pool': 'nowhere'}",
                      self.run_to_end("push.py", "nowhere", "127.0.0.1:1")[2])
        code, _, text = self.run_to_end("push.py", "web", "127.0.0.1:1")
        self.assertEqual(code, 1)
        self.assertIn("reason MASS_REMOVAL", text)
        empty = self.push_lines("")
        self.assertEqual((empty.returncode, empty.stdout), (1, ""))

        self.assertEqual(len(self.claimed()), 6)
        self.assertEqual(self.push_lines("", "--allow-mass-removal").returncode, 0)
        self.assertEqual(self.claimed(), set())

    def test_without_a_daemon_it_gives_up(self):
        code, _, text = self.run_to_end("push.py", "web", "127.0.0.1:1",
                                        endpoint=f"unix:{self.folder}/none.sock")
        self.assertEqual(code, 1)
        self.assertEqual(text.count("UNAVAILABLE"), 5)


class Lease(ExamplesTestCase):

    def setUp(self):
        super().setUp()
        self.start_front(health_check=UNPROBED)

    def hold(self, *words):
        program = self.start("lease.py", "api:app", "web", "127.0.0.1:1", "127.0.0.1:2", "--ttl",
                             "5", *words)
        program.wait_line("holds api:app")
        return program

    def test_it_renews_until_it_is_stopped_and_its_backends_stay(self):
        holder = self.hold()
        before = self.api.info().leases[0]
        self.assertEqual((before.owner, before.claims), ("api:app", 2))
        self.wait_until(lambda: self.api.info().leases[0].expire_time.ToNanoseconds()
                        > before.expire_time.ToNanoseconds(), "a renewal")

        holder.signal(signal.SIGTERM)

        self.assertEqual(holder.wait(), 0)
        self.assertEqual(len(self.api.info().leases), 0)
        self.assertEqual(len(self.claimed()), 2)

    def test_a_second_holder_is_refused_and_one_that_takes_over_ends_the_first(self):
        first = self.hold()
        code, _, text = self.run_to_end("lease.py", "api:app", "web", "127.0.0.1:3", "--ttl", "5")
        self.assertEqual(code, 3)
        self.assertIn("SESSION_SUPERSEDED", text)
        self.assertEqual(self.claimed(), {"127.0.0.1:1", "127.0.0.1:2"})

        second = self.hold("--take-over")

        self.assertEqual(first.wait(), 3)
        self.assertIn("SESSION_SUPERSEDED", first.text())
        self.assertTrue(self.api.info().leases[0].holder.endswith(f":{second.pid}"))
        third = self.hold("--take-over")
        self.assertEqual(second.wait(), 3, "who took over gives way to the next one")
        self.assertTrue(third.is_running)

    def test_after_a_restart_of_the_daemon_its_backends_are_there_again(self):
        holder = self.hold()
        self.daemon.kill()
        self.start_front(health_check=UNPROBED)

        self.wait_until(lambda: len(self.claimed()) == 2, "the backends")

        self.assertEqual([lease.owner for lease in self.api.info().leases], ["api:app"])
        holder.signal(signal.SIGTERM)
        self.assertEqual(holder.wait(), 0)

    def test_one_that_is_killed_lapses(self):
        self.hold().kill()
        self.wait_until(lambda: self.api.info().leases[0].expired, "the lapse")


class Watch(ExamplesTestCase):

    def setUp(self):
        super().setUp()
        self.start_front(health_check=UNPROBED)

    def digest_of(self, daemon):
        """What a heartbeat of the daemon says, as watch.py prints it."""
        watcher = self.keep(Watcher(daemon.endpoint, heartbeat_seconds=1))
        message = watcher.wait_kind("heartbeat").message
        return f"ok {message.heartbeat.config_digest:016x} at revision {message.revision}"

    def test_it_tells_changes_and_proves_them(self):
        watch = self.start("watch.py", "1")
        watch.wait_line(r"^= 2 objects")

        self.api.apply(upsert("web", "127.0.0.1:1", "127.0.0.1:2"), owner="api:app")
        watch.wait_line(r"^\+ backend web 127.0.0.1:1 BACKEND_STATE_SERVING")
        self.api.apply(override("web", "127.0.0.1:1", admin_state=res.ADMIN_STATE_DRAINING))
        watch.wait_line(r"^\+ backend web 127.0.0.1:1 BACKEND_STATE_DRAINING")
        self.api.apply(ctl.Op(remove_backends=ctl.RemoveBackends(
            pool="web", addresses=["127.0.0.1:1"])), owner="api:app")
        watch.wait_line(r"^- backend web 127.0.0.1:1$")

        watch.wait_line("^" + self.digest_of(self.daemon))
        self.assertNotIn("!", watch.text("stdout"))

    def test_a_backend_that_only_drains_does_not_disturb_the_digest(self):
        backend = self.start_backend("a")
        self.api.apply(upsert("web", backend.address), owner="api:app")
        session = self.open_session(self.api.listen_address("web"))
        session.get()
        watch = self.start("watch.py", "1")
        watch.wait_line(r"^ok ")

        reply = self.api.apply(remove("web", backend.address, drain=drain_of(60)), owner="api:app")

        watch.wait_line(rf"^\+ backend web {backend.address} BACKEND_STATE_REMOVING")
        watch.wait_line(rf"^ok \S+ at revision {reply.revision}$")
        session.close()
        watch.wait_line(rf"^- backend web {backend.address}$")

    def test_after_a_broken_connection_it_goes_on_without_a_snapshot(self):
        between = self.keep(Breakable(f"{self.folder}/between.sock",
                                      self.daemon.endpoint.removeprefix("unix:")))
        watch = self.start("watch.py", "1", endpoint=between.endpoint)
        watch.wait_line(r"^= 2 objects")

        between.cut()
        watch.wait_line(r"^! UNAVAILABLE")
        self.api.apply(upsert("web", "127.0.0.1:1"), owner="api:app")
        between.mend()

        watch.wait_line(r"^\+ backend web 127.0.0.1:1")
        watch.wait_line("^" + self.digest_of(self.daemon))
        self.assertEqual(watch.text("stdout").count("\n= "), 1)
        self.assertNotIn("RESYNC", watch.text("stdout"))

    def test_after_a_restart_it_comes_back_to_the_digest_of_the_daemon(self):
        self.api.apply(upsert("web", "127.0.0.1:1"), owner="api:app")
        watch = self.start("watch.py", "1")
        watch.wait_line(r"^ok ")
        before = self.digest_of(self.daemon)

        self.daemon.kill()
        watch.wait_line(r"^! UNAVAILABLE")
        self.start_front(health_check=UNPROBED)
        self.api.apply(upsert("web", "127.0.0.1:2", "127.0.0.1:3"), owner="api:app")

        watch.wait_line(r"^! RESYNC_REASON_NEW_EPOCH")
        after = self.digest_of(self.daemon)
        self.assertNotEqual(before, after)
        watch.wait_line("^" + after)
        self.assertNotIn("wrong", watch.text("stdout"))


class Deploy(ExamplesTestCase):

    def deploy(self, new, old, *words, **options):
        return self.run_to_end("deploy.py", "web", "--add", *new, "--remove",
                               *(b.address for b in old), *words, **options)

    def test_new_backends_take_over_and_no_request_fails(self):
        old, new = self.start_backends("a", "b"), self.start_backends("c", "d")
        traffic = self.start_traffic(self.start_front(*old))
        traffic.wait_for(20)

        code, out, text = self.deploy([b.address for b in new], old)
        done = time.monotonic()
        after = traffic.wait_for(40, done)

        self.assertEqual((code, text), (0, ""), out)
        self.assertEqual(out.splitlines()[0], f"serving: {new[0].address} {new[1].address}")
        self.assert_all_answered(traffic.stop())
        self.assertEqual({r.name for r in after}, {"c", "d"})
        self.assertEqual(self.claimed(), {b.address for b in new})

    def test_when_the_new_one_does_not_serve_all_is_as_before(self):
        old = self.start_backends("a", "b")
        traffic = self.start_traffic(self.start_front(*old))
        dead = free_address()
        traffic.wait_for(20)

        code, _, text = self.deploy([dead], old, "--timeout", "1")

        self.assertEqual(code, 1)
        self.assertIn("DEADLINE_EXCEEDED", text)
        self.assertIn(f"rolled back; not serving: {dead}", text)
        self.assertEqual(self.claimed(), {b.address for b in old})
        for name in ("a", "b"):
            traffic.wait_for(5, name=name)
        self.assert_all_answered(traffic.stop())

    def test_what_it_may_not_remove_is_noticed_first(self):
        old, new = self.start_backends("a"), self.start_backends("b")
        self.start_front(*old)

        code, _, text = self.run_to_end("deploy.py", "web", "--add", new[0].address, "--remove",
                                        old[0].address, "127.0.0.1:1")

        self.assertEqual((code, text), (1, "deploy: not of api:deploy in this pool: 127.0.0.1:1"))
        self.assertEqual(self.claimed(), {old[0].address})

    def test_one_that_is_interrupted_while_it_drains_goes_back(self):
        old, new = self.start_backends("a"), self.start_backends("b")
        session = self.open_session(self.start_front(*old))
        self.assertEqual(session.get(), "a")
        deploy = self.start("deploy.py", "web", "--add", new[0].address, "--remove",
                            old[0].address, "--drain", "60")
        watcher = self.keep(Watcher(self.daemon.endpoint))
        watcher.wait_backend(old[0].address, lambda told: told.state == "DRAINING")

        deploy.signal(signal.SIGINT)

        self.assertEqual(deploy.wait(), 1, deploy.text())
        self.assertEqual(deploy.text(), "stopped\ndeploy: rolled back; not serving: none")
        self.assertEqual(self.claimed(), {old[0].address})
        self.assertFalse(self.api.backends("web")[old[0].address].HasField("override"))
        self.assertEqual(session.get(), "a")

    def test_a_session_that_stays_ends_at_the_deadline(self):
        old, new = self.start_backends("a"), self.start_backends("b")
        session = self.open_session(self.start_front(*old))
        self.assertEqual(session.get(), "a")

        code, out, _ = self.deploy([new[0].address], old, "--drain", "1")

        self.assertEqual(code, 0)
        self.assertIn(f"drained: {old[0].address} (0 sessions left)", out)
        self.assertEqual(session.wait_for_end(), "reset")
        self.assertEqual(self.claimed(), {new[0].address})


class Mtls(ExamplesTestCase):

    def setUp(self):
        super().setUp()
        ours = Authority(self.folder, "ours")
        certificate, key = ours.sign("daemon", "IP:127.0.0.1")
        roles = Path(self.folder, "roles")
        roles.write_text("admin san:ops.example\nowner san:deploy.example owners=api:push\n")
        daemon = self.start_sidelb("--tls-cert", certificate, "--tls-key", key, "--tls-client-ca",
                                   ours.ca, "--roles", roles, control="127.0.0.1:0")
        self.endpoint = daemon.wait_line(r"control endpoint: (\S+) \(TLS", "stderr").group(1)
        self.ours = ours

    def ask(self, pair):
        return self.run_to_end("mtls.py", self.endpoint, "--cacert", str(self.ours.ca), "--cert",
                               str(pair[0]), "--key", str(pair[1]), endpoint="unix:/none")

    def test_it_says_who_it_is_and_what_it_may(self):
        code, out, _ = self.ask(self.ours.sign("ops", "DNS:ops.example"))
        self.assertEqual(code, 0)
        self.assertIn("san:ops.example, admin", out)
        self.assertIn("may remove listeners", out)

        code, out, text = self.ask(self.ours.sign("deploy", "DNS:deploy.example"))
        self.assertEqual(code, 1)
        self.assertIn("san:deploy.example, owner", out)
        self.assertIn("reason ROLE", text)

    def test_a_foreign_certificate_gets_nothing(self):
        code, out, text = self.ask(
            Authority(self.folder, "foreign").sign("ops", "DNS:ops.example"))
        self.assertEqual((code, out), (1, ""))
        self.assertIn("UNAVAILABLE", text)

    def test_the_others_take_the_variables_of_the_cli(self):
        certificate, key = self.ours.sign("deploy", "DNS:deploy.example")
        code, _, text = self.run_to_end(
            "push.py", "web", "127.0.0.1:1", endpoint=self.endpoint,
            SIDELB_CACERT=str(self.ours.ca), SIDELB_CERT=str(certificate), SIDELB_KEY=str(key))
        self.assertEqual(code, 1)
        self.assertIn("reason POOL_NOT_FOUND", text)  # it got through, as an owner may


if __name__ == "__main__":
    main()
