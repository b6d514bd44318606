"""What sidelb-cli has for programs and careful people: raw, diff, watch --exec, repeated writes."""

import json
import signal
import time
from pathlib import Path

from cli_test import INTERRUPTED, NOT_FOUND, OK, UNREACHABLE, USAGE, CliCase
from harness import LIMIT, main, put_pool, res, upsert

DIFFERS = 10


class Raw(CliCase):

    def test_calls_any_method(self):
        a, = self.start_backends("a")
        daemon, client, _ = self.start_balanced(a)
        endpoint = daemon.endpoint

        info = json.loads(self.run_cli("raw", "GetInfo", endpoint=endpoint).stdout)
        self.assertEqual(info["state"], "SERVER_STATE_SERVING")
        state = json.loads(self.run_cli(
            "raw", "GetState", "-", given='{"filter": {"kinds": ["OBJECT_KIND_BACKEND"]}}',
            endpoint=endpoint).stdout)
        self.assertEqual([b["address"] for b in state["state"]["backends"]], [a.address])
        request = Path(self.folder, "request.json")
        request.write_text('{"ops": [{"putPool": {"name": "web"}}]}')
        done = json.loads(self.run_cli("raw", "Apply", f"@{request}", endpoint=endpoint).stdout)
        self.assertEqual(done["results"][0]["added"], 1)
        self.assertIn("web", [pool.name for pool in client.state().state.pools])
        lease = json.loads(self.run_cli(
            "raw", "RenewLease", '{"owner": "api:a", "holder": "me", "ttl": "30s"}',
            endpoint=endpoint).stdout)
        self.assertEqual(lease["lease"]["holder"], "me")

    def test_fails_as_the_daemon_says(self):
        daemon = self.start_sidelb()
        bad = '{"ops": [{"setMode": {"pool": "none", "mode": "MODE_P2C"}}]}'

        refused = self.run_cli("raw", "Apply", bad, endpoint=daemon.endpoint, exits=NOT_FOUND)
        self.assertIn("error: POOL_NOT_FOUND", refused.stderr)
        wrong = self.run_cli("raw", "Apply", '{"opps": []}', endpoint=daemon.endpoint, exits=USAGE)
        self.assertIn("opps", wrong.stderr)
        self.run_cli("raw", "GetInfo", endpoint=f"unix:{self.folder}/none", exits=UNREACHABLE)

    def test_prints_a_stream_line_by_line(self):
        daemon = self.start_sidelb()
        client = self.connect(daemon)
        watch = self.start_cli("raw", "Watch", "{}", endpoint=daemon.endpoint)

        watch.wait_line('"snapshot":')
        client.apply(put_pool("web"))
        message = json.loads(watch.wait_line('.*"events":.*').group(0))

        self.assertEqual(message["events"]["events"][0]["pool"]["name"], "web")
        watch.signal(signal.SIGINT)
        self.assertEqual(watch.wait(), INTERRUPTED)


class Diff(CliCase):

    def test_tells_what_apply_would_do(self):
        a, b = self.start_backends("a", "b")
        daemon, client, _ = self.start_balanced(a)
        endpoint = daemon.endpoint
        client.apply(put_pool("web"), upsert("web", b.address), owner="api:cli")
        before = f"{self.folder}/before.json"
        Path(before).write_text(self.run_cli("export", endpoint=endpoint).stdout)

        self.assertEqual(self.run_cli("diff", "-f", before, endpoint=endpoint).stdout, "")
        self.assertEqual(self.run_cli("diff", "-f", before, "--prune", endpoint=endpoint).stdout, "")

        after = f"{self.folder}/after.json"
        Path(after).write_text(json.dumps({
            "pools": [{"name": "web", "mode": "MODE_P2C"}],
            "backends": [{"pool": "web", "address": a.address,
                          "claims": [{"owner": "api:cli", "spec": {"weight": 5}}]}]}))
        revision = client.state().revision
        told = self.run_cli("diff", "-f", after, endpoint=endpoint, exits=DIFFERS).stdout
        self.assertEqual(told.splitlines(), [
            "~ pool/web", "    mode:            round-robin → p2c",
            f"+ backend/web/{a.address}", "    claim:           api:cli",
            "    api:cli.weight:  5"])
        pruned = self.run_cli("diff", "-f", after, "--prune", "-o", "json", endpoint=endpoint,
                              exits=DIFFERS)
        self.assertIn((f"backend/web/{b.address}", "removed"),
                      [(c["object"], c["change"]) for c in json.loads(pruned.stdout)["changes"]])
        self.assertEqual(client.state().revision, revision, "diff has changed something")

        self.run_cli("apply", "-f", after, endpoint=endpoint)
        self.run_cli("diff", "-f", after, endpoint=endpoint)

    def test_shows_what_traffic_would_lose(self):
        a, b = self.start_backends("a", "b")
        daemon, client, _ = self.start_balanced(a)
        client.apply(put_pool("web"), upsert("web", a.address), upsert("web", b.address),
                     owner="api:cli")

        told = self.run_cli("diff", "-f", "-", "--prune", endpoint=daemon.endpoint, exits=DIFFERS,
                            given='{"pools": [{"name": "web"}]}')

        self.assertRegex(told.stdout, r"web +2 +2 +0 +0 +0")
        self.assertIn(f"- backend/web/{b.address}", told.stdout)

    def test_fails_as_apply_would(self):
        daemon = self.start_sidelb()

        refused = self.run_cli("diff", "-f", "-", endpoint=daemon.endpoint, exits=1,
                               given='{"pools": [{"name": "web", "hashTableSize": 6}]}')

        self.assertIn("BAD_FIELD", refused.stderr)


