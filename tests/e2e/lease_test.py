"""Leases with the real daemon: a holder that dies, what happens to its claims, fencing."""

import json
import os
import signal
import sys
import time

from google.protobuf.duration_pb2 import Duration

from harness import LIMIT, ApiError, TestCase, ctl, main, override, put_pool, res, upsert

TTL = 5  # the least


def lease_of(owner, holder, action=res.EXPIRY_ACTION_DRAIN, **fields):
    return ctl.RenewLeaseRequest(owner=owner, holder=holder, ttl=Duration(seconds=TTL),
                                 grace=Duration(), on_expiry=action, **fields)


class Lease(TestCase):

    def setUp(self):
        super().setUp()
        self.daemon = self.start_sidelb()
        self.api = self.connect(self.daemon)
        self.api.apply(put_pool("web"))
        self.api.apply(upsert("web", "127.0.0.1:1", "127.0.0.1:2"), owner="api:app")

    def renew(self, request):
        return self.api._call(self.api._stub.RenewLease, request)

    def cli(self, *words):
        return self.start_program("sidelb-cli", "--endpoint", self.daemon.endpoint, *words)

    def wait_for(self, condition, what):
        end = time.monotonic() + LIMIT
        while not condition():
            self.assertLess(time.monotonic(), end, f"{what} did not come")

    def states(self):
        return [backend.status.state for backend in self.api.backends("web").values()]

    def test_a_holder_that_is_killed_drains_its_claims(self):
        hold = self.cli("lease", "hold", "api:app", "--ttl", "5s", "--grace", "0s", "--",
                        sys.executable, "-c",
                        "import os, signal; print(os.getpid(), flush=True); signal.pause()")
        child = int(hold.wait_line(r"^(\d+)$").group(1))
        self.assertEqual([lease.claims for lease in self.api.info().leases], [2])

        hold.signal(signal.SIGKILL)
        os.kill(child, signal.SIGKILL)  # it outlives its holder
        hold.wait()

        self.wait_for(lambda: set(self.states()) == {res.BACKEND_STATE_DRAINING}, "the drain")
        backend = next(iter(self.api.backends("web").values()))
        self.assertEqual(backend.status.reason, res.HEALTH_REASON_OWNER_EXPIRED)
        self.assertTrue(backend.claims[0].lease_expired)
        self.assertIn("LEASE_EXPIRED", [c.code for c in self.api.info().conditions])

        again = self.cli("lease", "hold", "api:app", "--take-over", "--", "true")
        self.assertEqual(again.wait(), 0)
        self.assertNotIn(res.BACKEND_STATE_DRAINING, self.states())
        self.assertEqual(len(self.api.info().leases), 0, "released at the end")

    def test_remove_and_keep(self):
        self.api.apply(upsert("web", "127.0.0.1:3"), owner="api:kept")
        self.renew(lease_of("api:kept", "k", res.EXPIRY_ACTION_KEEP))
        self.wait_for(lambda: self.api.info().leases[0].expired, "the lapse of api:kept")
        self.wait_for(lambda: any(claim.lease_expired for backend in self.api.backends("web").values()
                                  for claim in backend.claims), "its mark")
        self.assertNotIn(res.BACKEND_STATE_DRAINING, self.states())
        self.renew(ctl.RenewLeaseRequest(owner="api:kept", holder="k", release=True))

        self.renew(lease_of("api:app", "a", res.EXPIRY_ACTION_REMOVE))
        self.wait_for(lambda: [b.address for b in self.api.backends("web").values()
                               if b.claims] == ["127.0.0.1:3"], "the removal")

    def test_a_superseded_holder_is_fenced(self):
        self.renew(lease_of("api:app", "old"))
        with self.assertRaises(ApiError) as refused:
            self.renew(lease_of("api:app", "new"))
        self.assertEqual(refused.exception.reason, "SESSION_SUPERSEDED")
        self.renew(lease_of("api:app", "new", take_over=True))

        with self.assertRaises(ApiError) as late:
            self.api.apply(upsert("web", "127.0.0.1:9"), owner="api:app", holder="old")
        self.assertEqual(late.exception.reason, "SESSION_SUPERSEDED")
        self.api.apply(upsert("web", "127.0.0.1:9"), owner="api:app", holder="new")

    def test_hold_passes_signals_and_exit_codes_on(self):
        program = ("import signal, sys, time\n"
                   "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
                   "print('up', flush=True)\n"
                   "signal.pause()")
        hold = self.cli("lease", "hold", "api:app", "--", sys.executable, "-c", program)
        hold.wait_line("up")
        hold.signal(signal.SIGTERM)
        self.assertEqual(hold.wait(), 7)
        self.assertEqual(len(self.api.info().leases), 0)

        missing = self.cli("lease", "hold", "api:app", "--", "/nonexistent/program")
        self.assertEqual(missing.wait(), 127)
        kept = self.cli("lease", "hold", "api:app", "--keep", "--holder", "h", "--",
                        "sh", "-c", 'test "$SIDELB_OWNER/$SIDELB_HOLDER" = api:app/h')
        self.assertEqual(kept.wait(), 0)
        self.assertEqual([lease.holder for lease in self.api.info().leases], ["h"])

    def test_a_hold_that_is_superseded_ends_its_command_and_does_not_ask_to_fight(self):
        hold = self.cli("lease", "hold", "api:app", "--ttl", "5s", "--", sys.executable, "-c",
                        "import signal; print('up', flush=True); signal.pause()")
        hold.wait_line("up")
        self.renew(lease_of("api:app", "other", take_over=True))

        self.assertEqual(hold.wait(), 4)
        self.assertIn("SESSION_SUPERSEDED", hold.text())
        self.assertNotIn("hint", hold.text())
        self.assertEqual([lease.holder for lease in self.api.info().leases], ["other"])
        late = self.cli("lease", "hold", "api:app", "--", "true")
        self.assertEqual(late.wait(), 4)
        self.assertIn("hint: --take-over", late.text())

    def test_renew_keeps_the_ttl_and_gives_a_new_lease_one(self):
        def ttl_after(*words):
            self.assertEqual(self.cli("lease", "renew", "api:app", "--holder", "h", *words).wait(),
                             0)
            return self.api.info().leases[0].ttl.seconds
        self.assertEqual(ttl_after(), 30)
        self.assertEqual(ttl_after("--ttl", "10s"), 10)
        self.assertEqual(ttl_after(), 10)

    def test_ls_prints_leases_and_nothing_else_as_json(self):
        def listed(layout):
            program = self.cli("lease", "ls", "-o", layout)
            self.assertEqual(program.wait(), 0)
            return program.text("stdout")
        self.assertEqual(json.loads(listed("json")), {"leases": []})
        self.assertEqual(listed("jsonl"), "")

        for owner in ("api:app", "api:kept"):
            self.renew(lease_of(owner, "h"))

        leases = json.loads(listed("json"))
        self.assertEqual(list(leases), ["leases"])
        self.assertEqual([(lease["owner"], lease["claims"], lease["expired"])
                          for lease in leases["leases"]],
                         [("api:app", 2, False), ("api:kept", 0, False)])
        self.assertEqual([json.loads(line)["owner"] for line in listed("jsonl").splitlines()],
                         ["api:app", "api:kept"])


if __name__ == "__main__":
    main()
