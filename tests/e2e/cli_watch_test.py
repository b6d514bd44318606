"""The verbs of sidelb-cli that follow the daemon: watch, wait, get -w, health, stats, top."""

import csv
import io
import json
import os
import pty
import select
import signal
import subprocess

from cli_test import INTERRUPTED, NOT_FOUND, OK, USAGE, WAIT, CliCase
from harness import BIN, LIMIT, http_get, main, override, put_pool, remove, res, upsert


def token_of(line):
    return json.loads(line)["resumeToken"]


class FollowCase(CliCase):

    def start_watch(self, *arguments, endpoint):
        """`watch` once it has printed its snapshot."""
        watch = self.start_cli("watch", *arguments, endpoint=endpoint)
        watch.wait_line(r"at revision \d+|\"snapshot\":")
        return watch

    def end(self, program, exits=INTERRUPTED):
        program.signal(signal.SIGINT)
        self.assertEqual(program.wait(), exits, program.describe())


class Watch(FollowCase):

    def test_tells_a_person_of_each_change(self):
        a, b = self.start_backends("a", "b")
        daemon, client, _ = self.start_balanced(a)
        watch = self.start_watch(endpoint=daemon.endpoint)

        client.apply(upsert("default", b.address), owner="api:deploy")
        watch.wait_line(rf"backend +default/{b.address} +added, .*claimed by api:deploy")
        client.apply(override("default", b.address, admin_state=res.ADMIN_STATE_DRAINING))
        watch.wait_line(rf"{b.address} +.* -> draining")
        client.apply(remove("default", b.address), owner="api:deploy")
        watch.wait_line(rf"{b.address} +removed")

        self.end(watch)

    def test_tells_a_person_that_a_backend_died_and_came_back(self):
        a, b = self.start_backends("a", "b")
        daemon, _, _ = self.start_balanced(a, b)
        self.run_cli("wait", "default", "--for", "healthy", endpoint=daemon.endpoint)
        watch = self.start_watch("--kind", "backend", endpoint=daemon.endpoint)

        b.close()
        watch.wait_line(rf"U  backend +default/{b.address} +serving -> unhealthy")

        self.start_backend("b", listen=b.address)
        watch.wait_line(rf"H  backend +default/{b.address} +unhealthy -> serving")
        self.end(watch)

    def test_gives_programs_tokens_from_which_they_go_on(self):
        daemon = self.start_sidelb()
        client = self.connect(daemon)
        watch = self.start_watch("-o", "jsonl", "--view", "config", endpoint=daemon.endpoint)
        client.apply(put_pool("web"), upsert("web", "127.0.0.1:1", "127.0.0.1:2"))
        last = watch.wait_line(r".*\"address\":\"127.0.0.1:2\".*").group()
        self.end(watch)
        lines = watch.text("stdout").splitlines()

        events = [json.loads(line) for line in lines if "EVENT_KIND" in line]
        self.assertEqual({event["resumeToken"] for event in events}, {token_of(last)})
        self.assertEqual([list(event)[-1] for event in events], ["resumeToken"] * 3)

        client.apply(remove("web", "127.0.0.1:1"))
        resumed = self.start_cli("watch", "-o", "jsonl", "--view", "config", "--resume",
                                 token_of(last), endpoint=daemon.endpoint)
        resumed.wait_line(r"EVENT_KIND_REMOVED.*127.0.0.1:1")
        self.end(resumed)
        self.assertNotIn("127.0.0.1:2", resumed.text("stdout"))
        self.assertNotIn("snapshot", resumed.text("stdout"))

    def test_proves_its_view_by_heartbeats(self):
        a, = self.start_backends("a")
        daemon, client, _ = self.start_balanced(a)
        watch = self.start_watch("-o", "jsonl", "--heartbeats", endpoint=daemon.endpoint)

        client.apply(put_pool("web"), upsert("web", "127.0.0.1:1"))
        client.apply(remove("web", "127.0.0.1:1"))
        watch.wait_line("\"heartbeat\":")

        self.end(watch)
        self.assertEqual(watch.text("stderr"), "")

    def test_finds_a_restarted_daemon_by_itself(self):
        control = f"unix:{self.folder}/again.sock"
        daemon = self.start_sidelb(control=control)
        watch = self.start_watch(endpoint=control)

        daemon.stop()
        watch.wait_line("trying again", "stderr")
        again = self.start_sidelb(control=control)
        watch.wait_line("the daemon was restarted", "stderr")
        self.connect(again).apply(put_pool("web"))
        watch.wait_line(r"pool +web +added")

        self.end(watch)

    def test_shows_only_what_was_asked_for(self):
        daemon = self.start_sidelb()
        client = self.connect(daemon)
        client.apply(put_pool("web"), put_pool("api"))
        watch = self.start_watch("web", "-o", "jsonl", endpoint=daemon.endpoint)

        client.apply(upsert("api", "127.0.0.1:1"))
        client.apply(upsert("web", "127.0.0.1:2"))
        watch.wait_line("127.0.0.1:2")

        self.end(watch)
        self.assertNotIn("127.0.0.1:1", watch.text("stdout"))

    def test_prints_rows_again_as_they_change(self):
        a, = self.start_backends("a")
        daemon, client, _ = self.start_balanced(a)
        rows = self.start_cli("get", "backends", "-w", endpoint=daemon.endpoint)
        rows.wait_line(rf"default +{a.address} +serving")

        client.apply(override("default", a.address, admin_state=res.ADMIN_STATE_DISABLED))
        rows.wait_line(rf"default +{a.address} +disabled")

        self.end(rows)
        self.assertEqual(rows.text("stdout").count("ADDRESS"), 1)

    def test_refuses_a_token_that_is_none(self):
        self.assertIn("is no token", self.run_cli("watch", "--resume", "x", exits=USAGE).stderr)


