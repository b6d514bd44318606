"""Compares SideLB with HAProxy and NGINX: the proxy's own CPU time for one unit of work.

Run it by bench/compare, which builds what it needs; bench/README.md tells the method.
"""

import argparse
import contextlib
import json
import os
import re
import resource
import select
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import BenchError, between, machine, progress, words

BACKENDS = 8  # addresses for each proxy: every pair of addresses has ports of its own
READY_SECONDS = 10
PRIORITY = -15  # as of nice(1)


class Scenario:
    """What is measured, in which unit, and what SideLB should reach against the best peer."""

    def __init__(self, key, title, unit, divisor, scale, target, load):
        self.key = key
        self.title = title
        self.unit = unit  # of the figure shown
        self.divisor = divisor  # units of the load generator in one unit of work
        self.scale = scale  # seconds to the unit shown
        self.target = target  # ratio to the best peer; None = nothing promised
        self.load = load  # arguments of sidelb-load


SCENARIOS = [
    Scenario("setup", "connection set-up, FIN close", "us/connection", 1, 1e6, 1.05,
             ["--connections", "32", "--sources", "32"]),
    Scenario("rtt", "round trip, 64 x 64 B", "us/round trip", 1, 1e6, 1.05,
             ["--connections", "64"]),
    Scenario("down", "bulk down, 4 streams", "s/GB", 1e9, 1, 0.40, ["--connections", "4"]),
    Scenario("up", "bulk up, 4 streams", "s/GB", 1e9, 1, None, ["--connections", "4"]),
]
QUICK = ("setup", "rtt", "down")


class Proxy:
    """One proxy in front of backends of its own, pinned to one CPU."""

    name = ""
    title = ""

    def __init__(self, number, program):
        self.program = program
        self.listen = f"127.0.0.1:{free_port()}"
        self.backends = [f"127.0.{number}.{i}:9700" for i in range(1, BACKENDS + 1)]
        self.process = None
        self.folder = None

    def command(self):
        raise NotImplementedError(self.name)

    def version(self):
        return ""

    def start(self, folder, cpu):
        self.folder = folder / self.name
        self.folder.mkdir()
        command = self.command()
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                preexec_fn=lambda: pin(cpu))
        host, port = self.listen.rsplit(":", 1)
        end = time.monotonic() + READY_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
                return
            if self.process.poll() is not None:
                raise BenchError(f"{self.title} ended with {self.process.returncode} "
                                 f"({shlex.join(map(str, command))}):\n{self.log_text()}")
            if time.monotonic() > end:
                raise BenchError(f"{self.title} does not listen on {self.listen} after "
                                 f"{READY_SECONDS} s:\n{self.log_text()}")
            time.sleep(0.02)

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def log_text(self):
        if self.folder is None:
            return ""
        return (self.folder / "log").read_text(errors="replace")[-2000:]

    def pids(self):
        """The process and its children (NGINX's worker)."""
        pids = [self.process.pid]
        for pid in pids:
            for task in Path(f"/proc/{pid}/task").iterdir():
                pids += [int(child) for child in (task / "children").read_text().split()]
        return pids

    def memory_bytes(self):
        """Proportional set size of all its processes."""
        total = 0
        for pid in self.pids():
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(re.search(r"^Pss:\s+(\d+) kB", text, re.M).group(1)) * 1024
        return total


class SideLb(Proxy):
    name = "sidelb"
    title = "SideLB"

    def __init__(self, number, program, template):
        super().__init__(number, program)
        self.template = template

    def command(self):
        return [part.format(program=self.program, listen=self.listen, folder=self.folder,
                            backends=",".join(self.backends))
                for part in shlex.split(self.template)]

    def version(self):
        if not self.template.startswith("{program}"):
            return f"by {self.template.split()[0]}"
        return first_line([self.program, "--version"])


class HaProxy(Proxy):
    name = "haproxy"
    title = "HAProxy"

    def command(self):
        servers = "\n".join(f"  server b{i} {address}" for i, address in enumerate(self.backends))
        config = self.folder / "haproxy.cfg"
        config.write_text(f"""global
  nbthread 1
defaults
  mode tcp
  option splice-auto
  timeout connect 3s
  timeout client 1h
  timeout server 1h
listen l
  bind {self.listen}
  balance roundrobin
{servers}
""")
        return [self.program, "-f", config, "-db"]

    def version(self):
        return first_line([self.program, "-v"])


