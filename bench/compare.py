"""Compares SideLB with HAProxy and NGINX: the proxy's own CPU time for one unit of work.

Run it by bench/compare, which builds what it needs; bench/README.md tells the method.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from comparison.haproxy import HaProxy
from comparison.load import Load
from comparison.measure import Steps, measure, participants, summarise
from comparison.memory import measure_idle, measure_rest
from comparison.network import DEFAULT_CONGESTION, congestion_control, isolate
from comparison.nginx import Nginx
from comparison.proxy import Direct
from comparison.rows import ROWS
from comparison.sidelb import COMMAND, SideLb
from comparison.table import print_report
from comparison.variants import Variants
from report import BenchError, between, machine, progress, words

PROXIES = [SideLb.name, HaProxy.name, Nginx.name, Direct.name]
VARIANTS = ["shards-setup", "shards-rtt", "shards-both", "changes-setup", "changes-rtt",
            "refused"]
KEYS = [row.key for row in ROWS] + ["idle", "rest"] + VARIANTS
FULL = {"rounds": 11, "seconds": 0.45, "idle": 5000, "backends": 10000}
QUICK = {"rounds": 3, "seconds": 0.25, "idle": 2000, "backends": 10000}


def make_proxies(options, missing):
    """The proxies that are there; says in `missing` what the others need."""
    made = []
    search = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    for number, name in enumerate(PROXIES, start=1):
        if name not in options.proxies:
            continue
        if name == Direct.name:
            made.append(Direct(number))
            continue
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
    report = measure_all(options, proxies, cpus, Load(str(load_program), cpus[0]))
    if options.output == "json":
        print(json.dumps(report, indent=2))
    else:
        print_report(report, proxies)
    if missing:
        return 1
    return 3 if options.check and "missed" in goals(report) else 0


def goals(report):
    """"ok", "missed" or "" for each goal."""
    reached = [row[key]["reached"] for row in report["rows"] for key in ("cpu", "p99") if key in row]
    reached += [row["reached"] for row in report["variants"]]
    if report["idle"]:
        reached.append(report["idle"]["reached"])
    if report["rest"]:
        reached += [report["rest"]["anonymous_reached"], report["rest"]["resident_reached"]]
    return ["" if one is None else "ok" if one else "missed" for one in reached]


def measure_all(options, proxies, cpus, load):
    rows = [row for row in ROWS if row.key in options.rows and participants(row, proxies)]
    # A variant needs SideLB as it is built here.
    wants_variants = SideLb.name in options.proxies and options.sidelb_command == COMMAND
    if not wants_variants:
        options.rows = [key for key in options.rows if key not in VARIANTS]
    variants = Variants(options, cpus, load)
    total = options.rounds * (sum(len(participants(row, proxies)) for row in rows)
                              + 2 * len(variants.pairs))
    if "idle" in options.rows:
        total += len([p for p in proxies if p.has_cost])
    steps = Steps(total, progress)
    samples = {"rounds": 0}
    rest = idle = None
    with tempfile.TemporaryDirectory(prefix="sidelb-compare.") as folder:
        try:
            for proxy in proxies if set(options.rows) - set(VARIANTS) else []:
                load.start(proxy)
                proxy.start(Path(folder), {cpus[1]})
            if "rest" in options.rows:
                rest = measure_rest(proxies)
            if "idle" in options.rows and options.idle:
                # First, while no proxy has grown by other work.
                idle = measure_idle(proxies, options.idle, load, steps)
            for _ in range(options.rounds):
                measure(proxies, rows, options, load, steps, samples)
            for proxy in proxies:
                proxy.stop()
            load.close()
            # Not before: the probes of the large pool would disturb the others.
            variants.start(Path(folder))
            variants.wait_healthy()
            for number in range(options.rounds):
                variants.measure(options, steps, number)
        finally:
            for proxy in proxies:
                proxy.stop()
            variants.stop()
            load.close()
            progress("")
    samples.pop("rounds")
    return {
        "machine": f"{machine()}, {congestion_control()}", "proxy_cpu": cpus[1], "load_cpu": cpus[0],
        "rounds": options.rounds, "seconds": options.seconds,
        "versions": {p.name: p.version() for p in proxies},
        "rows": [summarise(row, proxies, samples) for row in rows],
        "idle": idle, "rest": rest, "variants": variants.summarise(),
        "samples": {**{f"{key}/{name}": values for (key, name), values in samples.items()},
                    **variants.samples()},
    }


def main():
    parser = argparse.ArgumentParser(
        prog="bench/compare", description="Compares SideLB with HAProxy and NGINX by the CPU time "
        "that one unit of work takes. Exit: 0 measured, 1 failed, 2 usage, 3 --check missed.")
    parser.add_argument("--quick", action="store_true",
                        help=f"in 2 minutes: {QUICK['rounds']} rounds of {QUICK['seconds']} s; "
                        f"without it {FULL['rounds']} rounds of {FULL['seconds']} s, in 10 minutes")
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    parser.add_argument("--check", action="store_true", help="exit 3 when a goal is missed")
    parser.add_argument("--rounds", type=between(int, 1, 100))
    parser.add_argument("--seconds", type=between(float, 0.05, 60), help="of one measurement")
    parser.add_argument("--idle", type=between(int, 0, 9000), help="idle connections")
    parser.add_argument("--backends", type=between(int, 1, 10000), help="of the pool that changes")
    parser.add_argument("--rows", type=words(KEYS), default=KEYS, help=",".join(KEYS))
    parser.add_argument("--proxies", type=words(PROXIES), default=PROXIES, help=",".join(PROXIES))
    parser.add_argument("--bin", metavar="FOLDER",
                        help="measure the programs of this folder, build nothing")
    parser.add_argument("--congestion-control", metavar="NAME", default=DEFAULT_CONGESTION,
                        help="of TCP; only root can have another one than the machine's "
                        "(default: %(default)s)")
    parser.add_argument("--sidelb-command", metavar="TEMPLATE", default=COMMAND,
                        help="how SideLB starts; default: %(default)s")
    options = parser.parse_args()
    if options.bin is None:
        parser.error("--bin: compare.py builds nothing; bench/compare does")
    options.bin = Path(options.bin).resolve()
    for name, value in (QUICK if options.quick else FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    # Ends the way Ctrl-C does, so that the proxies are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        isolate(options.congestion_control)
        return run(options)
    except BenchError as error:
        print(f"compare: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
