"""Memory: of a proxy at rest, and of idle connections."""

import re
from pathlib import Path

from comparison.measure import best_ratio, goal_of
from comparison.proxy import TCP
from comparison.sidelb import SideLb
from report import BenchError

ANONYMOUS_GOAL = 6e6
RESIDENT_GOAL = 22e6
IDLE_GOAL = 0.20
IDLE_BYTES = 640


def mappings(pid):
    """Resident bytes of a process by what is mapped."""
    parts = {}
    head = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \S+\s*(.*)$")
    part = ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if match := head.match(line):
            part = match.group(1).rsplit("/", 1)[-1] or "anonymous"
        elif match := re.match(r"^Rss:\s+(\d+) kB", line):
            parts[part] = parts.get(part, 0) + int(match.group(1)) * 1024
    return dict(sorted(parts.items(), key=lambda item: -item[1]))


def measure_rest(proxies):
    """Right after the start, before any traffic: listeners, backends, and the control plane."""
    memory = {p.name: p.memory() for p in proxies if p.has_cost}
    result = {"anonymous": {}, "resident": {}}
    for name, values in memory.items():
        result["anonymous"][name] = values["Anonymous"]
        result["resident"][name] = values["Rss"]
    for proxy in proxies:
        if proxy.name == SideLb.name:
            result["consists_of"] = mappings(proxy.process.pid)
    for key, limit in (("anonymous", ANONYMOUS_GOAL), ("resident", RESIDENT_GOAL)):
        own = result[key].get(SideLb.name)
        result[f"{key}_reached"] = None if own is None else own <= limit
    return result


def measure_idle(proxies, connections, load, steps):
    """Bytes of user-space memory (proportional set size) that one idle connection adds."""
    added = {}
    for proxy in proxies:
        if not proxy.has_cost:
            continue
        title = f"{connections} idle connections"
        steps.next(f"{title}: {proxy.title}")
        before = proxy.memory()["Pss"]
        load.begin(proxy, TCP, ["--scenario", "idle", "--connections", connections])
        result = load.result(proxy, title, 0)
        if result["units"] != connections:
            raise BenchError(f"{proxy.title}: only {result['units']} of {connections} idle "
                             "connections came about")
        added[proxy.name] = (proxy.memory()["Pss"] - before) / connections
        load.end_idle(proxy)
    to_haproxy = {name: value for name, value in added.items() if name != "nginx"}
    return {"connections": connections, "bytes": added,
            **goal_of(best_ratio(to_haproxy), IDLE_GOAL),
            "limit_bytes": IDLE_BYTES}
