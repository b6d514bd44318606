"""The report as text."""

import os
import sys

MARKS = {None: "", True: "ok", False: "missed"}


def figure(value):
    if value is None:
        return "-"
    if value < 10:
        return f"{value:.3f}"
    return f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def colour(text, code):
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        return f"\033[{code}m{text}\033[0m"
    return text


def coloured(cell):
    if cell.strip() in ("ok", "missed"):
        return colour(cell, 32 if cell.strip() == "ok" else 31)
    return cell


def print_lines(head, lines):
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]
    for line in [head, *lines]:
        cells = [cell.ljust(width) if i < 2 or i == len(head) - 1 else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(line, widths))]
        print("  ".join(coloured(cell) for cell in cells).rstrip())


def goal_cells(result):
    goal = result["goal"]
    return [figure(result["ratio"]), "-" if goal is None else f"<= {goal:.2f}",
            MARKS[result["reached"]]]


def row_lines(row, names):
    """The CPU with its goal, then what is printed beside it."""
    lines = [[row["title"], row["unit"], *[figure(row["median"].get(n)) for n in names],
              *goal_cells(row["cpu"])]]
    lines.append(["", "per second", *[figure(row["per_second"].get(n)) for n in names], "", "", ""])
    if "p50_us" in row:
        lines.append(["", "p50 us", *[figure(row["p50_us"].get(n)) for n in names], "", "", ""])
        cells = goal_cells(row["p99"]) if row["p99"]["goal"] else ["", "", ""]
        lines.append(["", "p99 us", *[figure(row["p99_us"].get(n)) for n in names], *cells])
    return lines


def memory_lines(report, names):
    lines = []
    if idle := report["idle"]:
        limit = idle["limit_bytes"]
        lines.append([f"memory, {idle['connections']} idle", "B/connection",
                      *[figure(idle["bytes"].get(n)) for n in names], *goal_cells(idle)])
        if "sidelb" in idle["bytes"]:
            lines.append(["", "", *["" for _ in names], "", f"<= {limit} B",
                          MARKS[idle["bytes"]["sidelb"] <= limit]])
    if rest := report["rest"]:
        for key, limit in (("anonymous", "<= 6 MB"), ("resident", "<= 22 MB")):
            lines.append([f"at rest, {key}", "MB",
                          *[figure(rest[key][n] / 1e6) if n in rest[key] else "-" for n in names],
                          "", limit, MARKS[rest[f"{key}_reached"]]])
    return lines


def print_report(report, proxies):
    print(f"CPU of the proxy for one unit of work; medians of {report['rounds']} interleaved rounds "
          f"of {report['seconds']:g} s")
    print(f"{report['machine']}; proxy on CPU {report['proxy_cpu']}, load and backends on CPU "
          f"{report['load_cpu']}, one worker thread each")
    for proxy in proxies:
        if proxy.has_cost:
            print(f"  {proxy.title:8} {report['versions'][proxy.name]}")
    print()
    names = [p.name for p in proxies]
    lines = [line for row in report["rows"] for line in row_lines(row, names)]
    lines += memory_lines(report, names)
    if lines:
        print_lines(["row", "unit", *[p.title for p in proxies], "ratio", "goal", ""], lines)
    if report["variants"]:
        print()
        print_lines(["SideLB against itself", "unit", "without", "with", "compared", "goal", ""],
                    [[v["title"], v["unit"], figure(v["without"]), figure(v["with"]),
                      v["compared"] or "-", v["goal"], MARKS[v["reached"]]]
                     for v in report["variants"]])
