"""sidelb-cli as a person and as a script use it: what it prints, what it changes, how it exits."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import grpc
from harness import (BIN, LIMIT, TestCase, ctl, ctl_grpc, http_get, main, override, put_pool, res,
                     upsert)

OK, REJECTED, USAGE, UNCHANGED, CONFLICT, NOT_FOUND, UNREACHABLE, WAIT, INTERRUPTED = (
    0, 1, 2, 3, 4, 5, 6, 8, 130)


class CliCase(TestCase):

    def environment(self, endpoint=None, **variables):
        inherited = {key: value for key, value in os.environ.items()
                     if not key.startswith("SIDELB_") and key != "XDG_RUNTIME_DIR"}
        return {**inherited, **({"SIDELB_ENDPOINT": endpoint} if endpoint else {}), **variables}

    def run_cli(self, *arguments, endpoint=None, exits=OK, given="", variables=None):
        """Runs it to its end; the result has `stdout` and `stderr`."""
        done = subprocess.run(
            [BIN / "sidelb-cli", *arguments], input=given, capture_output=True, text=True,
            env=self.environment(endpoint, **(variables or {})), timeout=LIMIT, check=False)
        self.assertEqual(done.returncode, exits,
                         f"sidelb-cli {' '.join(arguments)}\n{done.stdout}{done.stderr}")
        return done

    def lines_of(self, *arguments, **options):
        """The lines of stdout, with revisions as N."""
        return re.sub(r"revision \d+", "revision N",
                      self.run_cli(*arguments, **options).stdout).splitlines()

    def columns_of(self, *arguments, **options):
        """The cells of a table as a list of dictionaries by header."""
        header, *rows = (line.split() for line in self.lines_of(*arguments, **options))
        for row in rows:
            self.assertEqual(len(row), len(header), row)
        return [dict(zip(header, row)) for row in rows]

    def start_cli(self, *arguments, endpoint):
        return self.start_program("sidelb-cli", *arguments,
                                  environment={"SIDELB_ENDPOINT": endpoint})

    def wait_past(self, daemon, revision):
        """Waits until a change after `revision` is visible."""
        with grpc.insecure_channel(daemon.endpoint) as channel:
            ctl_grpc.ControlServiceStub(channel).GetState(
                ctl.GetStateRequest(min_revision=revision + 1), timeout=LIMIT)


class FirstMinutes(CliCase):

    def test_builds_a_balanced_pool_from_nothing_and_takes_it_down(self):
        a, b = self.start_backends("a", "b")
        endpoint = self.start_sidelb().endpoint
        done = " (revision N, applied)"

        self.assertEqual(self.run_cli("get", "backends", endpoint=endpoint).stderr, "no backends\n")
        self.assertEqual(self.lines_of("add", "pool", "web", endpoint=endpoint),
                         ["pool/web added" + done])
        self.assertEqual(self.lines_of("add", "web", a.address, b.address, endpoint=endpoint),
                         [f"backend/web/{x.address} added{done}" for x in (a, b)])
        self.assertEqual(
            self.lines_of("add", "listener", "http", "127.0.0.1:0", "--pool", "web",
                          endpoint=endpoint), ["listener/http added" + done])
        listener, = self.columns_of("get", "listeners", endpoint=endpoint)
        self.assertEqual((listener["POOL"], listener["STATE"]), ("web", "bound"))
        self.assertEqual([http_get(listener["ADDRESS"]) for _ in range(4)],
                         [*"abab"])

        self.assertEqual(self.lines_of("drain", "web", a.address, endpoint=endpoint),
                         [f"backend/web/{a.address} draining{done}"])
        self.assertEqual({http_get(listener["ADDRESS"]) for _ in range(6)}, {"b"})
        states = {r["ADDRESS"]: r["STATE"]
                  for r in self.columns_of("get", "backends", endpoint=endpoint)}
        self.assertEqual(states, {a.address: "draining", b.address: "serving"})
        self.assertIn("no: draining", self.run_cli("describe", "web", a.address,
                                                   endpoint=endpoint).stdout)

        self.assertEqual(self.lines_of("enable", "web", "--all", endpoint=endpoint),
                         [f"backend/web/{a.address} enabled{done}",
                          f"backend/web/{b.address} unchanged{done}"]
                         if a.address < b.address else
                         [f"backend/web/{b.address} unchanged{done}",
                          f"backend/web/{a.address} enabled{done}"])
        self.assertEqual({http_get(listener["ADDRESS"]) for _ in range(6)}, {"a", "b"})

        self.assertEqual(self.lines_of("rm", "web", a.address, endpoint=endpoint),
                         [f"backend/web/{a.address} removed{done}"])
        self.run_cli("rm", "pool", "web", endpoint=endpoint, exits=CONFLICT)
        self.assertEqual(self.lines_of("rm", "listener", "http", endpoint=endpoint),
                         ["listener/http removed" + done])
        self.assertEqual(self.lines_of("rm", "pool", "web", "--force", endpoint=endpoint),
                         ["pool/web removed" + done])
        self.assertEqual(self.run_cli("get", "pools", endpoint=endpoint).stderr, "no pools\n")

    def test_creates_a_pool_along_the_way_only_when_it_is_told_to(self):
        endpoint = self.start_sidelb().endpoint

        refused = self.run_cli("add", "web", "127.0.0.1:9", endpoint=endpoint, exits=NOT_FOUND)
        self.assertIn("POOL_NOT_FOUND", refused.stderr)
        self.assertIn("--create-pool", refused.stderr)
        for address in ("127.0.0.1:9", "[::1]:9"):
            self.run_cli("add", "web", address, "--create-pool", endpoint=endpoint)

        addresses = [r["ADDRESS"] for r in self.columns_of("get", "backends", endpoint=endpoint)]
        self.assertEqual(sorted(addresses), ["127.0.0.1:9", "[::1]:9"])

    def test_switches_the_mode(self):
        a, = self.start_backends("a")
        daemon, client, _ = self.start_balanced(a)

        self.assertEqual(
            self.lines_of("mode", "default", "least-connections", endpoint=daemon.endpoint),
            ["pool/default least-connections (revision N, applied)"])
        self.assertEqual(client.state().state.pools[0].mode, res.MODE_LEAST_CONNECTIONS)

    def test_finds_the_daemon_in_the_runtime_folder(self):
        Path(self.folder, "sidelb").mkdir()
        self.start_sidelb(control=f"unix:{self.folder}/sidelb/control.sock")

        found = self.run_cli("info", variables={"XDG_RUNTIME_DIR": self.folder})

        self.assertIn("serving", found.stdout)


class Reads(CliCase):

    def test_prints_json_of_the_api(self):
        a, = self.start_backends("a")
        daemon, client, _ = self.start_balanced(a)

        state = json.loads(self.run_cli("get", "backends", "-o", "json",
                                        endpoint=daemon.endpoint).stdout)
        line, = self.lines_of("get", "pools", "-o", "jsonl", endpoint=daemon.endpoint)
        info = json.loads(self.run_cli("info", "-o", "json", endpoint=daemon.endpoint).stdout)

        backend, = state["backends"]
        self.assertEqual(backend["address"], a.address)
        self.assertEqual(backend["claims"][0]["owner"], "static")
        self.assertEqual(backend["status"]["state"], "BACKEND_STATE_SERVING")
        self.assertEqual(json.loads(line)["name"], "default")
        self.assertEqual(int(info["revision"]), client.info().revision)
        self.assertIn("rpc:Apply", info["capabilities"])

    def test_selects_backends(self):
        daemon = self.start_sidelb()
        client = self.connect(daemon)
        client.apply(put_pool("web"), put_pool("api"),
                     upsert("web", "127.0.0.1:1", zone="a"), upsert("web", "127.0.0.1:2", zone="b"),
                     upsert("api", "127.0.0.1:3", zone="a"))
        client.apply(override("web", "127.0.0.1:2", admin_state=res.ADMIN_STATE_DRAINING))

        def select(*arguments):
            return [r["ADDRESS"] for r in self.columns_of("get", "backends", *arguments,
                                                          endpoint=daemon.endpoint)]
        self.assertEqual(select("web"), ["127.0.0.1:1", "127.0.0.1:2"])
        self.assertEqual(sorted(select("--zone", "a")), ["127.0.0.1:1", "127.0.0.1:3"])
        self.assertEqual(select("--state", "draining"), ["127.0.0.1:2"])

    def test_reads_more_than_one_page(self):
        daemon = self.start_sidelb()
        client = self.connect(daemon)
        addresses = [f"10.{i // 250}.0.{i % 250}:80" for i in range(1200)]
        client.apply(put_pool("web"), upsert("web", *addresses))

        lines = self.lines_of("get", "backends", "-o", "jsonl", endpoint=daemon.endpoint)

        self.assertEqual({json.loads(line)["address"] for line in lines}, set(addresses))
        self.assertEqual(len(lines), len(addresses))

    def test_says_what_is_missing(self):
        endpoint = self.start_sidelb().endpoint
        for arguments in (("get", "pools", "x"), ("get", "backends", "x"), ("get", "listeners", "x"),
                          ("describe", "x"), ("describe", "x", "127.0.0.1:9"),
                          ("describe", "listener", "x")):
            missing = self.run_cli(*arguments, endpoint=endpoint, exits=NOT_FOUND)
            self.assertRegex(missing.stderr, r"^error: \w+_NOT_FOUND: .*\"x\"")


class Refusals(CliCase):

    def test_changes_nothing_on_a_dry_run(self):
        daemon = self.start_sidelb()
        client = self.connect(daemon)
        client.apply(put_pool("web"))
        before = client.state()

        self.assertEqual(
            self.lines_of("add", "web", "127.0.0.1:9", "--dry-run", endpoint=daemon.endpoint),
            ["backend/web/127.0.0.1:9 added (dry run)"])
        self.assertEqual(client.state().revision, before.revision)

    def test_tells_unchanged_from_changed(self):
        daemon = self.start_sidelb()
        self.connect(daemon).apply(put_pool("web"))
        add = ("add", "web", "127.0.0.1:9", "--error-unchanged")

        self.run_cli(*add, endpoint=daemon.endpoint)
        again = self.run_cli(*add, endpoint=daemon.endpoint, exits=UNCHANGED)

        self.assertIn("backend/web/127.0.0.1:9 unchanged", again.stdout)

    def test_names_option_value_and_what_is_allowed(self):
        endpoint = self.start_sidelb().endpoint
        for arguments, why in (
                (("add", "web", "127.0.0.1"), r'"127\.0\.0\.1" has no port'),
                (("add", "web", "127.0.0.1:9", "--weight", "-1"), r'--weight: "-1" .* 0 to 65535'),
                (("drain", "web", "--all", "--timeout", "5"), r'--timeout: "5" is not a duration'),
                (("apply", "-f", "/nonexistent"), r"cannot read /nonexistent: No such file"),
                (("frobnicate",), r'"frobnicate" is unknown'),
                ((), r"a verb is missing")):
            refused = self.run_cli(*arguments, endpoint=endpoint, exits=USAGE)
            self.assertRegex(refused.stderr, "^error: USAGE: .*" + why)
            self.assertEqual(refused.stdout, "")

    def test_names_the_object_that_the_daemon_refuses(self):
        daemon = self.start_sidelb()
        self.connect(daemon).apply(put_pool("web"))
        tags = [word for i in range(17) for word in ("--tag", f"k{i}=v")]

        refused = self.run_cli("add", "web", "127.0.0.1:9", *tags, endpoint=daemon.endpoint,
                               exits=REJECTED)

        self.assertIn("BAD_FIELD", refused.stderr)
        self.assertIn("backend/web/127.0.0.1:9", refused.stderr)

    def test_says_what_the_daemon_does_not_know_yet(self):
        endpoint = self.start_sidelb().endpoint

        refused = self.run_cli("apply", "-f", "-", endpoint=endpoint, exits=REJECTED,
                               given='{"ops": [{"putPool": {"name": "web", "localZone": "a"}}]}')

        self.assertIn("error: CAPABILITY: ", refused.stderr)
        self.assertIn("ops[0].put_pool.local_zone", refused.stderr)

    def test_prints_errors_as_json(self):
        endpoint = self.start_sidelb().endpoint

        refused = self.run_cli("add", "web", "127.0.0.1:9", "-o", "json", endpoint=endpoint,
                               exits=NOT_FOUND)

        status = json.loads(refused.stderr)
        self.assertEqual(status["code"], grpc.StatusCode.NOT_FOUND.value[0])
        self.assertIn("POOL_NOT_FOUND", [d.get("reason") for d in status["details"]])
        self.assertEqual(refused.stdout, "")

    def test_does_not_add_what_exists_nor_write_over_another_revision(self):
        daemon = self.start_sidelb()
        client = self.connect(daemon)
        client.apply(put_pool("web"))

        exists = self.run_cli("add", "pool", "web", endpoint=daemon.endpoint, exits=CONFLICT)
        stale = self.run_cli("add", "web", "127.0.0.1:9", "--expected-revision", "1",
                             endpoint=daemon.endpoint, exits=CONFLICT)

        self.assertIn("ALREADY_EXISTS: pool/web", exists.stderr)
        self.assertIn("REVISION_MISMATCH", stale.stderr)
        self.assertEqual(len(client.backends("web")), 0)

    def test_says_who_holds_an_address(self):
        a, = self.start_backends("a")
        daemon = self.start_sidelb()
        client = self.connect(daemon)
        client.apply(put_pool("web"))

        refused = self.run_cli("add", "listener", "http", a.address, "--pool", "web",
                               endpoint=daemon.endpoint, exits=CONFLICT)

        self.assertIn("BIND_FAILED", refused.stderr)
        self.assertIn("Address already in use", refused.stderr)
        self.assertEqual(len(client.state().state.listeners), 0)

    def test_says_that_nobody_answers(self):
        missing = self.run_cli("get", "pools", endpoint=f"unix:{self.folder}/none.sock",
                               exits=UNREACHABLE)
        nowhere = self.run_cli("get", "pools", variables={"XDG_RUNTIME_DIR": self.folder},
                               exits=UNREACHABLE)

        self.assertIn("UNREACHABLE", missing.stderr)
        self.assertIn("No such file or directory", missing.stderr)
        self.assertIn(f"{self.folder}/sidelb/control.sock", nowhere.stderr)

    def test_fails_when_its_output_is_lost(self):
        endpoint = self.start_sidelb().endpoint
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run([BIN / "sidelb-cli", "export"], stdout=full,
                                  stderr=subprocess.PIPE, text=True,
                                  env=self.environment(endpoint), timeout=LIMIT, check=False)

        self.assertEqual(done.returncode, REJECTED)
        self.assertIn("cannot write the output", done.stderr)


class Ownership(CliCase):

    def test_overrides_the_weight_of_what_it_does_not_own(self):
        a, = self.start_backends("a")
        daemon, client, _ = self.start_balanced(a)

        self.assertEqual(
            self.lines_of("set", "default", a.address, "--weight", "7", endpoint=daemon.endpoint),
            [f"backend/default/{a.address} overridden to weight 7 (revision N, applied)"])
        backend = client.backends()[a.address]
        self.assertEqual(backend.override.weight, 7)
        self.assertEqual([c.owner for c in backend.claims], ["static"])
        self.assertFalse(backend.claims[0].spec.HasField("weight"))
        self.run_cli("set", "default", a.address, "--zone", "z", endpoint=daemon.endpoint,
                     exits=CONFLICT)

        self.run_cli("set", "default", a.address, "--weight", "default", endpoint=daemon.endpoint)
        self.assertFalse(client.backends()[a.address].override.HasField("weight"))

    def test_changes_only_what_is_named_of_its_own(self):
        daemon = self.start_sidelb()
        client = self.connect(daemon)
        client.apply(put_pool("web"))
        self.run_cli("add", "web", "127.0.0.1:9", "--zone", "a", "--tag", "x=1", "--tag", "y=2",
                     endpoint=daemon.endpoint)

        self.run_cli("set", "web", "127.0.0.1:9", "--weight", "7", "--tag", "x-",
                     endpoint=daemon.endpoint)

        spec = client.backends("web")["127.0.0.1:9"].effective
        self.assertEqual((spec.weight, spec.zone, dict(spec.tags)), (7, "a", {"y": "2"}))

    def test_exits_with_four_when_another_owner_keeps_a_backend(self):
        a, = self.start_backends("a")
        daemon, client, _ = self.start_balanced(a)

        kept = self.run_cli("rm", "default", a.address, endpoint=daemon.endpoint, exits=CONFLICT)
        self.assertIn("still claimed by static", kept.stderr)
        self.assertIn(a.address, client.backends())

        self.run_cli("rm", "default", a.address, "--any-owner", "--wait", endpoint=daemon.endpoint)
        self.assertNotIn(a.address, client.backends())


class Waiting(CliCase):

    def test_waits_until_the_last_session_is_over(self):
        a, b = self.start_backends("a", "b")
        daemon, client, address = self.start_balanced(a, b)
        session = self.open_session(address)
        name = session.get()
        held = a if name == "a" else b
        before = client.state().revision

        waiting = self.start_cli("drain", "default", held.address, "--wait",
                                 endpoint=daemon.endpoint)
        self.wait_past(daemon, before)
        self.assertEqual(session.get(), name)
        self.assertTrue(waiting.is_running)
        session.close()

        self.assertEqual(waiting.wait(), OK)
        self.assertRegex(waiting.text("stdout"), r"draining \(revision \d+, drained\)$")

    def test_exits_with_eight_when_the_sessions_outlast_the_wait(self):
        a, = self.start_backends("a")
        daemon, _, address = self.start_balanced(a)
        session = self.open_session(address)
        session.get()

        late = self.run_cli("drain", "default", a.address, "--wait", "--wait-timeout", "100ms",
                            endpoint=daemon.endpoint, exits=WAIT)

        self.assertRegex(late.stdout, r"draining \(revision \d+, applied, \d+ pending\)")
        self.assertEqual(session.get(), "a")

    def test_ends_with_130_on_ctrl_c_and_the_change_stays(self):
        a, = self.start_backends("a")
        daemon, client, address = self.start_balanced(a)
        self.open_session(address).get()
        before = client.state().revision

        waiting = self.start_cli("drain", "default", a.address, "--wait", endpoint=daemon.endpoint)
        self.wait_past(daemon, before)
        waiting.signal(signal.SIGINT)

        self.assertEqual(waiting.wait(), INTERRUPTED)
        self.assertIn("may have been made", waiting.text())
        self.assertEqual(client.backends()[a.address].status.state, res.BACKEND_STATE_DRAINING)

    def test_says_that_a_change_may_have_been_made_when_the_daemon_dies(self):
        a, = self.start_backends("a")
        daemon, client, address = self.start_balanced(a)
        self.open_session(address).get()
        before = client.state().revision

        waiting = self.start_cli("--timeout", "300ms", "drain", "default", a.address, "--wait",
                                 endpoint=daemon.endpoint)
        self.wait_past(daemon, before)
        daemon.kill()

        self.assertEqual(waiting.wait(), UNREACHABLE)
        self.assertRegex(waiting.text(), "^error: CONNECTION_LOST: .*may have been made")


class Files(CliCase):

    STATE = """{
        "listeners": [{"name": "http", "address": "127.0.0.1:0", "pool": "web"}],
        "pools": [{"name": "web", "mode": "MODE_LEAST_CONNECTIONS", "drain": {"timeout": "7s"}}],
        "backends": [
          {"pool": "web", "address": "127.0.0.1:1"},
          {"pool": "web", "address": "127.0.0.1:2",
           "claims": [{"spec": {"weight": 5, "zone": "z", "tags": {"k": "v"}}}],
           "override": {"adminState": "ADMIN_STATE_DRAINING", "reason": "disk"}}
        ]}"""

    def test_gives_another_daemon_the_same_state(self):
        first = self.start_sidelb(control=f"unix:{self.folder}/first.sock").endpoint
        second = self.start_sidelb(control=f"unix:{self.folder}/second.sock").endpoint
        self.run_cli("apply", "-f", "-", endpoint=first, given=self.STATE)

        exported = self.run_cli("export", endpoint=first).stdout
        self.run_cli("apply", "-f", "-", endpoint=second, given=exported)

        self.assertEqual(self.run_cli("export", endpoint=second).stdout, exported)
        self.assertEqual(len(json.loads(exported)["backends"]), 2)
        self.run_cli("apply", "-f", "-", "--error-unchanged", endpoint=second, given=exported,
                     exits=UNCHANGED)

    def test_moves_the_state_of_a_standalone_daemon_by_adopting_it(self):
        a, = self.start_backends("a")
        daemon, _, _ = self.start_balanced(a)
        self.run_cli("drain", "default", a.address, endpoint=daemon.endpoint)
        exported = self.run_cli("export", endpoint=daemon.endpoint).stdout
        other = self.start_sidelb(control=f"unix:{self.folder}/other.sock")
        client = self.connect(other)

        left = self.run_cli("apply", "-f", "-", "--owner", "api:cli", endpoint=other.endpoint,
                            given=exported)
        self.assertIn("1 claim of static left out", left.stderr)
        self.assertIn("the override of backend/default", left.stderr)
        self.assertEqual(client.backends(), {})

        self.run_cli("apply", "-f", "-", "--adopt", endpoint=other.endpoint, given=exported)
        backend = client.backends()[a.address]
        self.assertEqual([c.owner for c in backend.claims], ["api:cli"])
        self.assertEqual(backend.status.state, res.BACKEND_STATE_DRAINING)

    def test_applies_all_of_a_file_or_nothing(self):
        daemon = self.start_sidelb()
        client = self.connect(daemon)
        state = json.loads(self.STATE)
        state["listeners"][0]["pool"] = "missing"

        self.run_cli("apply", "-f", "-", endpoint=daemon.endpoint, given=json.dumps(state),
                     exits=NOT_FOUND)

        self.assertEqual(client.state().total_size, 0)

    def test_prunes_its_own_and_leaves_others(self):
        a, = self.start_backends("a")
        daemon, client, _ = self.start_balanced(a)
        self.run_cli("apply", "-f", "-", endpoint=daemon.endpoint, given=self.STATE)
        kept = json.dumps({"pools": [{"name": "web"}],
                           "backends": [{"pool": "web", "address": "127.0.0.1:3"}]})

        pruned = self.run_cli("apply", "-f", "-", "--prune", endpoint=daemon.endpoint, given=kept)

        self.assertIn("pool/default is kept: static claims backends in it", pruned.stderr)
        state = client.state().state
        self.assertEqual([x.name for x in state.listeners], [])
        self.assertEqual({x.name for x in state.pools}, {"default", "web"})
        claimed = {b.address for b in client.backends("web").values() if b.claims}
        self.assertEqual(claimed, {"127.0.0.1:3"})
        self.assertIn(a.address, client.backends())

    def test_applies_a_request(self):
        daemon = self.start_sidelb()
        client = self.connect(daemon)
        request = json.dumps({"owner": "api:deploy", "ops": [
            {"putPool": {"name": "web"}},
            {"upsertBackends": {"pool": "web", "backends": [{"address": "127.0.0.1:9"}]}}]})

        self.run_cli("apply", "-f", "-", endpoint=daemon.endpoint, given=request)

        self.assertEqual(client.backends("web")["127.0.0.1:9"].claims[0].owner, "api:deploy")

    def test_replaces_the_backends_of_a_pool(self):
        daemon = self.start_sidelb()
        client = self.connect(daemon)
        client.apply(put_pool("web"), upsert("web", "127.0.0.1:1", "127.0.0.1:2"), owner="api:cli")

        replaced = self.lines_of("replace", "web", "-f", "-", endpoint=daemon.endpoint,
                                 given="127.0.0.1:2\n127.0.0.1:3 weight=5  # new\n")
        self.run_cli("replace", "web", "-f", "-", endpoint=daemon.endpoint, exits=USAGE)

        self.assertEqual(replaced,
                         ["backends/web 1 added, 1 removed, 1 unchanged (revision N, applied)"])
        weights = {b.address: b.effective.weight
                   for b in client.backends("web").values() if b.claims}
        self.assertEqual(weights["127.0.0.1:3"], 5)
        self.assertEqual(set(weights), {"127.0.0.1:2", "127.0.0.1:3"})

    def test_names_the_line_of_bad_json(self):
        Path(self.folder, "s.json").write_text('{\n "pools": [{"name": "web",}]\n}',
                                               encoding="ascii")

        bad = self.run_cli("apply", "-f", f"{self.folder}/s.json", exits=USAGE)

        self.assertIn("s.json: line 2, column 27: expected a key", bad.stderr)


if __name__ == "__main__":
    main()
