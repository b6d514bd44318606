"""Keeps backends in a pool for as long as it runs; when it dies without a word, they drain.

    lease.py api:nomad web 10.0.0.5:80 10.0.0.6:80 --ttl 30

SIGTERM and Ctrl-C release the lease: then the backends stay, as of an owner without one. Exit code
3 means that another holder acts for this owner; --take-over makes this one the holder.
"""
import argparse, os, signal, socket, sys, threading

import grpc

from stubs import connect, explain, pb, res

parser = argparse.ArgumentParser(usage=__doc__)
parser.add_argument("owner")
parser.add_argument("pool")
parser.add_argument("backends", nargs="+", metavar="ADDRESS")
parser.add_argument("--ttl", type=int, default=30, help="seconds, at least 5")
parser.add_argument("--take-over", action="store_true")
arguments = parser.parse_args()
holder = f"{socket.gethostname()}:{os.getpid()}"  # one process, not one program

stopping = threading.Event()
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: stopping.set())
stub = connect()
renewal = pb.RenewLeaseRequest(owner=arguments.owner, holder=holder, take_over=arguments.take_over)
renewal.ttl.FromSeconds(arguments.ttl)
backends = pb.Op(upsert_backends=pb.BackendSet(
    pool=arguments.pool, backends=[res.BackendSpec(address=a) for a in arguments.backends]))
epoch = ""
while not stopping.is_set():
    try:
        reply = stub.RenewLease(renewal, timeout=5)
        renewal.take_over = False  # once: whoever takes over from this one wins
        if reply.epoch != epoch:  # the first time, and after a restart, which may have lost them
            # With the holder the write is fenced: it is refused once another has the lease.
            stub.Apply(pb.ApplyRequest(owner=arguments.owner, holder=holder, ops=[backends]),
                       timeout=10)
            epoch = reply.epoch
            print(f"{holder} holds {arguments.owner}", flush=True)
        stopping.wait(reply.renew_after.ToNanoseconds() / 1e9)
    except grpc.RpcError as error:
        reason, text = explain(error)
        print(text, file=sys.stderr)
        if reason == "SESSION_SUPERSEDED":
            sys.exit(3)  # touch nothing any more: the other holder decides
        if not epoch and error.code() != grpc.StatusCode.UNAVAILABLE:
            sys.exit(1)  # later on, the pool of a daemon that was restarted may yet come back
        stopping.wait(1)
renewal.release = True
try:
    stub.RenewLease(renewal, timeout=5)
    print("released")
except grpc.RpcError as error:
    sys.exit(explain(error)[1])
