"""Replaces backends without losing a request; goes back when the new ones do not serve in time.

    deploy.py web --add 10.0.0.7:80 10.0.0.8:80 --remove 10.0.0.5:80 10.0.0.6:80 --timeout 30
"""
import argparse, sys

import grpc

from stubs import connect, explain, pb, res

parser = argparse.ArgumentParser(usage=__doc__)
parser.add_argument("pool")
parser.add_argument("--add", nargs="+", required=True, metavar="ADDRESS")
parser.add_argument("--remove", nargs="+", default=[], metavar="ADDRESS")
parser.add_argument("--owner", default="api:deploy")
parser.add_argument("--timeout", type=float, default=30, help="seconds for the new ones to serve")
parser.add_argument("--drain", type=int, default=30, help="seconds until old sessions are reset")
arguments = parser.parse_args()
pool, stub = arguments.pool, connect()


def apply(*ops, wait=pb.WAIT_FOR_APPLIED, timeout=10):
    reply = stub.Apply(pb.ApplyRequest(owner=arguments.owner, ops=ops, wait=wait), timeout=timeout)
    for warning in reply.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return reply


here = pb.Filter(pools=[pool], kinds=[pb.OBJECT_KIND_BACKEND])
mine = {b.address for b in stub.GetState(pb.GetStateRequest(filter=here)).state.backends
        if arguments.owner in (claim.owner for claim in b.claims)}
if foreign := set(arguments.remove) - mine:
    sys.exit(f"deploy: not of {arguments.owner} in this pool: {' '.join(sorted(foreign))}")
old, undo = pb.Selector(addresses=arguments.remove), [pb.Op(remove_backends=pb.RemoveBackends(
    pool=pool, addresses=[a for a in arguments.add if a not in mine]))]
waiting = set(arguments.add)
try:
    apply(pb.Op(upsert_backends=pb.BackendSet(
        pool=pool, backends=[res.BackendSpec(address=a) for a in arguments.add])))
    here.backends.CopyFrom(pb.Selector(addresses=arguments.add))
    for message in stub.Watch(pb.WatchRequest(filter=here), timeout=arguments.timeout):
        for b in [*message.snapshot.state.backends, *(e.backend for e in message.events.events)]:
            serves = b.status.state == res.BACKEND_STATE_SERVING
            (waiting.discard if serves else waiting.add)(b.address)
        if not waiting and not message.events.more:
            break
    print(f"serving: {' '.join(arguments.add)}")
    if arguments.remove:
        drain = res.Override(admin_state=res.ADMIN_STATE_DRAINING, reason="deploy")
        drain.drain.timeout.FromSeconds(arguments.drain)
        undo.append(pb.Op(set_override=pb.SetOverride(pool=pool, selector=old, clear=True)))
        reply = apply(pb.Op(set_override=pb.SetOverride(pool=pool, selector=old, override=drain)),
                      wait=pb.WAIT_FOR_DRAINED, timeout=arguments.drain + 10)
        print(f"drained: {' '.join(arguments.remove)} ({reply.pending} sessions left)")
except (grpc.RpcError, KeyboardInterrupt) as error:
    print(explain(error)[1] if isinstance(error, grpc.RpcError) else "stopped", file=sys.stderr)
    apply(*undo, timeout=10)  # both or none; the old ones never left
    sys.exit(f"deploy: rolled back; not serving: {' '.join(sorted(waiting)) or 'none'}")
apply(pb.Op(remove_backends=pb.RemoveBackends(pool=pool, addresses=arguments.remove)))
