"""Asks a daemon over TLS, with a certificate of one's own, who it takes the caller for.

    mtls.py lb1.example:7000 --cacert ca.pem --cert ops.pem --key ops.key

The other examples do the same by SIDELB_ENDPOINT, SIDELB_CACERT, SIDELB_CERT and SIDELB_KEY.
"""
import argparse, sys
from pathlib import Path

import grpc

from stubs import control_pb2_grpc, explain, pb

parser = argparse.ArgumentParser(usage=__doc__)
parser.add_argument("endpoint", metavar="HOST:PORT")
parser.add_argument("--cacert", type=Path, required=True, help="whose daemons to believe")
parser.add_argument("--cert", type=Path, required=True)
parser.add_argument("--key", type=Path, required=True)
arguments = parser.parse_args()

credentials = grpc.ssl_channel_credentials(
    arguments.cacert.read_bytes(), arguments.key.read_bytes(), arguments.cert.read_bytes())
with grpc.secure_channel(arguments.endpoint, credentials) as channel:
    stub = control_pb2_grpc.ControlServiceStub(channel)
    try:
        info = stub.GetInfo(pb.GetInfoRequest(), timeout=10)
        role = pb.Role.Name(info.role).removeprefix("ROLE_").lower()
        print(f"{info.principal}, {role}, at sidelb {info.version}")
        # What the role does not allow is refused before anything else is looked at.
        stub.Apply(pb.ApplyRequest(validate_only=True, ops=[pb.Op(remove_listener="x")]),
                   timeout=10)
        print("may remove listeners")
    except grpc.RpcError as error:
        sys.exit(explain(error)[1])
