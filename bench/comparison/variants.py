"""SideLB against itself: two shards and one, a pool that changes and one at rest, a backend that
refuses and none."""

import contextlib
import json
import select
import statistics
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from comparison.proxy import TCP, pin
from comparison.sidelb import SideLb
from report import BenchError

POOL_PORT = 9701  # of every backend of the large pool
CHANGED = 200  # of its backends have another weight in turn
RATE = 100  # changes a second
REFUSED_MS = 1.0
CONTROL_MS = 1.0
HEALTHY_SECONDS = 60

SETUP = "--scenario setup --connections 32 --sources 32"
RTT = "--scenario rtt --connections 1000"


def shards(sample):
    """CPU seconds of each shard."""
    return [value for name, value in sample["threads"].items() if name.startswith("slb-shard-")]


def control(sample):
    return sum(value for name, value in sample["threads"].items() if name == "slb-control")


@dataclass
class Pair:
    """One row: the same load through `base` and through `other`. `figure` is of a sample."""

    key: str
    title: str
    unit: str
    load: str
    base: SideLb
    other: SideLb
    figure: callable
    judge: callable  # of both medians: the comparison as text, whether it is reached
    changes: bool = False  # while the pool of `other` changes
    samples: dict = field(default_factory=lambda: {"base": [], "other": []})


class ManyBackends(SideLb):
    """A pool of `count` backends, all of which one listening socket serves."""

    def __init__(self, number, program, count):
        super().__init__(number, program)
        self.backends = [f"127.1.{i >> 8}.{i & 255}:{POOL_PORT}" for i in range(count)]
        self.served = [f"0.0.0.0:{POOL_PORT}"]


class ThreeBackends(SideLb):
    """Without probes and ejections, so that the one that refuses stays in turn."""

    def __init__(self, number, program, refusing):
        super().__init__(number, program,
                         health_check={"kind": "PROBE_KIND_NONE", "passiveFailures": 0})
        self.backends = self.backends[:3]
        self.served = self.backends[1:] if refusing else self.backends


class Changer:
    """sidelb-control-load, which changes one backend after the other at a steady rate."""

    def __init__(self, program, proxy, seconds, cpu):
        command = [program, "--endpoint", proxy.control, "--seconds", str(seconds), "change",
                   "--rate", str(RATE)]
        for address in proxy.backends[:CHANGED]:
            command += ["--address", address]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                         text=True, preexec_fn=lambda: pin({cpu}))
        self._line()

    def _line(self):
        ready, _, _ = select.select([self._process.stdout], [], [], HEALTHY_SECONDS)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            self._process.kill()
            raise BenchError(self._process.stderr.read().strip() or "the changes do not end")
        return line

    def report(self):
        return json.loads(self._line())

    def close(self):
        self._process.kill()
        self._process.communicate()


