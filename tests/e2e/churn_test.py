"""A thousand changes over gRPC under 200 busy connections: none breaks, no byte changes.

Every connection goes through the daemon to an echo server of this test, whose first byte says which
one it is. The figures of the run go to stderr; SIDELB_CHURN_SEED repeats its changes.
"""

import collections
import errno
import os
import random
import selectors
import socket
import sys
import threading
import time

from harness import (LIMIT, TestCase, ctl, drain_of, main, override, put_listener, put_pool, remove,
                     res, split_address)

BACKENDS = 12
CONNECTIONS = 200
CHANGES = 200 if os.environ.get("SIDELB_SANITIZE") == "address" else 1000
SECONDS = 20  # after which a run ends, whatever is left of its changes
SOURCES = 64  # client addresses, for the hash modes
MIN_SERVING = 3
LARGEST = 64 * 1024
READ = 256 * 1024
BIND_ADDRESS_NO_PORT = 24  # IP_BIND_ADDRESS_NO_PORT
MODES = (res.MODE_ROUND_ROBIN, res.MODE_LEAST_CONNECTIONS, res.MODE_P2C, res.MODE_RANDOM,
         res.MODE_SOURCE_HASH, res.MODE_MAGLEV)

# A connection that learned its backend: when it began, when it knew, which backend.
Landing = collections.namedtuple("Landing", "began known backend")


class Peer:
    """A socket of the loop; `on_events(mask)` is called for what it waits for."""

    def __init__(self, loop, sock):
        self.loop = loop
        self.socket = sock
        sock.setblocking(False)
        self.mask = selectors.EVENT_READ
        loop.selector.register(sock, self.mask, self)
        self.out = memoryview(b"")

    def want(self, mask):
        if mask != self.mask:
            self.mask = mask
            self.loop.selector.modify(self.socket, mask, self)

    def flush(self):
        """Sends what there is; True when nothing is left."""
        while self.out:
            try:
                self.out = self.out[self.socket.send(self.out):]
            except BlockingIOError:
                self.want(selectors.EVENT_READ | selectors.EVENT_WRITE)
                return False
        self.want(selectors.EVENT_READ)
        return True

    def close(self):
        self.loop.selector.unregister(self.socket)
        self.socket.close()


class Acceptor(Peer):
    def __init__(self, loop, number):
        super().__init__(loop, socket.create_server(("127.0.0.1", 0), backlog=1024))
        self.number = number
        self.address = "%s:%d" % self.socket.getsockname()

    def on_events(self, _):
        while True:
            try:
                accepted, _ = self.socket.accept()
            except BlockingIOError:
                return
            Echo(self.loop, accepted, self.number)


class Echo(Peer):
    """The server's side: its number, then what came. A probe's end, a RST, is no fault."""

    def __init__(self, loop, sock, number):
        super().__init__(loop, sock)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.out = memoryview(bytes([number]))
        self.is_ended = False
        self.on_events(0)

    def on_events(self, _):
        try:
            while self.flush():
                if self.is_ended:
                    return self.close()
                data = self.socket.recv(READ)
                self.is_ended = not data
                self.out = memoryview(data)
        except BlockingIOError:
            pass
        except OSError:
            self.close()


class Caller(Peer):
    """The client's side: sends chunks, checks every byte of the echo, ends with FIN and FIN."""

    def __init__(self, loop):
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_IP, BIND_ADDRESS_NO_PORT, 1)
        sock.bind((f"127.0.2.{loop.random.randrange(1, SOURCES + 1)}", 0))
        super().__init__(loop, sock)
        self.began = time.monotonic()
        self.backend = None
        self.expected = memoryview(b"")
        self.left = loop.random.randrange(1, 12)  # exchanges
        result = sock.connect_ex(loop.target)
        if result not in (0, errno.EINPROGRESS):
            self.fail(OSError(result, os.strerror(result)))

    def on_events(self, _):
        try:
            while True:
                self.flush()
                data = self.socket.recv(READ)
                if not data:
                    return self.end()
                self.take(memoryview(data))
        except BlockingIOError:
            pass
        except OSError as error:
            self.fail(error)

    def take(self, data):
        if self.backend is None:
            self.backend = data[0]
            self.loop.landings.append(Landing(self.began, time.monotonic(), self.backend))
            data = data[1:]
            self.next_exchange()
        if data != self.expected[:len(data)]:
            raise OSError("bytes came back changed, or more than were sent")
        self.expected = self.expected[len(data):]
        if data and not self.expected:
            self.loop.exchanges += 1
            self.next_exchange()

    def next_exchange(self):
        if self.left == 0 or self.loop.is_stopping:
            self.left = 0
            self.socket.shutdown(socket.SHUT_WR)
            return
        self.left -= 1
        size = min(LARGEST, int(2 ** self.loop.random.uniform(0, 16.01)))
        begin = self.loop.random.randrange(len(self.loop.noise) - size)
        self.out = self.expected = self.loop.noise[begin:begin + size]
        self.loop.bytes += size

    def end(self):
        if self.backend is None or self.left or self.expected:
            raise OSError(f"it ended early: {len(self.expected)} bytes and {self.left} exchanges "
                          "are missing")
        self.close()
        self.loop.on_finished(self)

    def fail(self, error):
        self.close()
        self.loop.failures.append(
            f"backend {self.backend}, after {time.monotonic() - self.began:.3f} s: {error}")
        self.loop.on_finished(self)


