"""The interleaved run, and its medians."""

import statistics

from comparison.sidelb import SideLb


class Steps:
    """Counts the measurements for the progress line."""

    def __init__(self, total, show):
        self.total = total
        self.done = 0
        self._show = show

    def next(self, text):
        self.done += 1
        self._show(f"{self.done}/{self.total}: {text}")


def participants(row, proxies):
    return [proxy for proxy in proxies if proxy.has(row.purpose)]


def measure(proxies, rows, options, load, steps, samples):
    """One round: takes each row through each proxy, another one first each time."""
    first = samples["rounds"] % len(proxies)
    samples["rounds"] += 1
    for row in rows:
        for proxy in participants(row, proxies[first:] + proxies[:first]):
            steps.next(f"{row.title}: {proxy.title}")
            samples.setdefault((row.key, proxy.name), []).append(
                load.run(proxy, row.purpose, row.load.split(), row.title, options.seconds))


def best_ratio(medians):
    """SideLB to the best peer; None where one of them is missing."""
    peers = [value for name, value in medians.items()
             if name not in (SideLb.name, "direct") and value is not None]
    if medians.get(SideLb.name) is None or not peers:
        return None
    return medians[SideLb.name] / min(peers)


def goal_of(ratio, limit):
    return {"ratio": ratio, "goal": limit,
            "reached": None if None in (ratio, limit) else ratio <= limit}


def summarise(row, proxies, samples):
    """Medians of each figure by proxy, and SideLB's ratios to the best peer."""
    taken = {p: samples[row.key, p.name] for p in participants(row, proxies)}
    costs = {p.name: [row.cost(s) for s in values] for p, values in taken.items() if p.has_cost}
    median = {name: statistics.median(values) for name, values in costs.items()}
    result = {
        "row": row.key, "title": row.title, "unit": row.unit, "median": median,
        "lowest": {name: min(values) for name, values in costs.items()},
        "highest": {name: max(values) for name, values in costs.items()},
        "per_second": {p.name: statistics.median(map(row.rate, values))
                       for p, values in taken.items()},
        "cpu": goal_of(best_ratio(median), row.goal),
    }
    if row.has_latency:
        for key in ("p50_us", "p99_us"):
            result[key] = {p.name: statistics.median(s[key] for s in values)
                           for p, values in taken.items()}
        result["p99"] = goal_of(best_ratio(result["p99_us"]), row.p99_goal)
    return result