class Nginx(Proxy):
    name = "nginx"
    title = "NGINX"

    def command(self):
        servers = "\n".join(f"    server {address} max_fails=0;" for address in self.backends)
        module = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
        load = f"load_module {module};" if module.exists() else ""
        config = self.folder / "nginx.conf"
        config.write_text(f"""{load}
daemon off;
worker_processes 1;
worker_rlimit_nofile {resource.getrlimit(resource.RLIMIT_NOFILE)[0]};
pid {self.folder}/pid;
error_log stderr crit;
events {{ worker_connections 19000; }}
stream {{
  access_log off;
  upstream up {{
{servers}
  }}
  server {{
    listen {self.listen} backlog=4096;
    proxy_connect_timeout 3s;
    proxy_timeout 1h;
    proxy_pass up;
  }}
}}
""")
        return [self.program, "-c", config, "-p", self.folder, "-e", "stderr"]

    def version(self):
        return first_line([self.program, "-v"])


def first_line(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    return (done.stdout or done.stderr).strip().splitlines()[0].strip()


def pin(cpu):
    """To one CPU, and before other work on it where that is allowed (to root)."""
    os.sched_setaffinity(0, {cpu})
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Load:
    """sidelb-load on its CPU: for each proxy the backends behind it, and scenarios through it."""

    def __init__(self, program, cpu):
        self.program = program
        self.cpu = cpu
        self.processes = {}

    def start(self, proxy):
        """The backends; they stay until close(), because health checks want them to."""
        command = [self.program, "--proxy", proxy.listen]
        for address in proxy.backends:
            command += ["--backend", address]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True,
                                   preexec_fn=lambda: pin(self.cpu))
        self.processes[proxy.name] = process
        self._read_line(proxy, READY_SECONDS, "its backends")

    def close(self):
        for process in self.processes.values():
            process.stdin.close()
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
            process.stderr.close()

    def _read_line(self, proxy, seconds, title):
        process = self.processes[proxy.name]
        ready, _, _ = select.select([process.stdout], [], [], seconds)
        line = process.stdout.readline() if ready else None
        if line:
            return line
        process.kill()
        words = process.stderr.read().strip()
        if line is None:
            raise BenchError(f"{proxy.title}, {title}: no result in time; {words}")
        raise BenchError(f"{proxy.title}, {title}: {words}\n{proxy.log_text()}")

    def begin(self, proxy, scenario, *arguments):
        line = ["--scenario", scenario, *arguments]
        for pid in proxy.pids():
            line += ["--pid", str(pid)]
        process = self.processes[proxy.name]
        process.stdin.write(" ".join(line) + "\n")
        process.stdin.flush()

    def end_idle(self, proxy):
        """The connections of the scenario idle go with the next line, whatever it says."""
        process = self.processes[proxy.name]
        process.stdin.write("\n")
        process.stdin.flush()

    def result(self, proxy, title, seconds):
        return self.checked(json.loads(self._read_line(proxy, seconds + 35, title)), proxy, title)

    def run(self, scenario, proxy, seconds):
        self.begin(proxy, scenario.key, *scenario.load, "--seconds", str(seconds))
        return self.result(proxy, scenario.title, seconds)

    @staticmethod
    def checked(result, proxy, title):
        if result["errors"]:
            raise BenchError(f"{proxy.title}, {title}: {result['errors']} connections failed; "
                             f"its log:\n{proxy.log_text()}")
        if result["units"] == 0:
            raise BenchError(f"{proxy.title}, {title}: nothing came through")
        return result


def measure(proxies, scenarios, rounds, seconds, load, progress):
    """Interleaved: every round takes each scenario through each proxy, and begins with another."""
    samples = {(s.key, p.name): [] for s in scenarios for p in proxies}
    for number in range(rounds):
        first = number % len(proxies)
        for scenario in scenarios:
            for proxy in proxies[first:] + proxies[:first]:
                progress(f"round {number + 1}/{rounds}: {scenario.title}: {proxy.title}")
                samples[scenario.key, proxy.name].append(load.run(scenario, proxy, seconds))
    return samples