class Wait(FollowCase):

    def test_waits_for_health(self):
        a, = self.start_backends("a")
        daemon, _, _ = self.start_balanced(a)

        done = self.run_cli("wait", "default", "--for", "healthy", endpoint=daemon.endpoint)

        self.assertEqual(done.stdout, f"backend/default/{a.address} healthy\n")

    def test_says_what_is_missing(self):
        a, = self.start_backends("a")
        daemon, client, _ = self.start_balanced(a)
        client.apply(upsert("default", "127.0.0.1:1"))

        late = self.run_cli("wait", "default", "--for", "healthy", "--timeout", "2s",
                            endpoint=daemon.endpoint, exits=WAIT)

        self.assertIn("WAIT_NOT_REACHED: within 2s: ", late.stderr)
        self.assertIn("127.0.0.1:1 is ", late.stderr)
        self.run_cli("wait", "wbe", "--for", "healthy", endpoint=daemon.endpoint, exits=NOT_FOUND)

    def test_waits_for_the_applied_revision(self):
        daemon = self.start_sidelb()
        client = self.connect(daemon)
        revision = client.apply(put_pool("web")).revision
        waiting = self.start_cli("wait", "--for", "applied", "--revision", str(revision + 1),
                                 endpoint=daemon.endpoint)

        self.assertEqual(
            self.run_cli("wait", "--for", "applied", endpoint=daemon.endpoint).stdout,
            f"revision {revision} applied\n")
        self.run_cli("wait", "--for", "applied", "--revision", str(revision + 100), "--timeout",
                     "1s", endpoint=daemon.endpoint, exits=WAIT)
        client.apply(put_pool("api"))
        self.assertEqual(waiting.wait(), OK)