class Loop:
    """Callers and echo servers, in one thread. Figures may be read at any time."""

    def __init__(self, seed):
        self.selector = selectors.DefaultSelector()
        self.random = random.Random(seed)
        self.noise = memoryview(self.random.randbytes(4 * LARGEST))
        self.target = None
        self.landings = []
        self.failures = []
        self.exchanges = 0
        self.bytes = 0
        self.finished = 0
        self.running = 0
        self.is_stopping = False
        self.acceptors = [Acceptor(self, number) for number in range(BACKENDS)]
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self, address):
        self.target = split_address(address)
        self._thread.start()

    def _run(self):
        for _ in range(CONNECTIONS):
            self.running += 1
            Caller(self)
        while self.running:
            for key, mask in self.selector.select(1):
                key.data.on_events(mask)

    def on_finished(self, caller):
        self.finished += 1
        self.running -= 1
        # One that fails at once takes no new one along: a broken daemon would spin.
        if not self.is_stopping and len(self.failures) < CONNECTIONS:
            self.running += 1
            Caller(self)

    def stop(self):
        """Lets every connection end its exchange and close; True when all of them did."""
        self.is_stopping = True
        if self._thread.ident is not None:
            self._thread.join(LIMIT)
        return not self._thread.is_alive()

    def close(self):
        if self.stop():
            for key in list(self.selector.get_map().values()):
                key.fileobj.close()
            self.selector.close()


