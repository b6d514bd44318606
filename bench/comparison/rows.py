"""The rows: what is measured, in which unit, and what SideLB should reach."""

from dataclasses import dataclass

from comparison.proxy import BULK, TCP, UDP, UDP_NEW


@dataclass(frozen=True)
class Row:
    key: str
    title: str
    unit: str  # of the CPU figure
    purpose: str  # the listener
    load: str  # arguments of sidelb-load
    goal: float | None  # CPU to that of the best peer
    divisor: float = 1  # units of the load generator in one unit of work
    scale: float = 1e6  # seconds to the unit shown
    p99_goal: float | None = None  # p99 to that of the best peer
    has_latency: bool = True

    def cost(self, sample):
        return sample["proxy_cpu_seconds"] * self.scale / (sample["units"] / self.divisor)

    def rate(self, sample):
        return sample["units"] / self.divisor / sample["seconds"]


def burst(key, title, flows, segments):
    return Row(key, title, "us/datagram", UDP,
               f"--scenario udp-burst --connections {flows} --depth 32 --size 1200{segments}", 0.40)


BULK_UNIT = {"unit": "s/GB", "divisor": 1e9, "scale": 1, "has_latency": False}

DOWN = "--scenario down --connections 4"
UP = "--scenario up --connections 4"

ROWS = [
    Row("setup", "connection set-up, FIN close", "us/connection", TCP,
        "--scenario setup --connections 32 --sources 32", 0.97, p99_goal=1.0),
    Row("rtt", "round trip, 64 x 64 B", "us/round trip", TCP,
        "--scenario rtt --connections 64", 1.0),
    Row("rtt-1000", "round trip, 1000 x 64 B", "us/round trip", TCP,
        "--scenario rtt --connections 1000", 1.0),
    Row("rtt-4k", "round trip, 64 x 4 KiB", "us/round trip", TCP,
        "--scenario rtt --connections 64 --size 4096", 1.0),
    Row("down", "bulk down, 4 streams", purpose=TCP, load=DOWN, goal=0.35, **BULK_UNIT),
    Row("up", "bulk up, 4 streams", purpose=TCP, load=UP, goal=0.35, **BULK_UNIT),
    # Against peers that are set up for bulk alone, beyond what their manuals advise.
    Row("down-bulk", "down, peers tuned for bulk", purpose=BULK, load=DOWN, goal=1.0,
        **BULK_UNIT),
    Row("up-bulk", "up, peers tuned for bulk", purpose=BULK, load=UP, goal=1.0, **BULK_UNIT),
    Row("udp", "UDP echo, 64 x 8, 64 B", "us/datagram", UDP,
        "--scenario udp-echo --connections 64 --depth 8", 0.85),
    Row("udp-1200", "UDP echo, 64 x 8, 1200 B", "us/datagram", UDP,
        "--scenario udp-echo --connections 64 --depth 8 --size 1200", 0.85),
    # From many addresses, as the datagrams of many clients come.
    Row("udp-new", "UDP, a session each, 32 at a time", "us/session", UDP_NEW,
        "--scenario udp-session --connections 32 --depth 1 --sources 32", 0.80),
    burst("burst-1", "UDP burst 32 x 1200 B, 1 flow", 1, ""),
    burst("burst-16", "UDP burst 32 x 1200 B, 16 flows", 16, ""),
    burst("burst-1-gso", "the same by UDP_SEGMENT, 1 flow", 1, " --segments"),
    burst("burst-16-gso", "the same by UDP_SEGMENT, 16 flows", 16, " --segments"),
]