class Health(FollowCase):

    def test_forces_health_and_frees_it(self):
        a, b = self.start_backends("a", "b")
        daemon, _, address = self.start_balanced(a, b)
        endpoint = daemon.endpoint

        self.assertEqual(
            self.lines_of("health", "default", a.address, "--force", "unhealthy", "--reason",
                          "disk slow", endpoint=endpoint),
            [f"backend/default/{a.address} forced unhealthy (revision N, applied)"])
        self.assertEqual({http_get(address) for _ in range(6)}, {"b"})
        shown = self.run_cli("health", "default", "-o", "json", endpoint=endpoint).stdout
        healths = {x["address"]: x["status"]["health"] for x in json.loads(shown)["backends"]}
        self.assertEqual(healths[a.address], "HEALTH_UNHEALTHY")

        self.run_cli("health", "default", "--all", "--clear", endpoint=endpoint)
        self.run_cli("wait", "default", "--for", "healthy", endpoint=endpoint)
        self.assertEqual({http_get(address) for _ in range(6)}, {"a", "b"})


class Stats(FollowCase):

    def test_counts_what_went_through(self):
        a, = self.start_backends("a")
        daemon, _, address = self.start_balanced(a)
        for _ in range(5):
            http_get(address)

        stats = json.loads(self.run_cli("stats", "-o", "json", endpoint=daemon.endpoint).stdout)
        rows = {row["kind"]: row for row in stats["rows"]}
        self.assertEqual(rows["OBJECT_KIND_BACKEND"]["total"], "5")
        self.assertEqual(rows["OBJECT_KIND_BACKEND"]["address"], a.address)
        self.assertGreater(int(rows["OBJECT_KIND_LISTENER"]["bytesOut"]), 0)

        text = self.run_cli("stats", "-o", "csv", endpoint=daemon.endpoint).stdout
        self.assertTrue(text.startswith("# pxname,svname,qcur,qmax,scur,"))
        lines = {(row["pxname"], row["svname"]): row
                 for row in csv.DictReader(io.StringIO(text.removeprefix("# ")))}
        self.assertEqual(set(lines), {("default", "FRONTEND"), ("default", "BACKEND"),
                                      ("default", a.address)})
        self.assertEqual(lines["default", a.address]["stot"], "5")
        self.assertEqual(lines["default", "FRONTEND"]["status"], "OPEN")


class Top(FollowCase):

    def test_prints_frames_without_a_terminal(self):
        a, = self.start_backends("a")
        daemon, _, _ = self.start_balanced(a)

        frames = self.run_cli("top", "-n", "2", "--interval", "200ms", endpoint=daemon.endpoint)

        self.assertEqual(frames.stdout.count("backends 1/1 serving"), 2)
        self.assertNotIn("\x1b", frames.stdout)

    def test_gives_the_terminal_back(self):
        a, = self.start_backends("a")
        daemon, _, _ = self.start_balanced(a)
        for number, exits in ((None, OK), (signal.SIGINT, INTERRUPTED),
                              (signal.SIGTERM, INTERRUPTED)):
            ours, theirs = pty.openpty()
            with os.fdopen(ours, "r+b", buffering=0) as terminal:
                top = subprocess.Popen(
                    [BIN / "sidelb-cli", "top"], stdin=theirs, stdout=theirs, stderr=theirs,
                    env=self.environment(daemon.endpoint, TERM="xterm"))
                self.keep_process(top)
                shown = self.read_until(terminal, a.address.encode())
                self.assertIn(b"\x1b[?1049h", shown)
                if number is None:
                    terminal.write(b"q")
                else:
                    top.send_signal(number)
                self.read_until(terminal, b"\x1b[?25h\x1b[?1049l")
                self.assertEqual(top.wait(LIMIT), exits)
                os.close(theirs)

    def keep_process(self, process):
        def end():
            process.kill()
            process.wait()
        self.addCleanup(end)

    def read_until(self, terminal, wanted):
        shown = b""
        while wanted not in shown:
            ready, _, _ = select.select([terminal], [], [], LIMIT)
            self.assertTrue(ready, shown)
            shown += os.read(terminal.fileno(), 65536)
        return shown


if __name__ == "__main__":
    main()