def measure_memory(proxies, connections, load, progress):
    """Bytes of user-space memory that one idle connection adds."""
    added = {}
    for proxy in proxies:
        progress(f"{connections} idle connections: {proxy.title}")
        before = proxy.memory_bytes()
        load.begin(proxy, "idle", "--connections", str(connections))
        result = load.result(proxy, "idle connections", 0)
        if result["units"] != connections:
            raise BenchError(f"{proxy.title}: only {result['units']} of {connections} idle "
                             "connections came about")
        added[proxy.name] = (proxy.memory_bytes() - before) / connections
        load.end_idle(proxy)
    return added


def cost(scenario, sample):
    return sample["proxy_cpu_seconds"] * scenario.scale / (sample["units"] / scenario.divisor)


def summarise(proxies, scenarios, samples):
    """One row for each scenario: the medians, and SideLB's ratio to the best peer."""
    rows = []
    for scenario in scenarios:
        costs = {p.name: [cost(scenario, s) for s in samples[scenario.key, p.name]]
                 for p in proxies}
        medians = {name: statistics.median(values) for name, values in costs.items()}
        peers = [value for name, value in medians.items() if name != SideLb.name]
        ratio = None
        if SideLb.name in medians and peers:
            ratio = medians[SideLb.name] / min(peers)
        rows.append({
            "scenario": scenario.key, "title": scenario.title, "unit": scenario.unit,
            "median": medians,
            "lowest": {name: min(values) for name, values in costs.items()},
            "highest": {name: max(values) for name, values in costs.items()},
            "units_per_second": {
                p.name: statistics.median(s["units"] / scenario.divisor / s["seconds"]
                                          for s in samples[scenario.key, p.name])
                for p in proxies},
            "ratio_to_best_peer": ratio, "target": scenario.target,
            "reached": None if None in (ratio, scenario.target) else ratio <= scenario.target,
        })
    return rows


def figure(value):
    return "-" if value is None else f"{value:.3f}" if value < 10 else f"{value:.1f}"


def colour(text, code):
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        return f"\033[{code}m{text}\033[0m"
    return text


def print_table(report, proxies):
    print(f"CPU of the proxy for one unit of work; medians of {report['rounds']} interleaved rounds "
          f"of {report['seconds']:g} s")
    print(f"{report['machine']}; proxy on CPU {report['proxy_cpu']}, load and backends on CPU "
          f"{report['load_cpu']}, one worker thread each")
    for proxy in proxies:
        print(f"  {proxy.title:8} {report['versions'][proxy.name]}")
    print()
    head = ["scenario", "unit", *[p.title for p in proxies], "ratio", "target", ""]
    lines = []
    for row in report["rows"]:
        mark = {None: "", True: "ok", False: "missed"}[row["reached"]]
        lines.append([row["title"], row["unit"],
                      *[figure(row["median"][p.name]) for p in proxies],
                      figure(row["ratio_to_best_peer"]),
                      f"<= {row['target']:.2f}" if row["target"] else "-", mark])
    if report["idle_bytes"]:
        lines.append([f"memory, {report['idle_connections']} idle", "B/connection",
                      *[f"{report['idle_bytes'][p.name]:.0f}" for p in proxies], "", "", ""])
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]
    for line in [head, *lines]:
        cells = [cell.ljust(width) if i < 2 or i == len(head) - 1 else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(line, widths))]
        text = "  ".join(cells).rstrip()
        if line[-1]:
            text = text[:-len(line[-1])] + colour(line[-1], 32 if line[-1] == "ok" else 31)
        print(text)


def make_proxies(options, missing):
    """Those that were asked for and are there; the others go to `missing` with what to do."""
    made = []
    search = os.environ.get("PATH", "") + ":/usr/sbin"
    for number, name in enumerate(options.proxies, start=1):
        if name == SideLb.name:
            program = Path(options.bin) / "sidelb"
            if options.sidelb_command.startswith("{program}") and not program.exists():
                missing.append(f"SideLB: there is no {program}; build it (bench/compare does, "
                               "unless --bin names another folder)")
                continue
            made.append(SideLb(number, str(program), options.sidelb_command))
            continue
        program = shutil.which(name, path=search)
        if program is None:
            missing.append(f"{name}: not installed; scripts/install-deps --bench does it")
            continue
        made.append((HaProxy if name == HaProxy.name else Nginx)(number, program))
    return made