class WatchExec(CliCase):

    def test_runs_a_command_for_each_change(self):
        daemon = self.start_sidelb()
        client = self.connect(daemon)
        client.apply(put_pool("old"))
        watch = self.start_cli(
            "watch", "--kind", "pool", "--exec",
            'read -r line; echo "$SIDELB_EVENT_KIND $SIDELB_EVENT_OBJECT $SIDELB_EVENT_NAME $line";'
            ' test "$SIDELB_EVENT_NAME" != bad', endpoint=daemon.endpoint)

        # The snapshot is no change, so that nothing says when the watch stands.
        end = time.monotonic() + LIMIT
        number = 0
        while "put pool first" not in watch.text("stdout") and time.monotonic() < end:
            client.apply(put_pool(f"first-{number}"))
            number += 1
        client.apply(put_pool("bad"))
        watch.wait_line("--exec failed for bad: it exited with 1", kind="stderr")
        client.apply(put_pool("good"))

        line = watch.wait_line("^put pool good (.*)$").group(1)
        event = json.loads(line)
        self.assertEqual(event["pool"]["name"], "good")
        self.assertRegex(event["resumeToken"], r"^\w+/\d+$")
        self.assertNotIn("old", watch.text("stdout"))
        watch.signal(signal.SIGINT)
        self.assertEqual(watch.wait(), INTERRUPTED)


class RepeatedWrites(CliCase):

    def start_stored(self):
        return self.start_sidelb("--state-dir", f"{self.folder}/state",
                                 control=f"unix:{self.folder}/control.sock")

    def test_a_change_is_made_once_for_an_id(self):
        daemon = self.start_stored()
        endpoint = daemon.endpoint
        self.run_cli("add", "pool", "web", endpoint=endpoint)
        line = ("add", "web", "127.0.0.1:9", "--request-id", "deploy-7")

        self.assertIn(", applied)", self.run_cli(*line, endpoint=endpoint).stdout)
        self.assertIn(", applied, replayed)", self.run_cli(*line, endpoint=endpoint).stdout)
        reused = self.run_cli("rm", "web", "127.0.0.1:9", "--request-id", "deploy-7",
                              endpoint=endpoint, exits=1)
        self.assertIn("REQUEST_ID_REUSED", reused.stderr)

    def test_finds_its_answer_in_a_daemon_that_was_killed_and_restarted(self):
        a, = self.start_backends("a")
        daemon = self.start_stored()
        client = self.connect(daemon)
        self.run_cli("add", "web", a.address, "--create-pool", endpoint=daemon.endpoint)
        self.run_cli("add", "listener", "web", "127.0.0.1:0", "--pool", "web",
                     endpoint=daemon.endpoint)
        self.run_cli("wait", "web", "--for", "healthy", endpoint=daemon.endpoint)
        self.open_session(client.listen_address("web")).get()
        before = client.state().revision

        waiting = self.start_cli("--timeout", f"{LIMIT}s", "drain", "web", a.address, "--wait",
                                 endpoint=daemon.endpoint)
        self.wait_past(daemon, before)
        daemon.kill()
        again = self.start_stored()

        self.assertEqual(waiting.wait(), OK, waiting.describe())
        self.assertRegex(waiting.text("stdout"), r"draining \(revision \d+, drained, replayed\)")
        state = self.connect(again).backends("web")[a.address].status.state
        self.assertEqual(state, res.BACKEND_STATE_DRAINING)

    def test_does_not_wait_for_a_daemon_that_is_away(self):
        refused = self.run_cli("--timeout", "1h", "add", "pool", "web",
                               endpoint=f"unix:{self.folder}/nowhere.sock", exits=UNREACHABLE)

        self.assertIn("UNREACHABLE", refused.stderr)


class RingDomains(CliCase):

    def test_are_set_and_taken_away(self):
        daemon = self.start_sidelb()
        client = self.connect(daemon)
        endpoint = daemon.endpoint

        self.run_cli("add", "pool", "web", "--ring-domain",
                     "localhost:9,record=a,max-ttl=20s,weight=7", endpoint=endpoint)
        ring, = client.state().state.pools[0].ring_domains
        self.assertEqual((ring.domain, ring.port, ring.record, ring.max_ttl.seconds,
                          ring.defaults.weight), ("localhost", 9, res.RECORD_TYPE_A, 20, 7))
        self.run_cli("set", "pool", "web", "--mode", "p2c", endpoint=endpoint)
        self.assertEqual(len(client.state().state.pools[0].ring_domains), 1)
        self.run_cli("set", "pool", "web", "--no-ring-domains", "--allow-mass-removal",
                     endpoint=endpoint)
        self.assertEqual(len(client.state().state.pools[0].ring_domains), 0)


class Owners(CliCase):

    def test_are_listed_with_their_claims(self):
        a, b = self.start_backends("a", "b")
        daemon, client, _ = self.start_balanced(a)
        client.apply(upsert("default", b.address), owner="api:deploy")

        rows = self.columns_of("get", "owners", endpoint=daemon.endpoint)

        self.assertEqual([(r["OWNER"], r["CLAIMS"], r["POOLS"]) for r in rows],
                         [("api:deploy", "1", "default"), ("static", "1", "default")])


class Audit(CliCase):

    def test_prints_a_line_for_each_write_with_the_latest_last(self):
        daemon = self.start_sidelb()
        for name in ("one", "two", "three"):
            self.run_cli("add", "pool", name, "--request-id", f"id-{name}", "--comment", name,
                         endpoint=daemon.endpoint)

        lines = self.run_cli("audit", "-n", "2", "-o", "jsonl", endpoint=daemon.endpoint).stdout

        self.assertEqual([(e["requestId"], e["comment"])
                          for e in map(json.loads, lines.splitlines())],
                         [("id-two", "two"), ("id-three", "three")])


if __name__ == "__main__":
    main()
