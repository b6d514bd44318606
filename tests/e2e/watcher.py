"""A client of Watch as a user writes one: it keeps a view, and knows where to go on.

A thread reads the stream; the rest may be called by any thread. Every wait has the limit of the
harness and fails with what was received.
"""

import collections
import threading
import time

import grpc

from harness import LIMIT, ctl, ctl_grpc, res

Received = collections.namedtuple("Received", "time kind message")  # kind: the payload's name

# What an event says of a backend, as the names of the proto without their prefixes. `health` is what
# probes say, whatever else keeps it out of use.
Told = collections.namedtuple("Told", "time state reason ineligible health")


def fnv1a64(text):
    value = 0xcbf29ce484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001b3 % 2**64
    return value


def duration_of(seconds):
    duration = ctl.WatchRequest().heartbeat_interval
    duration.FromNanoseconds(int(seconds * 1e9))
    return duration


class View:
    """The objects that a watch has told of, by kind, pool and key."""

    def __init__(self):
        self.objects = {}

    @staticmethod
    def key(kind, item):
        return (kind, item.pool, item.address) if kind == "backend" else (kind, "", item.name)

    def clear(self):
        self.objects.clear()

    def put(self, kind, item):
        self.objects[self.key(kind, item)] = item

    def put_state(self, state):
        for kind, items in (("listener", state.listeners), ("pool", state.pools),
                            ("backend", state.backends)):
            for item in items:
                self.put(kind, item)

    def take(self, event):
        kind = event.WhichOneof("object")
        item = getattr(event, kind)
        if event.kind == ctl.EVENT_KIND_REMOVED:
            self.objects.pop(self.key(kind, item), None)
        else:
            self.put(kind, item)

    def digest(self):
        """Backends without claims only drain: they are no configuration."""
        return sum(fnv1a64(f"{kind}/{pool}/{key}@{item.revision}")
                   for (kind, pool, key), item in self.objects.items()
                   if kind != "backend" or item.claims) % 2**64


class Watcher:
    """One stream. `view` may be that of a former stream, which the resume token then belongs to."""

    def __init__(self, endpoint, view=None, heartbeat_seconds=None, **request):
        # Without a shared connection, as a program of its own.
        self._channel = grpc.insecure_channel(
            endpoint, options=[("grpc.use_local_subchannel_pool", 1)])
        if heartbeat_seconds is not None:
            request["heartbeat_interval"] = duration_of(heartbeat_seconds)
        self.view = view or View()
        self.epoch = ""
        self.position = 0
        self.revision = 0
        self.messages = []  # Received
        self.faults = []  # what the stream did against its promises
        self.error = None  # with which it ended
        self._changed = threading.Condition()
        self._call = ctl_grpc.ControlServiceStub(self._channel).Watch(
            ctl.WatchRequest(**request), wait_for_ready=True)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        error = None
        try:
            for message in self._call:
                received = Received(time.monotonic(), message.WhichOneof("payload"), message)
                with self._changed:
                    self._take(received)
                    self.messages.append(received)
                    self._changed.notify_all()
        except grpc.RpcError as ended:
            error = ended
        with self._changed:
            self.error = error or AssertionError("the stream ended without a status")
            self._changed.notify_all()

    def _take(self, received):
        message = received.message
        if message.position < self.position and message.epoch == self.epoch:
            self.faults.append(f"the position went from {self.position} to {message.position}")
        self.epoch, self.position, self.revision = message.epoch, message.position, message.revision
        if received.kind == "resync":
            self.view.clear()
        elif received.kind == "snapshot":
            self.view.put_state(message.snapshot.state)
        elif received.kind == "events":
            for event in message.events.events:
                self.view.take(event)
        elif received.kind == "heartbeat":
            wanted = message.heartbeat.config_digest
            if wanted and wanted != self.view.digest():
                self.faults.append(f"at position {message.position} the digest is {wanted:#x}, "
                                   f"of the view {self.view.digest():#x}")

    def wait_for(self, matches, begin=0):
        """The first message from index `begin` on for which matches(received) is true."""
        looked_at = begin
        found = None

        def find():
            nonlocal looked_at, found
            while found is None and looked_at < len(self.messages):
                if matches(self.messages[looked_at]):
                    found = self.messages[looked_at]
                looked_at += 1
            return found is not None or self.error is not None
        with self._changed:
            self._changed.wait_for(find, LIMIT)
        if found is None:
            raise AssertionError(f"the watch did not tell it; its end: {self.error}; its last "
                                 f"messages: {[m.message for m in self.messages[-3:]]}")
        return found

    def wait_kind(self, kind, begin=0):
        return self.wait_for(lambda received: received.kind == kind, begin)

    def wait_snapshot(self):
        return self.wait_for(lambda r: r.kind == "snapshot" and r.message.snapshot.last)

    def wait_revision(self, revision):
        """Waits until the view is at least at this revision."""
        return self.wait_for(lambda received: received.message.revision >= revision
                             and not (received.kind == "events" and received.message.events.more))

    def wait_end(self):
        """Waits for the end of the stream; returns its error."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.error is not None, LIMIT):
                raise AssertionError("the watch goes on")
        return self.error

    def wait_backend(self, address, matches, since=0.0):
        """Waits until the backend's status for which matches(Told) is true was told, after the
        moment `since`; returns it."""
        told = None

        def look(received):
            nonlocal told
            for item in backends_in(received):
                candidate = tell(received.time, item)
                if item.address == address and received.time > since and matches(candidate):
                    told = candidate
                    return True
            return False
        self.wait_for(look)
        return told

    def told_of(self, address, since=0.0):
        """All that was told of a backend after a moment."""
        with self._changed:
            messages = [m for m in self.messages if m.time > since]
        return [tell(received.time, item) for received in messages
                for item in backends_in(received) if item.address == address]

    def close(self):
        self._call.cancel()
        self._thread.join(LIMIT)
        self._channel.close()


def backends_in(received):
    if received.kind == "events":
        return [event.backend for event in received.message.events.events
                if event.WhichOneof("object") == "backend"
                and event.kind == ctl.EVENT_KIND_PUT]
    if received.kind == "snapshot":
        return list(received.message.snapshot.state.backends)
    return []


def tell(moment, backend):
    status = backend.status
    return Told(moment, res.BackendState.Name(status.state).removeprefix("BACKEND_STATE_"),
                res.HealthReason.Name(status.reason).removeprefix("HEALTH_REASON_"),
                res.IneligibleReason.Name(status.ineligible_reason)
                .removeprefix("INELIGIBLE_REASON_"),
                res.Health.Name(status.health).removeprefix("HEALTH_"))


def is_serving(told):
    return told.state == "SERVING" and told.ineligible == "UNSPECIFIED"
