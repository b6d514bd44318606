"""What the examples share: generated code, a channel, and the details of an error.

    /usr/bin/python3 stubs.py       generates Python code of proto/ into gen/ (or $SIDELB_GEN)

Environment, as for sidelb-cli: SIDELB_ENDPOINT, and for TLS SIDELB_CACERT, SIDELB_CERT, SIDELB_KEY.
"""
import os, shutil, subprocess, sys
from pathlib import Path

import grpc

GEN = Path(os.environ.get("SIDELB_GEN") or Path(__file__).with_name("gen"))
sys.path.insert(0, str(GEN))
if __name__ == "__main__":
    proto = Path(__file__).resolve().parents[2] / "proto"
    GEN.mkdir(parents=True, exist_ok=True)
    subprocess.run(["protoc", "-I", proto, "-I", proto / "google/rpc", f"--python_out={GEN}",
                    f"--plugin=protoc-gen-grpc_python={shutil.which('grpc_python_plugin')}",
                    f"--grpc_python_out={GEN}", "sidelb/v1/resources.proto",
                    "sidelb/v1/control.proto", "error_details.proto"], check=True)
    sys.exit()
sys.stdout.reconfigure(line_buffering=True)
if not (GEN / "error_details_pb2.py").exists():
    sys.exit(f"there is no generated code in {GEN}; run once: {sys.executable} {__file__}")
import error_details_pb2  # noqa: E402
from sidelb.v1 import control_pb2 as pb, control_pb2_grpc, resources_pb2 as res  # noqa: E402

OPTIONS = [("grpc.keepalive_time_ms", 10_000),  # finds a peer that vanished; 5 s is the least
           ("grpc.initial_reconnect_backoff_ms", 200), ("grpc.max_reconnect_backoff_ms", 2_000)]


def connect():
    endpoint = os.environ.get("SIDELB_ENDPOINT", "unix:/run/sidelb/control.sock")
    files = [os.environ.get(f"SIDELB_{name}") for name in ("CACERT", "KEY", "CERT")]
    pems = [Path(file).read_bytes() if file else None for file in files]
    channel = (grpc.secure_channel(endpoint, grpc.ssl_channel_credentials(*pems), OPTIONS)
               if any(pems) else grpc.insecure_channel(endpoint, OPTIONS))
    return control_pb2_grpc.ControlServiceStub(channel)


def fnv1a64(text):  # the digest in a heartbeat is a sum of these
    value = 0xcbf29ce484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001b3 % 2**64
    return value


def explain(error):  # a grpc.RpcError: its reason, as "MASS_REMOVAL" or "", and lines to print
    trailer = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    reason, lines = "", [f"{error.code().name}: {error.details()}"]
    for detail in error_details_pb2.Status.FromString(trailer).details:
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason = info.reason
            lines.append(f"  reason {reason} {dict(info.metadata) or ''}".rstrip())
        elif detail.Unpack(bad):  # which field, and what is allowed
            lines += [f"  {v.field}: {v.description}" for v in bad.field_violations]
    return reason, "\n".join(lines)
