"""Follows all that a daemon has, misses nothing, and proves it: watch.py [HEARTBEAT-SECONDS]

Lines begin with + or - (an object), = (the view is whole), ok (a heartbeat with the view's digest),
or ! (what happened to the stream). It connects again by itself and goes on where it was.
"""
import sys, time

import grpc

from stubs import connect, fnv1a64, pb, res


class View(dict):  # (kind, pool, key) -> object
    def put(self, kind, item, is_removed=False):
        key = (kind, item.pool, item.address) if kind == "backend" else (kind, "", item.name)
        self.pop(key, None) if is_removed else self.update({key: item})
        state = [res.BackendState.Name(item.status.state)] if kind == "backend" else []
        print("- " + " ".join(filter(None, key)) if is_removed else
              "+ " + " ".join([*filter(None, key), *state]))

    def digest(self):  # of all but backends without claims, which only drain
        return sum(fnv1a64(f"{kind}/{pool}/{key}@{item.revision}")
                   for (kind, pool, key), item in self.items()
                   if kind != "backend" or item.claims) % 2**64


request = pb.WatchRequest()
request.heartbeat_interval.FromSeconds(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
view, stub = View(), connect()
while True:
    incoming = View()  # takes the place of the view when a snapshot is complete
    try:
        for message in stub.Watch(request, wait_for_ready=True):
            kind = message.WhichOneof("payload")
            if kind == "resync":
                print("!", pb.ResyncReason.Name(message.resync.reason))
                continue  # a snapshot follows
            if kind == "snapshot":
                for field, items in message.snapshot.state.ListFields():
                    for item in items:
                        incoming.put(field.name.removesuffix("s"), item)
                if not message.snapshot.last:
                    continue
                view, incoming = incoming, View()
                print(f"= {len(view)} objects at revision {message.revision}")
            for event in message.events.events:
                if (kind := event.WhichOneof("object")) != "lease":  # they are no part of the view
                    view.put(kind, getattr(event, kind), event.kind == pb.EVENT_KIND_REMOVED)
            if kind == "heartbeat":
                if message.heartbeat.config_digest != view.digest():
                    print("! the view is wrong, by a bug here or there: beginning anew")
                    request.resume_epoch, request.resume_position = "", 0
                    break
                print(f"ok {view.digest():016x} at revision {message.revision}")
            if not message.events.more:  # the middle of a change is no place to go on from
                request.resume_epoch, request.resume_position = message.epoch, message.position
    except grpc.RpcError as error:
        print("!", error.code().name, error.details())
    time.sleep(0.2)
