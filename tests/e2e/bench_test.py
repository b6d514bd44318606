"""The measuring scripts: a short run of each through the real daemon gives every figure."""

import json
import subprocess
import sys
import unittest

from harness import BIN, LIMIT, ROOT, main


@unittest.skipUnless((BIN / "sidelb-load").exists(), "built without SIDELB_BENCH")
class Compare(unittest.TestCase):

    def compare(self, *arguments):
        return subprocess.run(
            [sys.executable, ROOT / "bench/compare.py", "--bin", BIN, *arguments],
            capture_output=True, text=True, timeout=LIMIT, check=False)

    def measured(self, *arguments):
        done = self.compare("--proxies", "sidelb,direct", "--rounds", "1", "--seconds", "0.1",
                            "-o", "json", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_a_short_run_measures_every_row_through_the_daemon(self):
        keys = ["setup", "rtt", "rtt-1000", "rtt-4k", "down", "up", "down-bulk", "up-bulk",
                "udp", "udp-1200", "udp-new", "burst-1", "burst-16", "burst-1-gso", "burst-16-gso"]
        report = self.measured("--idle", "50", "--rows", ",".join([*keys, "idle", "rest"]))

        self.assertEqual([row["row"] for row in report["rows"]], keys)
        for row in report["rows"]:
            self.assertGreater(row["median"]["sidelb"], 0)
            self.assertNotIn("direct", row["median"])
            self.assertGreater(row["per_second"]["sidelb"], 0)
            self.assertGreater(row["per_second"]["direct"], 0)
            if row["unit"] != "s/GB":
                self.assertGreaterEqual(row["p99_us"]["sidelb"], row["p50_us"]["sidelb"])
        self.assertIn("sidelb", report["idle"]["bytes"])
        self.assertGreater(report["rest"]["resident"]["sidelb"],
                           report["rest"]["anonymous"]["sidelb"])
        self.assertIn("sidelb", report["rest"]["consists_of"])

    @unittest.skipUnless((BIN / "sidelb-control-load").exists(), "built without it")
    def test_a_short_run_compares_the_daemon_with_itself(self):
        keys = ["shards-setup", "shards-rtt", "shards-both", "changes-setup", "changes-rtt",
                "refused"]
        report = self.measured("--backends", "300", "--rows", ",".join(keys))

        self.assertEqual(report["rows"], [])
        self.assertEqual([row["row"] for row in report["variants"]], [*keys, "changes-control"])
        for row in report["variants"]:
            self.assertGreater(row["with"], 0)

    def test_a_daemon_that_does_not_start_is_an_error_with_its_words(self):
        done = self.compare("--proxies", "sidelb", "--rounds", "1", "--seconds", "0.1",
                            "--sidelb-command", "{program} no-such-argument=1")

        self.assertEqual(done.returncode, 1)
        self.assertIn("no-such-argument", done.stderr)

    def test_an_unknown_row_names_itself_and_what_is_allowed(self):
        done = self.compare("--rows", "tpc")

        self.assertEqual(done.returncode, 2)
        self.assertIn("'tpc'; allowed: setup, rtt, rtt-1000", done.stderr)


class Measure(unittest.TestCase):

    def measure(self, script, *arguments):
        done = subprocess.run(
            [sys.executable, ROOT / "bench" / script, "--bin", BIN, "-o", "json", *arguments],
            capture_output=True, text=True, timeout=LIMIT, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_a_short_fault_is_measured(self):
        row, = self.measure("faults", "--faults", "stop", "--seconds", "0.5")["rows"]

        self.assertGreater(row["requests"], 0)
        self.assertIsNotNone(row["traffic_again_seconds"])

    def test_a_short_flood_is_measured(self):
        rows = self.measure("flood", "--rounds", "1", "--seconds", "0.3")["rows"]

        self.assertEqual([row["flood"] for row in rows], ["none", "elsewhere", "control"])
        self.assertEqual([row["failed"] for row in rows], [0, 0, 0])
        self.assertGreater(rows[2]["connections_per_second"], 0)

    @unittest.skipUnless((BIN / "sidelb-control-load").exists(), "built without SIDELB_BENCH")
    def test_a_small_pool_is_measured(self):
        report = self.measure("scale", "--backends", "1000", "--seconds", "0.1", "--watches", "2",
                              "--deaf-seconds", "1", "--apply-seconds", "0.2", "--watchers", "60")

        self.assertGreater(report["pool"]["cpu_percent"]["slb-health"], 0)
        self.assertEqual(len(report["changes"]), 5)
        self.assertEqual([row["writers"] for row in report["applies"][:2]], [1, 16])
        self.assertEqual([row["watchers"] for row in report["watchers"]], [60, 60])
        self.assertTrue(all(row["count"] > 0 for row in report["applies"] + report["watchers"]))
        self.assertEqual(len(report["watches"]), 2)
        self.assertGreater(len(report["deaf"]["samples"]), 0)

    def test_an_unknown_fault_names_itself_and_what_is_allowed(self):
        done = subprocess.run([sys.executable, ROOT / "bench/faults", "--faults", "flood"],
                              capture_output=True, text=True, timeout=LIMIT, check=False)

        self.assertEqual(done.returncode, 2)
        self.assertIn("'flood'; allowed: kill, stop", done.stderr)


if __name__ == "__main__":
    main()
