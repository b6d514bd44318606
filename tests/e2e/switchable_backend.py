"""A small HTTP server of the test itself, whose port can be made a black hole, or refuse.

A black hole drops what asks for a connection, as a host that is gone does: a packet filter on the
listening socket throws the SYNs away, which needs no privilege. Connections that exist go on. The
connections that the kernel already accepted are answered.
"""

import contextlib
import ctypes
import selectors
import socket
import struct
import threading

from harness import LIMIT, split_address

SO_ATTACH_FILTER = 26
SO_DETACH_FILTER = 27
BPF_RET_NOTHING = struct.pack("HBBI", 0x06, 0, 0, 0)  # accept 0 bytes of the packet


class SwitchableBackend:
    """Answers as the demo backend does, with its name in the first word of the body."""

    def __init__(self, name):
        self.backend_name = name
        body = f"{name} answers\n".encode()
        self._answer = (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
                        % (len(body), body))
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._waker, self._wake = socket.socketpair()
        self._selector.register(self._waker, selectors.EVENT_READ)
        self._listener = None
        self._listen(("127.0.0.1", 0))
        self.address = "%s:%d" % self._listener.getsockname()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _listen(self, address):
        self._listener = socket.create_server(address, backlog=1024)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def black_hole(self):
        code = ctypes.create_string_buffer(BPF_RET_NOTHING)
        self._listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER,
                                  struct.pack("HL", 1, ctypes.addressof(code)))

    def refuse(self):
        with self._lock:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None

    def serve(self):
        """Ends what black_hole() or refuse() began."""
        with self._lock:
            if self._listener is None:
                self._listen(split_address(self.address))
                self._wake.send(b"x")
                return
        self._listener.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)

    def _run(self):
        while not self._is_stopping:
            for key, _ in self._selector.select():
                with self._lock:
                    self._on_readable(key.fileobj)

    def _on_readable(self, sock):
        if sock is self._waker:
            self._waker.recv(16)
        elif sock is self._listener:
            with contextlib.suppress(OSError):
                accepted, _ = self._listener.accept()
                accepted.setblocking(False)
                self._selector.register(accepted, selectors.EVENT_READ)
        elif sock.fileno() >= 0:
            # A request comes in one piece; a probe ends without one, by RST.
            with contextlib.suppress(OSError):
                if sock.recv(4096):
                    sock.send(self._answer)
            self._selector.unregister(sock)
            sock.close()

    def close(self):
        self._is_stopping = True
        self._wake.send(b"x")
        self._thread.join(LIMIT)
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._wake.close()
        self._selector.close()
