"""What the measuring scripts share: tables, a progress line, options, where they ran."""

import argparse
import os
import platform
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class BenchError(Exception):
    """Something that the reader can mend; its text says how."""


def use_programs(folder):
    """Makes the programs of a folder, and the helpers of the end-to-end tests, those to be used."""
    for name in ("sidelb", "sidelb-demo-backend"):
        if not Path(folder, name).exists():
            raise BenchError(f"there is no {Path(folder, name)}; build it, or name another folder "
                             "with --bin")
    os.environ["SIDELB_BIN"] = str(folder)
    os.environ["SIDELB_ROOT"] = str(ROOT)
    sys.path.insert(0, str(ROOT / "tests/e2e"))


def add_common_options(parser):
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    parser.add_argument("--bin", default=os.environ.get("SIDELB_BIN", ROOT / "build/release/bin"),
                        type=Path, help="folder of the programs (default: %(default)s)")


def between(kind, low, high):
    def convert(text):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"'{text}'; allowed: {low} to {high}")
        return value
    return convert


def words(allowed):
    def split(text):
        chosen = text.split(",")
        for word in chosen:
            if word not in allowed:
                raise argparse.ArgumentTypeError(f"'{word}'; allowed: {', '.join(allowed)}")
        return chosen
    return split


def progress(text):
    """One line on a terminal, which the next one replaces; "" takes it away."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def machine():
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    return (f"{model.group(1) if model else platform.machine()}, {os.cpu_count()} CPUs, "
            f"Linux {platform.release()}, load {os.getloadavg()[0]:.1f}")


def print_table(head, lines, left=1):
    """Aligned; the first `left` columns and the last one to the left, the others to the right."""
    lines = [["-" if cell is None else str(cell) for cell in line] for line in lines]
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]
    for line in [head, *lines]:
        print("  ".join(cell.ljust(width) if i < left or i == len(head) - 1 else cell.rjust(width)
                        for i, (cell, width) in enumerate(zip(line, widths))).rstrip())
