"""Parts of bench/scale that sidelb-control-load does: how many Applies there are in a second, and
when the last of many watchers knows of a change."""

import contextlib
import json
import os
import subprocess
from pathlib import Path

from report import BenchError, print_table, progress

CLIENTS = (1, 16)
WATCHERS = ((1000, 10), (100, 100))  # watchers, changes a second
WATCH_SECONDS = 4
WRITTEN = "127.9.0.1:9"  # what the first writer writes


class ControlLoad:
    """The program; its last line is its report."""

    def __init__(self, daemon, *arguments):
        program = Path(os.environ["SIDELB_BIN"], "sidelb-control-load")
        if not program.exists():
            raise BenchError(f"there is no {program}; build it, or name another folder with --bin")
        self._process = subprocess.Popen(
            [program, "--endpoint", daemon.program.endpoint, *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def line(self):
        line = self._process.stdout.readline()
        if not line:
            raise BenchError(self._process.stderr.read().strip() or "sidelb-control-load has ended")
        return line

    def report(self):
        return json.loads(self.line())

    def go_on(self):
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def close(self):
        self._process.kill()
        self._process.communicate()


def measure_applies(daemon, title, seconds, clients=CLIENTS):
    rows = []
    for count in clients:
        progress(f"{title}: {count} writers")
        with contextlib.closing(ControlLoad(daemon, "--seconds", seconds, "apply", "--clients",
                                            count)) as load:
            rows.append({"daemon": title, "writers": count, **load.report()})
    return rows


def measure_under_traffic(harness, daemon, seconds):
    """Changes in the pool web while another one serves requests."""
    with contextlib.ExitStack() as stack:
        backend = harness.Backend("a")
        stack.callback(backend.close)
        daemon.client.apply(harness.put_pool("busy"), harness.upsert("busy", backend.address),
                            harness.put_listener("busy", "busy"))
        traffic = harness.Traffic(daemon.client.listen_address("busy"), threads=2)
        stack.callback(traffic.stop)
        traffic.wait_for(10)
        rows = measure_applies(daemon, "under traffic", seconds, clients=(1,))
    if failed := [one for one in traffic.stop() if one.error is not None]:
        raise BenchError(f"{len(failed)} requests failed: {failed[0].error}")
    daemon.client.apply(harness.remove("web", WRITTEN, any_owner=True))
    return rows[0]


def measure_watchers(daemon, watchers, rate, seconds=WATCH_SECONDS):
    progress(f"{watchers} watchers, {rate} changes a second")
    daemon.client.info()
    before = daemon.process.memory()
    with contextlib.closing(ControlLoad(daemon, "--seconds", seconds, "watch", "--watchers",
                                        watchers, "--rate", rate)) as load:
        load.line()  # all of them have their snapshot
        idle = daemon.process.memory()
        cpu = daemon.process.cpu_seconds()[""]
        load.go_on()
        report = load.report()
        spent = daemon.process.cpu_seconds()[""] - cpu
        after = daemon.process.memory()
    return {"watchers": watchers, "before_bytes": before, "idle_bytes": idle, "after_bytes": after,
            "cpu_percent": 100 * spent / seconds, **report}


def ms(value):
    return f"{value * 1e3:.1f} ms"


def print_applies(rows):
    print("\nApplies of one backend, until APPLIED\n")
    print_table(["daemon", "writers", "a second", "p50", "p99", "slowest"],
                [[row["daemon"], row["writers"], f"{row['per_second']:.0f}", ms(row["p50_seconds"]),
                  ms(row["p99_seconds"]), ms(row["max_seconds"])] for row in rows])


def print_watchers(rows):
    print("\nWatchers under changes, 50 on each connection: from an Apply to the last one\n")
    print_table(["watchers", "changes/s", "messages/s", "p50", "p99", "slowest", "CPU",
                 "PSS before", "with them", "then", "for one"],
                [[row["watchers"], f"{row['changes_per_second']:.0f}",
                  f"{row['messages_per_second']:.0f}", ms(row["p50_seconds"]),
                  ms(row["p99_seconds"]), ms(row["max_seconds"]), f"{row['cpu_percent']:.0f} %",
                  *(f"{row[key]['Pss'] / 1e6:.1f} MB"
                    for key in ("before_bytes", "idle_bytes", "after_bytes")),
                  f"{(row['idle_bytes']['Pss'] - row['before_bytes']['Pss']) / row['watchers'] / 1e3:.1f} kB"]
                 for row in rows])
