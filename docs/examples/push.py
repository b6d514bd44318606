"""Makes an owner's backends in a pool exactly a list; what others own there stays.

    push.py web 10.0.0.5:80 10.0.0.6:80=50        with weight 50 for the second
    list-my-servers | push.py web                 one a line, from stdin
"""
import argparse, sys, time, uuid

import grpc

from stubs import connect, explain, pb, res

parser = argparse.ArgumentParser(usage=__doc__)
parser.add_argument("pool")
parser.add_argument("backends", nargs="*", metavar="ADDRESS[=WEIGHT]")
parser.add_argument("--owner", default="api:push")
parser.add_argument("--allow-mass-removal", action="store_true")
arguments = parser.parse_args()

specs = []
for word in arguments.backends or sys.stdin.read().split():
    address, _, weight = word.partition("=")
    specs.append(res.BackendSpec(address=address, weight=int(weight) if weight else None))
if not specs and not arguments.allow_mass_removal:
    sys.exit("push: the list is empty; --allow-mass-removal if that is meant")

request = pb.ApplyRequest(
    owner=arguments.owner, allow_mass_removal=arguments.allow_mass_removal, comment="push.py",
    request_id=str(uuid.uuid4()),  # sent again, it is answered again and not done again
    ops=[pb.Op(replace_backends=pb.BackendSet(pool=arguments.pool, backends=specs))])
stub = connect()
for attempt in range(5):
    try:
        reply = stub.Apply(request, timeout=10)
        break
    except grpc.RpcError as error:
        reason, text = explain(error)
        if reason == "CAPABILITY" and request.request_id and "request_id" in text:
            # A daemon that does not know it yet. Without it a write that is sent again is safe as
            # well here: replace_backends says what should be, not what to change.
            request.request_id = ""
            continue
        print(text, file=sys.stderr)
        if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            sys.exit(1)
        time.sleep(2 ** attempt / 5)
else:
    sys.exit("push: gave up; the last write may have been made")

for warning in reply.warnings:
    print(f"warning: {warning}", file=sys.stderr)
done = reply.results[0]
print(f"revision {reply.revision} {'replayed' if reply.replayed else 'in force'}:"
      f" {done.added} added, {done.updated} updated, {done.removed} removed")
