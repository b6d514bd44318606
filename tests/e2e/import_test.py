"""export and apply --prune: the whole configuration, all owners, comes back as it was."""

import json

from cli_test import CONFLICT, REJECTED, UNCHANGED, CliCase
from harness import main


class Import(CliCase):

    def export(self, daemon):
        return self.run_cli("export", endpoint=daemon.endpoint).stdout

    def prune(self, daemon, given, *options, **more):
        return self.run_cli("apply", "-f", "-", "--prune", *options, endpoint=daemon.endpoint,
                            given=given, **more)

    def start_named(self, name, *arguments):
        return self.start_sidelb(*arguments, control=f"unix:{self.folder}/{name}.sock")

    def start_full(self, *backends):
        """A daemon with something of everything, of several owners."""
        daemon = self.start_named("first", "127.0.0.1:0",
                                  "backends=" + ",".join(b.address for b in backends))
        def run(*arguments):
            self.run_cli(*arguments, endpoint=daemon.endpoint)
        run("add", "pool", "web", "--mode", "least-connections", "--drain-timeout", "7s")
        run("add", "listener", "web", "127.0.0.1:0", "--pool", "web", "--idle-timeout", "90s")
        for last in (9, 3, 7, 1):
            run("add", "web", f"127.0.0.1:{last}", "--weight", str(last), "--tag", "rack=r1",
                "--tag", "arch=arm", "--tag", "os=linux")
        run("add", "web", "127.0.0.1:3", "127.0.0.1:4", "--priority", "2", "--owner", "api:nomad")
        run("drain", "web", "127.0.0.1:7", "--ttl", "1h", "--reason", "disk")
        run("drain", "default", backends[0].address)
        return daemon

    def test_gives_an_empty_daemon_all_of_it(self):
        first = self.start_full(*self.start_backends("a", "b"))
        second = self.start_named("second")
        exported = self.export(first)

        self.prune(second, exported)

        self.assertEqual(self.export(second), exported)
        state = json.loads(exported)
        self.assertEqual([b["address"] for b in state["backends"] if b["pool"] == "web"],
                         [f"127.0.0.1:{port}" for port in (9, 3, 7, 1, 4)])
        owners = {c["owner"] for b in state["backends"] for c in b["claims"]}
        self.assertEqual(owners, {"static", "api:cli", "api:nomad"})
        self.prune(second, exported, "--error-unchanged", exits=UNCHANGED)

    def test_restores_what_was_changed_meanwhile(self):
        daemon = self.start_full(*self.start_backends("a", "b"))
        exported = self.export(daemon)
        def run(*arguments):
            self.run_cli(*arguments, endpoint=daemon.endpoint)
        run("disable", "web", "127.0.0.1:9")
        run("enable", "web", "127.0.0.1:7")
        run("add", "pool", "extra")
        run("add", "extra", "127.0.0.1:5", "--owner", "api:else")
        run("add", "web", "127.0.0.1:9", "127.0.0.1:6", "--owner", "api:else")
        run("rm", "web", "127.0.0.1:1")
        run("rm", "web", "127.0.0.1:9", "--any-owner")
        run("add", "web", "127.0.0.1:9")
        run("mode", "web", "p2c")
        run("rm", "listener", "web")
        self.assertNotEqual(self.export(daemon), exported)

        told = self.prune(daemon, exported, "--dry-run")
        self.assertIn("(dry run)", told.stdout)
        self.assertNotEqual(self.export(daemon), exported)
        self.prune(daemon, exported)

        self.assertEqual(self.export(daemon), exported)

    def test_adds_and_updates_only_without_prune(self):
        daemon = self.start_full(*self.start_backends("a", "b"))
        exported = self.export(daemon)
        self.run_cli("add", "web", "127.0.0.1:6", "--owner", "api:else", endpoint=daemon.endpoint)
        changed = self.export(daemon)
        self.run_cli("set", "web", "127.0.0.1:9", "--weight", "5", endpoint=daemon.endpoint)

        self.run_cli("apply", "-f", "-", endpoint=daemon.endpoint, given=exported)

        self.assertEqual(self.export(daemon), changed)

    def test_asks_before_it_takes_most_of_a_pool_away(self):
        backends = self.start_backends("a", "b", "c", "d")
        daemon, _, _ = self.start_balanced(*backends)
        state = json.loads(self.export(daemon))
        state["backends"] = state["backends"][:1]

        refused = self.prune(daemon, json.dumps(state), "--dry-run", exits=CONFLICT)
        self.assertIn("MASS_REMOVAL", refused.stderr)
        self.assertRegex(refused.stdout, r"default +4 +3 +1 +0 ")
        self.prune(daemon, json.dumps(state), "--allow-mass-removal")

        self.assertEqual(json.loads(self.export(daemon)), state)

    def test_names_the_object_that_is_wrong_and_changes_nothing(self):
        daemon = self.start_full(*self.start_backends("a", "b"))
        exported = self.export(daemon)
        state = json.loads(exported)
        state["backends"][-1]["claims"][0]["spec"]["weight"] = 70_000
        del state["backends"][0]
        place = len(state["backends"]) - 1

        refused = self.prune(daemon, json.dumps(state), exits=REJECTED)

        self.assertIn(f"ops[0].import_state.state.backends[{place}].claims[0].spec.weight",
                      refused.stderr)
        self.assertIn("(backend/web/127.0.0.1:4)", refused.stderr)
        self.assertEqual(self.export(daemon), exported)

    def test_outlasts_kill_9_with_a_state_folder(self):
        exported = json.loads(self.export(self.start_full(*self.start_backends("a"))))
        folder = f"{self.folder}/state"
        daemon = self.start_named("second", "--state-dir", folder)
        told = self.prune(daemon, json.dumps(exported))
        self.assertIn("static last until the daemon ends", told.stderr)

        daemon.kill()
        again = self.start_named("third", "--state-dir", folder)

        exported["backends"] = [b for b in exported["backends"] if b["pool"] == "web"]
        self.assertEqual(json.loads(self.export(again)), exported)


if __name__ == "__main__":
    main()