class Variants:
    def __init__(self, options, cpus, load):
        self._programs = Path(options.bin)
        self._load = load
        self._cpus = cpus
        program = str(self._programs / "sidelb")
        self._one = SideLb(21, program, shards=1)
        self._two = SideLb(22, program, shards=2)
        self._pool = ManyBackends(23, program, options.backends)
        self._three = ThreeBackends(24, program, refusing=False)
        self._refusing = ThreeBackends(25, program, refusing=True)
        pairs = []
        for key, title, load_line in (("shards-setup", "two shards: connections", SETUP),
                                      ("shards-rtt", "two shards: round trips, 1000", RTT)):
            pairs.append(Pair(key, title, "us/unit", load_line, self._one, self._two,
                              busiest_shard, at_least_capacity))
        self._both = [SideLb(26, program, shards=1), SideLb(27, program, shards=2)]
        pairs.append(Pair("shards-both", "the same on both CPUs", "us/unit", RTT,
                          *self._both, busiest_shard, capacity))
        for key, title, load_line in (("changes-setup", "changing pool: connections", SETUP),
                                      ("changes-rtt", "changing pool: round trips, 1000", RTT)):
            pairs.append(Pair(key, title, "us/unit", load_line, self._pool, self._pool, all_shards,
                              at_most_ratio, changes=True))
        pairs.append(Pair("refused", "one of three backends refuses", "p99 ms",
                          "--scenario setup --connections 1 --sources 32", self._three,
                          self._refusing, p99_ms, at_most_added))
        self.pairs = [pair for pair in pairs if pair.key in options.rows]
        self._control_ms = []

    def proxies(self):
        return list(dict.fromkeys(p for pair in self.pairs for p in (pair.base, pair.other)))

    def start(self, folder):
        for proxy in self.proxies():
            proxy.name = f"sidelb-{proxy.backends[0].split(':')[0]}"  # a folder of its own
            self._load.start(proxy)
            proxy.start(folder, set(self._cpus[:2]) if proxy in self._both else {self._cpus[1]})

    def wait_healthy(self):
        for proxy in self.proxies():
            if proxy.health_check is None:
                command = [self._programs / "sidelb-cli", "--endpoint", proxy.control, "wait",
                           "web", "--for", "healthy", "--timeout", f"{HEALTHY_SECONDS}s"]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise BenchError(f"{proxy.title}: {done.stderr.strip()}")

    def stop(self):
        for proxy in self.proxies():
            proxy.stop()

    def measure(self, options, steps, number):
        """One round, every other one in the other order."""
        for pair in self.pairs:
            for side in ("base", "other") if number % 2 else ("other", "base"):
                steps.next(f"{pair.title}: {'with' if side == 'other' else 'without'}")
                pair.samples[side].append(self._sample(pair, side, options.seconds))

    def _sample(self, pair, side, seconds):
        proxy = getattr(pair, side)
        with contextlib.ExitStack() as stack:
            if changes := pair.changes and side == "other":
                changer = Changer(self._programs / "sidelb-control-load", proxy, seconds + 0.5,
                                  self._cpus[0])
                stack.callback(changer.close)
            sample = self._load.run(proxy, TCP, pair.load.split(), pair.title, seconds)
            if changes:
                rate = changer.report()["per_second"]
                sample["changes_per_second"] = rate
                self._control_ms.append(control(sample) * 1e3 / (rate * sample["seconds"]))
        return sample

    def summarise(self):
        rows = []
        for pair in self.pairs:
            base, other = (statistics.median(map(pair.figure, pair.samples[side]))
                           for side in ("base", "other"))
            compared, goal, reached = pair.judge(base, other)
            rows.append({"row": pair.key, "title": pair.title, "unit": pair.unit, "without": base,
                         "with": other, "compared": compared, "goal": goal, "reached": reached})
            if pair.key.startswith("shards-"):
                least = statistics.median(min(shards(s)) / sum(shards(s))
                                          for s in pair.samples["other"])
                rows[-1]["smaller_share"] = least
        if self._control_ms:
            value = statistics.median(self._control_ms)
            rate = statistics.median(s["changes_per_second"] for pair in self.pairs if pair.changes
                                     for s in pair.samples["other"])
            rows.append({"row": "changes-control",
                         "title": f"control thread, at {rate:.0f} changes/s", "unit": "ms/change",
                         "without": None, "with": value, "compared": None,
                         "goal": f"<= {CONTROL_MS:g} ms", "reached": value <= CONTROL_MS})
        return rows

    def samples(self):
        return {f"{pair.key}/{side}": values for pair in self.pairs
                for side, values in pair.samples.items()}


# ---- Figures of a sample ----

def all_shards(sample):
    return sum(shards(sample)) * 1e6 / sample["units"]


def busiest_shard(sample):
    """Of all the work; what it limits is the capacity, where each shard has a CPU."""
    return max(shards(sample)) * 1e6 / sample["units"]


def p99_ms(sample):
    return sample["p99_us"] / 1e3


# ---- Comparisons: the text, the goal, whether it is reached ----

def capacity(one, busiest_of_two):
    """Two CPUs, of which the load has one, and which may be two halves of a core, promise nothing."""
    return f"{one / busiest_of_two:.2f} x", "-", None


def at_least_capacity(one, busiest_of_two):
    return f"{one / busiest_of_two:.2f} x", ">= 1.80", one / busiest_of_two >= 1.8


def at_most_ratio(base, other):
    return f"{other / base:.3f}", "<= 1.05", other / base <= 1.05


def at_most_added(base, other):
    return f"{other - base:+.3f} ms", f"<= {REFUSED_MS:g} ms", other - base <= REFUSED_MS
