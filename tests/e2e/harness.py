"""What the end-to-end tests share: the programs as processes, a gRPC client, and HTTP traffic.

Every wait is for an event (a notification, a line, the end of a process, an answer) and has the
limit LIMIT. A test fails with what its programs wrote to stderr.

Environment: SIDELB_BIN is the folder of the programs, SIDELB_ROOT the project's root.
"""

import collections
import contextlib
import functools
import importlib.util
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

import grpc

ROOT = Path(os.environ.get("SIDELB_ROOT", Path(__file__).resolve().parents[2]))
BIN = Path(os.environ.get("SIDELB_BIN", ROOT / "build/release/bin"))
LIMIT = 60  # seconds; sanitized programs on a busy machine take a while


def load_api():
    """Generates the Python code of proto/ and returns its modules by name.

    As a user would, with protoc and grpc_python_plugin, into a folder that goes with the process.
    """
    folder = tempfile.TemporaryDirectory(prefix="sidelb-proto.")
    own = Path(folder.name, "own")
    google = Path(folder.name, "google")
    own.mkdir()
    google.mkdir()
    protoc = ["protoc", "-I", ROOT / "proto"]
    subprocess.run(
        [*protoc, f"--python_out={own}", f"--grpc_python_out={own}",
         f"--plugin=protoc-gen-grpc_python={shutil.which('grpc_python_plugin')}",
         "sidelb/v1/resources.proto", "sidelb/v1/control.proto"], check=True)
    # Not on sys.path: a second `google` folder there would hide that of protobuf.
    subprocess.run([*protoc, f"--python_out={google}", "google/rpc/error_details.proto"], check=True)
    sys.path.insert(0, str(own))
    modules = {"folder": folder}
    for name in ("resources_pb2", "control_pb2", "control_pb2_grpc"):
        modules[name] = importlib.import_module(f"sidelb.v1.{name}")
    spec = importlib.util.spec_from_file_location(
        "sidelb_error_details_pb2", google / "google/rpc/error_details_pb2.py")
    modules["error_details_pb2"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(modules["error_details_pb2"])
    return modules


_API = load_api()
res = _API["resources_pb2"]
ctl = _API["control_pb2"]
ctl_grpc = _API["control_pb2_grpc"]
error_details = _API["error_details_pb2"]


def split_address(address):
    host, port = address.rsplit(":", 1)
    return host.strip("[]"), int(port)


def remaining(end):
    return max(0.0, end - time.monotonic())


class Program:
    """A process, with the lines of its stdout and stderr."""

    def __init__(self, name, *arguments, environment=None, command=None):
        self.name = name
        inherited = {key: value for key, value in os.environ.items()
                     if not key.startswith("SIDELB_") and key not in ("NOTIFY_SOCKET",
                                                                      "XDG_RUNTIME_DIR")}
        self.command = command or [str(BIN / name), *map(str, arguments)]
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, errors="replace", env={**inherited, **(environment or {})})
        self.pid = self.process.pid
        self._changed = threading.Condition()
        self._lines = {"stdout": [], "stderr": []}
        self._open = 2
        self._readers = [threading.Thread(target=self._read, args=(kind,), daemon=True)
                         for kind in self._lines]
        for reader in self._readers:
            reader.start()

    def _read(self, kind):
        for line in getattr(self.process, kind):
            with self._changed:
                self._lines[kind].append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def text(self, kind="stderr"):
        with self._changed:
            return "\n".join(self._lines[kind])

    def wait_line(self, pattern, kind="stdout"):
        """The match of the first line in which `pattern` is found."""
        def find():
            for line in self._lines[kind]:
                if match := re.search(pattern, line):
                    return match
            return None
        with self._changed:
            self._changed.wait_for(lambda: find() or self._open == 0, LIMIT)
            match = find()
        if match is None:
            raise AssertionError(f"{self.describe()}: no line matches {pattern!r}")
        return match

    def wait(self):
        """Waits until it ends by itself, returns its exit code (negative: the signal)."""
        try:
            code = self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.describe()} is still running") from None
        for reader in self._readers:
            reader.join(LIMIT)
        return code

    @property
    def is_running(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.wait()

    def close(self):
        """For cleaning up, whatever state it is in."""
        if self.is_running:
            self.signal(signal.SIGKILL)
        self.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def describe(self):
        state = "running" if self.is_running else f"ended with {self.process.returncode}"
        return (f"{' '.join(self.command)}: {state}\n--- its stdout\n{self.text('stdout')}\n"
                f"--- its stderr\n{self.text()}\n---")


class Backend(Program):
    """The demo backend; `address` is where it listens."""

    def __init__(self, name, listen="127.0.0.1:0"):
        super().__init__("sidelb-demo-backend", "--listen", listen, "--name", name)
        self.backend_name = name
        self.address = self.wait_line(r"listens on (\S+)$").group(1)


class SideLb(Program):
    """The daemon, ready to serve when the constructor returns. `endpoint` is its control socket.

    `command`, where given, is what starts it instead of its program, with the arguments added."""

    def __init__(self, folder, *arguments, environment=None, control=None, command=None):
        self.endpoint = control or f"unix:{folder}/control.sock"
        self._notifications = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = f"{folder}/notify.{time.monotonic_ns()}"
        self._socket.bind(path)
        self._socket.setblocking(False)
        if "--status-socket" not in arguments:  # daemons of tests share no place
            arguments = (*arguments, "--status-socket", "none")
        super().__init__("sidelb", environment={"NOTIFY_SOCKET": path, **(environment or {})},
                         command=[*map(str, command or [BIN / "sidelb"]), *map(str, arguments),
                                  "--control", self.endpoint])
        try:
            self.wait_notification("READY=1")
        except AssertionError:
            self.close()
            raise

    def wait_notification(self, wanted):
        """Waits for a line of sd_notify(3)."""
        end = time.monotonic() + LIMIT
        while wanted not in self._notifications:
            # The notifications first: the process may end right after the last one.
            with contextlib.suppress(BlockingIOError):
                self._notifications += self._socket.recv(4096).decode().splitlines()
                continue
            if not self.is_running:
                raise AssertionError(f"{self.describe()} did not say {wanted}")
            # The end of the process closes no socket of ours: a descriptor of the process tells.
            with open_pidfd(self.pid) as process:
                ready, _, _ = select.select([self._socket, process], [], [], remaining(end))
            if not ready:
                raise AssertionError(f"{self.describe()} did not say {wanted} in time")
            self.process.poll()

    def close(self):
        super().close()
        self._socket.close()

    def stop(self):
        """SIGTERM, and the exit code of a daemon that has nothing left to do must be 0."""
        self.signal(signal.SIGTERM)
        code = self.wait()
        if code != 0:
            raise AssertionError(f"{self.describe()}: it should end with 0 after SIGTERM")


@contextlib.contextmanager
def open_pidfd(pid):
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class ApiError(Exception):
    """A refused call: `code` and `reason` of the error, its metadata and its field violations."""

    def __init__(self, error):
        super().__init__(f"{error.code().name}: {error.details()}")
        self.code = error.code()
        self.message = error.details()
        self.reason = ""
        self.metadata = {}
        self.violations = {}  # field -> description
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                self._unpack(error_details.Status.FromString(value))

    def _unpack(self, status):
        for detail in status.details:
            if detail.Is(error_details.ErrorInfo.DESCRIPTOR):
                info = error_details.ErrorInfo()
                detail.Unpack(info)
                self.reason = info.reason
                self.metadata = dict(info.metadata)
            elif detail.Is(error_details.BadRequest.DESCRIPTOR):
                bad = error_details.BadRequest()
                detail.Unpack(bad)
                self.violations = {v.field: v.description for v in bad.field_violations}


class Client:
    """The control service, as a program in another language uses it."""

    def __init__(self, endpoint):
        # Not shared with a client of an earlier daemon at the same endpoint.
        self._channel = grpc.insecure_channel(
            endpoint, options=[("grpc.use_local_subchannel_pool", 1)])
        self._stub = ctl_grpc.ControlServiceStub(self._channel)

    def close(self):
        self._channel.close()

    def _call(self, method, request):
        try:
            return method(request, timeout=LIMIT, wait_for_ready=True)
        except grpc.RpcError as error:
            raise ApiError(error) from None

    def apply(self, *ops, wait=ctl.WAIT_FOR_APPLIED, wait_seconds=LIMIT, **fields):
        """Sends the ops as one batch, and waits until every shard uses it unless told otherwise."""
        request = ctl.ApplyRequest(ops=ops, wait=wait, **fields)
        request.wait_timeout.FromNanoseconds(int(wait_seconds * 1e9))
        return self._call(self._stub.Apply, request)

    def state(self, **fields):
        return self._call(self._stub.GetState, ctl.GetStateRequest(**fields))

    def info(self):
        return self._call(self._stub.GetInfo, ctl.GetInfoRequest())

    def stats(self, **selected):
        """The rows of what the filter selects, all without one."""
        return self._call(self._stub.GetStats,
                          ctl.GetStatsRequest(filter=ctl.Filter(**selected))).rows

    def backends(self, pool="default"):
        """Backends of a pool by address, as they are configured and in force: what nobody
        acknowledged to us, as a change by DNS, can be read before every shard uses it."""
        read = self.state()
        end = time.monotonic() + LIMIT
        while (applied := self.info().applied_revision) < read.revision:
            if time.monotonic() > end:
                raise AssertionError(f"revision {read.revision} is read, {applied} applied")
        return {b.address: b for b in read.state.backends if b.pool == pool}

    def wait_serving(self, pool, *addresses):
        """Waits until probes say that these backends serve."""
        states = {}
        messages = self._stub.Watch(ctl.WatchRequest(filter=ctl.Filter(pools=[pool])),
                                    timeout=LIMIT, wait_for_ready=True)
        with contextlib.ExitStack() as stack:
            stack.callback(messages.cancel)
            for message in messages:
                for backend in [*message.snapshot.state.backends,
                                *(event.backend for event in message.events.events)]:
                    states[backend.address] = (backend.status.state, backend.status.health)
                if all(states.get(address) == (res.BACKEND_STATE_SERVING, res.HEALTH_HEALTHY)
                       for address in addresses):
                    return
        raise AssertionError(f"not all of {addresses} serve: {states}")

    def listen_address(self, listener="default"):
        for item in self.state().state.listeners:
            if item.name == listener:
                return item.status.bound_address
        raise AssertionError(f"no listener {listener!r}")


def put_listener(name, pool, address="127.0.0.1:0"):
    return ctl.Op(put_listener=res.Listener(name=name, pool=pool, address=address))


def put_pool(name, mode=None):
    return ctl.Op(put_pool=res.Pool(name=name, mode=mode or res.MODE_ROUND_ROBIN))


def upsert(pool, *addresses, **spec):
    return ctl.Op(upsert_backends=ctl.BackendSet(
        pool=pool, backends=[res.BackendSpec(address=address, **spec) for address in addresses]))


def remove(pool, *addresses, drain=None, any_owner=False):
    return ctl.Op(remove_backends=ctl.RemoveBackends(
        pool=pool, addresses=addresses, drain=drain, any_owner=any_owner))


def override(pool, *addresses, **parts):
    return ctl.Op(set_override=ctl.SetOverride(
        pool=pool, selector=ctl.Selector(addresses=addresses), override=res.Override(**parts)))


def drain_of(seconds, action=None):
    drain = res.Drain(on_timeout=action or res.DRAIN_ACTION_RESET)
    drain.timeout.FromNanoseconds(int(seconds * 1e9))
    return drain


class HttpSession:
    """One connection over which any number of requests go."""

    def __init__(self, address, limit=LIMIT):
        self._socket = socket.create_connection(split_address(address), limit)
        self._file = self._socket.makefile("rb")

    def get(self, close=False):
        """The name of the backend that answers; OSError when the connection broke."""
        self._socket.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n"
                             + (b"Connection: close\r\n" if close else b"") + b"\r\n")
        if not self._file.readline().startswith(b"HTTP/1.1 200"):
            raise ConnectionResetError("no answer")
        size = 0
        while (line := self._file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            if name.lower() == "content-length":
                size = int(value)
        body = self._file.read(size)
        if not size or len(body) < size:
            raise ConnectionResetError("the answer is cut")
        return body.decode().split()[0]

    def wait_for_end(self):
        """Waits until the other side ends it: "fin" or "reset"."""
        try:
            while self._file.read1(4096):
                pass
            return "fin"
        except ConnectionResetError:
            return "reset"

    def close(self):
        self._file.close()
        self._socket.close()


def http_get(address, limit=LIMIT):
    """One request on a connection of its own; the name of the backend that answers."""
    with contextlib.closing(HttpSession(address, limit)) as session:
        return session.get(close=True)


Request = collections.namedtuple("Request", "started name error ended")


class Traffic:
    """Threads that make one request after the other, each on a new connection, until stopped.

    Each read of a request may take `limit` seconds."""

    def __init__(self, address, threads=4, limit=LIMIT):
        self._address = address
        self._limit = limit
        self._changed = threading.Condition()
        self._requests = []
        self._is_stopping = False
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _work(self):
        while not self._is_stopping:
            started = time.monotonic()
            name = failure = None
            try:
                name = http_get(self._address, self._limit)
            except OSError as error:
                failure = error
            request = Request(started, name, failure, time.monotonic())
            with self._changed:
                self._requests.append(request)
                self._changed.notify_all()

    def after(self, moment):
        """The requests that were started after `moment` and have ended."""
        with self._changed:
            return [r for r in self._requests if r.started > moment]

    def wait_for(self, count, moment=None, name=None):
        """Waits until `count` requests started after `moment` (now) have ended, answered by `name`
        if that is given; returns all that were started after `moment`."""
        moment = time.monotonic() if moment is None else moment
        looked_at = found = 0

        def is_enough():
            nonlocal looked_at, found
            for request in self._requests[looked_at:]:
                found += request.started > moment and name in (None, request.name)
            looked_at = len(self._requests)
            return found >= count
        with self._changed:
            if not self._changed.wait_for(is_enough, LIMIT):
                raise AssertionError(f"only {found} of {count} requests came about "
                                     f"(by {name or 'any backend'})")
        return self.after(moment)

    def stop(self):
        """Ends the threads; returns every request."""
        self._is_stopping = True
        for thread in self._threads:
            thread.join(LIMIT)
        return self._requests


class TestCase(unittest.TestCase):
    """Gives each test a folder and programs that end with it."""

    def setUp(self):
        self.programs = []
        folder = tempfile.TemporaryDirectory(prefix="sidelb-e2e.")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def run(self, result=None):
        result = result or self.defaultTestResult()
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            for program in self.programs:
                print(program.describe(), file=sys.stderr)
        return result

    def keep(self, closable):
        """Closes it at the end of the test, before what was kept earlier."""
        self.addCleanup(closable.close)
        if isinstance(closable, Program):
            self.programs.append(closable)
        return closable

    def start_program(self, name, *arguments, **options):
        return self.keep(Program(name, *arguments, **options))

    def start_backend(self, name, **options):
        return self.keep(Backend(name, **options))

    def start_backends(self, *names):
        return [self.start_backend(name) for name in names]

    def start_sidelb(self, *arguments, **options):
        """A daemon that must still end with 0 at the end of the test, if it has not ended."""
        daemon = self.keep(SideLb(self.folder, *arguments, **options))

        def stop():
            if daemon.is_running:
                daemon.stop()
        self.addCleanup(stop)
        return daemon

    def start_balanced(self, *backends, mode="round-robin", arguments=()):
        """A daemon with a listener in front of `backends`; returns it, a client, the address."""
        daemon = self.start_sidelb("127.0.0.1:0", f"mode={mode}",
                                   "backends=" + ",".join(b.address for b in backends), *arguments)
        client = self.connect(daemon)
        client.wait_serving("default", *(b.address for b in backends))
        return daemon, client, client.listen_address()

    def connect(self, daemon):
        return self.keep(Client(daemon.endpoint))

    def open_session(self, address):
        return self.keep(HttpSession(address))

    def start_traffic(self, address, **options):
        traffic = Traffic(address, **options)
        self.addCleanup(traffic.stop)
        return traffic

    def assert_all_answered(self, requests):
        failed = [r for r in requests if r.error is not None]
        self.assertEqual(failed, [], f"{len(failed)} of {len(requests)} requests failed")

    def assert_reset(self, address):
        """A connection is accepted and reset; the RST may come before connect() returns."""
        try:
            end = self.open_session(address).wait_for_end()
        except ConnectionResetError:
            end = "reset"
        self.assertEqual(end, "reset")

    def wait_until(self, condition, what):
        """For what tells no event: asks until `condition` gives something true, and returns it."""
        end = time.monotonic() + LIMIT
        while not (found := condition()):
            self.assertLess(time.monotonic(), end, f"{what} did not come about")
        return found

    def assert_refused(self, address):
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(split_address(address), LIMIT).close()

    @contextlib.contextmanager
    def assert_api_error(self, code, reason):
        """The block must be refused with them; gives a list to which the error is added."""
        errors = []
        try:
            yield errors
        except ApiError as error:
            self.assertEqual((error.code.name, error.reason), (code, reason), str(error))
            errors.append(error)
        else:
            self.fail(f"nothing was refused; expected {code} {reason}")


main = functools.partial(unittest.main, verbosity=2)
