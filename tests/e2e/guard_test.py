"""The guard with the real daemon and sidelb-cli: what it refuses, what consent and dry runs say."""

from harness import TestCase, ctl, main, put_listener, res, upsert


class Guard(TestCase):

    def setUp(self):
        super().setUp()
        self.daemon = self.start_sidelb()
        self.api = self.connect(self.daemon)
        self.addresses = [f"127.0.0.1:{port}" for port in range(1, 11)]
        # Nobody listens there, and nobody looks.
        pool = res.Pool(name="web", health_check=res.HealthCheck(kind=res.PROBE_KIND_NONE))
        self.api.apply(ctl.Op(put_pool=pool), put_listener("http", "web"))
        self.api.apply(upsert("web", *self.addresses), owner="api:cli")

    def cli(self, *words):
        """The exit code, what it said, and its errors."""
        program = self.start_program("sidelb-cli", "--endpoint", self.daemon.endpoint, *words)
        return program.wait(), program.text("stdout"), program.text("stderr")

    def count(self):
        return len([backend for backend in self.api.backends("web").values() if backend.claims])

    def test_most_of_a_pool_goes_only_with_consent(self):
        code, _, errors = self.cli("rm", "web", *self.addresses[:8])
        self.assertEqual(code, 4)
        self.assertIn("MASS_REMOVAL", errors)
        self.assertIn("would take 8 of 10 serving backends", errors)
        self.assertIn("--allow-mass-removal", errors)
        self.assertEqual(self.count(), 10)

        code, _, errors = self.cli("rm", "web", *self.addresses[:8], "--allow-mass-removal")
        self.assertEqual(code, 0, errors)
        self.assertEqual(self.count(), 2)

    def test_a_dry_run_prints_what_it_would_do(self):
        code, output, errors = self.cli("rm", "web", *self.addresses[:8], "--dry-run")
        self.assertEqual(code, 4, "as the write itself")
        lines = [line.split() for line in output.splitlines()]
        self.assertEqual(lines, [["POOL", "SERVING", "LOST", "STAY", "ADDED", "SESSIONS"],
                                 ["web", "10", "8", "2", "0", "0"]])
        self.assertIn("MASS_REMOVAL", errors)

        code, output, errors = self.cli("drain", "web", "--all", "--dry-run")
        self.assertEqual(code, 0, errors)
        self.assertIn("web 10 10 0 0 0", " ".join(output.split()))
        self.assertEqual(self.count(), 10)

    def test_small_steps_count_together_and_overrides_do_not(self):
        for number in range(5):
            self.assertEqual(self.cli("rm", "web", self.addresses[number])[0], 0)
        self.assertEqual(self.cli("rm", "web", self.addresses[5])[0], 4)
        self.assertEqual(self.cli("disable", "web", "--all")[0], 0)

    def test_a_pool_with_its_listener_needs_consent(self):
        self.assertEqual(self.cli("rm", "pool", "web", "--force")[0], 4)
        self.assertEqual(self.cli("rm", "pool", "web", "--force", "--allow-mass-removal")[0], 0)

    def test_overrides_end_and_say_so(self):
        address = self.addresses[0]
        code, _, errors = self.cli("drain", "web", address, "--ttl", "1h", "--reason", "new disk")
        self.assertEqual(code, 0, errors)
        output = self.cli("describe", "web", address)[1]
        self.assertRegex(output, r"draining by api:cli until .* \(59m5\ds left\): new disk")
        self.assertEqual(self.cli("wait", "web", address, "--for", "drained")[0], 0)
        code, _, errors = self.cli("wait", "web", self.addresses[1], "--for", "drained",
                                   "--timeout", "0s")
        self.assertEqual(code, 8)
        self.assertIn("neither draining nor disabled", errors)

        code, _, errors = self.cli("set", "web", address, "--weight", "5", "--ttl", "100ms")
        self.assertEqual(code, 0, errors)
        self.assertIn("new ttl", errors)


if __name__ == "__main__":
    main()
