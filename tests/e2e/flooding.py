"""A flood of connections by callers who have no right to anything."""

import contextlib
import os
import socket
import ssl
import sys
import threading

LIMIT = 60  # seconds


class ConnectionFlood:
    """Threads that open connections as fast as they can and leave them open for a while: with half
    a TLS handshake, with garbage, with a whole handshake but no certificate, and with nothing."""

    HELLO = bytes.fromhex("16030100c8010000c40303")  # the first bytes of a ClientHello
    KINDS = 4
    HELD = 50  # connections that a thread leaves open

    def __init__(self, host, port):
        self._address = (host, port)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE
        self._is_stopping = False
        self._changed = threading.Condition()
        self._count = 0
        self._threads = [threading.Thread(target=self._work, args=(kind,), daemon=True)
                         for kind in range(self.KINDS)]
        for thread in self._threads:
            thread.start()

    def _open(self, kind):
        connection = socket.create_connection(self._address, LIMIT)
        with contextlib.suppress(OSError):
            if kind == 0:
                connection.sendall(self.HELLO)
            elif kind == 1:
                connection.sendall(os.urandom(64))
            elif kind == 2:
                return self._tls.wrap_socket(connection)
        return connection

    def _work(self, kind):
        held = []
        while not self._is_stopping:
            with contextlib.suppress(OSError):
                held.append(self._open(kind))
            if len(held) > self.HELD:
                held.pop(0).close()
            with self._changed:
                self._count += 1
                self._changed.notify_all()
        for connection in held:
            connection.close()

    def wait_for(self, count):
        with self._changed:
            if not self._changed.wait_for(lambda: self._count >= count, LIMIT):
                raise AssertionError(f"the flood made {self._count} connections only")

    def stop(self):
        """Returns how many connections it made or tried to make."""
        self._is_stopping = True
        for thread in self._threads:
            thread.join(LIMIT)
        return self._count


def main():
    """HOST PORT: floods until its standard input ends, then prints the count."""
    flood = ConnectionFlood(sys.argv[1], int(sys.argv[2]))
    sys.stdin.read()
    print(flood.stop())


if __name__ == "__main__":
    main()