def run(options):
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise BenchError("two CPUs are needed: one for the proxy, one for the load")
    load_program = Path(options.bin) / "sidelb-load"
    if not load_program.exists():
        raise BenchError(f"there is no {load_program}; build the target sidelb-load")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    missing = []
    proxies = make_proxies(options, missing)
    for text in missing:
        print(f"compare: missing: {text}", file=sys.stderr)
    if not proxies:
        raise BenchError("no proxy is left to measure")
    scenarios = [s for s in SCENARIOS if s.key in options.scenarios]
    load = Load(str(load_program), cpus[0])

    with tempfile.TemporaryDirectory(prefix="sidelb-compare.") as folder:
        try:
            for proxy in proxies:
                load.start(proxy)
                proxy.start(Path(folder), cpus[1])
            idle_bytes = {}
            if options.idle:
                # First, while no proxy has grown by other work.
                idle_bytes = measure_memory(proxies, options.idle, load, progress)
            samples = measure(proxies, scenarios, options.rounds, options.seconds, load, progress)
        finally:
            for proxy in proxies:
                proxy.stop()
            load.close()
            progress("")
        report = {
            "machine": machine(), "proxy_cpu": cpus[1], "load_cpu": cpus[0],
            "rounds": options.rounds, "seconds": options.seconds,
            "versions": {p.name: p.version() for p in proxies},
            "rows": summarise(proxies, scenarios, samples),
            "idle_connections": options.idle, "idle_bytes": idle_bytes,
        }
    if options.output == "json":
        report["samples"] = {f"{key}/{name}": values for (key, name), values in samples.items()}
        print(json.dumps(report, indent=2))
    else:
        print_table(report, proxies)
    if missing:
        return 1
    if options.check and any(row["target"] and not row["reached"] for row in report["rows"]):
        return 3
    return 0


def main():
    names = [SideLb.name, HaProxy.name, Nginx.name]
    keys = [s.key for s in SCENARIOS]
    parser = argparse.ArgumentParser(
        prog="bench/compare", description="Compares SideLB with HAProxy and NGINX by the CPU time "
        "that one unit of work takes. Exit: 0 measured, 1 failed, 2 usage, 3 --check missed.")
    parser.add_argument("--quick", action="store_true",
                        help="under a minute: 7 rounds of 0.5 s, without upload and memory (default)")
    parser.add_argument("--full", action="store_true",
                        help="7 rounds of 2 s, with upload and the memory of idle connections")
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    parser.add_argument("--check", action="store_true", help="exit 3 when a target is missed")
    parser.add_argument("--rounds", type=between(int, 1, 100))
    parser.add_argument("--seconds", type=between(float, 0.05, 60), help="of one measurement")
    parser.add_argument("--idle", type=between(int, 0, 9000), help="idle connections; 0 = none")
    parser.add_argument("--scenarios", type=words(keys), help=",".join(keys))
    parser.add_argument("--proxies", type=words(names), default=names, help=",".join(names))
    parser.add_argument("--bin", metavar="FOLDER",
                        help="measure the sidelb and sidelb-load of this folder, build nothing")
    parser.add_argument(
        "--sidelb-command", metavar="TEMPLATE",
        default="{program} {listen} mode=round-robin backends={backends} --shards 1 "
                "--control unix:{folder}/control.sock",
        help="how SideLB starts; default: %(default)s")
    options = parser.parse_args()
    if options.quick and options.full:
        parser.error("--quick and --full exclude each other")
    if options.bin is None:
        parser.error("--bin: compare.py builds nothing; bench/compare does")
    defaults = {"rounds": 7, "seconds": 2.0, "idle": 4000, "scenarios": keys} if options.full else {
        "rounds": 7, "seconds": 0.5, "idle": 0, "scenarios": list(QUICK)}
    for name, value in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    # Ends the way Ctrl-C does, so that the proxies are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return run(options)
    except BenchError as error:
        print(f"compare: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
