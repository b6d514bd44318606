"""A network namespace of its own for the comparison: nothing else's sockets are in it, and the
congestion control is the same on every machine."""

import fcntl
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

from report import BenchError

DEFAULT_CONGESTION = "cubic"  # Debian's
SETTINGS = Path("/proc/sys/net/ipv4")
MARK = "SIDELB_COMPARE_NAMESPACE"  # in the environment of the program that began anew
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def isolate(congestion):
    """Begins this program anew in a namespace, where that is allowed (to root); returns there."""
    if MARK not in os.environ:
        if subprocess.run(["unshare", "--net", "true"], capture_output=True,
                          check=False).returncode != 0:
            if congestion != congestion_control():
                print(f"compare: not in a network of its own, which takes root: TCP is controlled "
                      f"by {congestion_control()} as everywhere on this machine", file=sys.stderr)
            return
        os.environ[MARK] = "1"
        os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])
    raise_loopback()
    if congestion == congestion_control():
        return
    if not congestion:  # which the kernel would take for "as it is"
        raise BenchError("--congestion-control '': a name is needed, such as cubic")
    try:
        (SETTINGS / "tcp_congestion_control").write_text(congestion)
    except OSError as error:
        there = (SETTINGS / "tcp_available_congestion_control").read_text().split()
        raise BenchError(f"--congestion-control '{congestion}': {error.strerror}; this machine "
                         f"has {', '.join(there)}, of which a namespace may use those in "
                         f"net.ipv4.tcp_allowed_congestion_control") from error


def raise_loopback():
    with socket.socket(type=socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def congestion_control():
    return (SETTINGS / "tcp_congestion_control").read_text().strip()