class Script:
    """Makes the changes, and keeps what the backends must have seen of them."""

    def __init__(self, client, acceptors, seed):
        self.client = client
        self.random = random.Random(seed)
        self.addresses = [acceptor.address for acceptor in acceptors]
        self.present = set()
        self.drained = set()
        self.others = {}  # pool -> listener, None without
        self.made = collections.Counter()
        self.out_since = {}  # backend -> (when APPLIED came, its `selected` then or None)
        self.out_windows = []  # (backend, from, to): no connection may have begun and landed within
        self.selected_after = []  # what moved though it must not
        self.settings = 0
        self.serial = 0

    def begin(self):
        backends = range(BACKENDS // 2)
        self.client.apply(put_pool("web"), put_listener("front", "web"), self._put(*backends))
        self.present.update(backends)
        return self.client.listen_address("front")

    def _put(self, *numbers):
        return ctl.Op(upsert_backends=ctl.BackendSet(pool="web", backends=[
            res.BackendSpec(address=self.addresses[number], weight=self.random.randrange(1, 1000))
            for number in numbers]))

    def step(self):
        serving = sorted(self.present - self.drained)
        absent = sorted(set(range(BACKENDS)) - self.present)
        choices = [self.switch_mode, self.set_listener, self.reweigh, self.change_others]
        if absent:
            choices += [self.add] * 3
        if self.drained:
            choices += [self.enable] * 3
        if len(serving) > MIN_SERVING:
            choices += [self.drain, self.remove] * 3
        change = self.random.choice(choices)
        change()
        self.made[change.__name__] += 1

    def apply(self, *ops):
        reply = self.client.apply(*ops, allow_mass_removal=True)  # the guard has its own test
        if reply.reached != ctl.WAIT_FOR_APPLIED:
            raise AssertionError(f"reached {reply.reached}, {reply.pending} pending")

    def add(self):
        number = self.random.choice(sorted(set(range(BACKENDS)) - self.present))
        self.comes_back(number)
        self.apply(self._put(number))
        self.present.add(number)

    def remove(self):
        number = self.random.choice(sorted(self.present - self.drained))
        self.apply(remove("web", self.addresses[number],
                          drain=drain_of(30, res.DRAIN_ACTION_KEEP)))
        self.present.discard(number)
        self.is_out(number)

    def drain(self):
        number = self.random.choice(sorted(self.present - self.drained))
        self.apply(override("web", self.addresses[number],
                            admin_state=res.ADMIN_STATE_DRAINING))
        self.drained.add(number)
        self.is_out(number)

    def enable(self):
        number = self.random.choice(sorted(self.drained))
        self.comes_back(number)
        self.apply(ctl.Op(set_override=ctl.SetOverride(
            pool="web", selector=ctl.Selector(addresses=[self.addresses[number]]), clear=True)))
        self.drained.discard(number)

    def reweigh(self):
        self.apply(self._put(*self.random.sample(sorted(self.present), 2)))

    def switch_mode(self):
        self.apply(ctl.Op(set_mode=ctl.SetMode(pool="web", mode=self.random.choice(MODES))))

    def set_listener(self):
        self.settings += 1
        listener = res.Listener(
            name="front", pool="web", address="127.0.0.1:0",
            max_connections=self.random.choice((0, 10 * CONNECTIONS + self.settings)),
            connect_attempts=self.random.randrange(2, 6))
        listener.idle_timeout.FromSeconds(LIMIT + self.settings)
        listener.half_close_timeout.FromSeconds(LIMIT + self.settings)
        listener.connect_timeout.FromSeconds(self.random.randrange(10, LIMIT))
        self.apply(ctl.Op(put_listener=listener))

    def change_others(self):
        """Pools and listeners beside that of the traffic come and go."""
        if len(self.others) < 4:
            self.serial += 1
            name = f"other-{self.serial}"
            self.apply(put_pool(name, self.random.choice(MODES)), put_listener(name, name),
                       ctl.Op(upsert_backends=ctl.BackendSet(pool=name, backends=[
                           res.BackendSpec(address=address)
                           for address in self.random.sample(self.addresses, 3)])))
            self.others[name] = name
            return
        name = self.random.choice(sorted(self.others))
        if self.others[name]:
            self.apply(ctl.Op(remove_listener=name))
            self.others[name] = None
        else:
            self.apply(ctl.Op(remove_pool=ctl.RemovePool(pool=name, force=True)))
            del self.others[name]

    def selected(self, number):
        """None when the daemon has forgotten the backend, its sessions being over."""
        for row in self.client.stats(pools=["web"], kinds=[ctl.OBJECT_KIND_BACKEND],
                                     backends=ctl.Selector(addresses=[self.addresses[number]])):
            return row.selected
        return None

    def is_out(self, number):
        """The change that took it out of service has just been answered: it is APPLIED."""
        applied = time.monotonic()
        self.out_since[number] = (applied, self.selected(number))

    def comes_back(self, number):
        """Before the change that takes it into service."""
        if number not in self.out_since:
            return
        applied, before = self.out_since.pop(number)
        after = self.selected(number)
        self.out_windows.append((number, applied, time.monotonic()))
        if None not in (before, after) and before != after:
            self.selected_after.append(f"backend {number}: {before} picks when its change was "
                                       f"applied, {after} later")

    def end(self):
        for number in list(self.out_since):
            self.comes_back(number)


def wrong_landings(landings, windows):
    """Connections that began and landed while their backend was out: nothing explains them. And
    how many windows saw a connection begin and land anywhere."""
    wrong = []
    tested = 0
    for backend, begin, end in windows:
        within = [x for x in landings if begin < x.began and x.known < end]
        tested += bool(within)
        wrong += [f"backend {backend} got a connection {x.began - begin:.4f} s after it was out"
                  for x in within if x.backend == backend]
    return wrong, tested


class Churn(TestCase):

    def test_a_thousand_changes_break_no_connection_and_lose_no_byte(self):
        seed = int(os.environ.get("SIDELB_CHURN_SEED", time.time_ns() % 2**32))
        print(f"SIDELB_CHURN_SEED={seed}", file=sys.stderr)
        # Callers and calls share the interpreter: a call must not wait 5 ms for its turn.
        interval = sys.getswitchinterval()
        sys.setswitchinterval(0.0005)
        self.addCleanup(sys.setswitchinterval, interval)
        loop = self.keep(Loop(seed))
        client = self.connect(self.start_sidelb("--shards", "2"))
        script = Script(client, loop.acceptors, seed)
        loop.start(script.begin())

        began = time.monotonic()
        while sum(script.made.values()) < CHANGES and time.monotonic() < began + SECONDS:
            script.step()
        took = time.monotonic() - began
        script.end()
        exchanges = loop.exchanges
        self.assertTrue(loop.stop(), "connections hang")

        made = sum(script.made.values())
        wrong, tested = wrong_landings(loop.landings, script.out_windows)
        print(f"{made} changes in {took:.1f} s ({made / took:.0f}/s), meanwhile {exchanges} "
              f"exchanges; in all {loop.finished} connections, {loop.bytes / 1e6:.0f} MB each way; "
              f"{tested} of {len(script.out_windows)} times that a backend was out connections "
              f"began and landed; {dict(script.made)}", file=sys.stderr)
        self.assertEqual(loop.failures, [])
        self.assertEqual(wrong, [])
        self.assertEqual(script.selected_after, [])
        self.assertGreater(tested, 0)
        self.assertEqual(len(script.made), 8, script.made)
        self.assert_the_daemon_saw_no_failure(client, loop)

    def assert_the_daemon_saw_no_failure(self, client, loop):
        front, = client.stats(kinds=[ctl.OBJECT_KIND_LISTENER], listeners=["front"])
        web, = client.stats(kinds=[ctl.OBJECT_KIND_POOL], pools=["web"])
        self.assertEqual(front.total, loop.finished)
        self.assertEqual((front.rejected, front.connect_errors, front.resets), (0, 0, 0))
        self.assertEqual((web.rejected, web.connect_errors, web.resets), (0, 0, 0))


if __name__ == "__main__":
    main()
