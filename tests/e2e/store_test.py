"""The state folder: what was acknowledged survives kill -9, a full disk and a damaged database."""

import json
import os
import resource
import signal
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

from harness import (BIN, LIMIT, ApiError, TestCase, ctl, http_get, main, override, put_listener,
                     put_pool, remaining, remove, res, upsert)


class StoreTest(TestCase):
    def start_stored(self, *arguments, **options):
        daemon = self.start_sidelb(*arguments, "--state-dir", f"{self.folder}/state", **options)
        return daemon, self.connect(daemon)

    def cli(self, daemon, *arguments):
        done = subprocess.run([BIN / "sidelb-cli", "--endpoint", daemon.endpoint, *arguments],
                              capture_output=True, text=True, timeout=LIMIT, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def conditions(self, client):
        return {c.code: c.detail for c in client.info().conditions}

    def wait_condition(self, client, code, is_there):
        """Waits until GetInfo has the condition, or no longer."""
        end = time.monotonic() + LIMIT
        while (code in self.conditions(client)) != is_there:
            self.assertGreater(remaining(end), 0, f"{code} did not {'come' if is_there else 'go'}")

    def test_no_acknowledged_change_is_lost_by_kill_9(self):
        acknowledged = {}
        revision = 0
        for life in range(5):
            daemon, client = self.start_stored()
            self.assertGreaterEqual(client.info().revision, revision)
            found = {b.address for b in client.state(page_size=2000).state.backends}
            self.assertEqual(set(acknowledged) - found, set(), f"lost before life {life}")
            if life == 0:
                client.apply(put_pool("web"))
            lock = threading.Lock()
            enough = threading.Event()

            def write(number, client=client, life=life, lock=lock, enough=enough):
                for i in range(10_000):
                    address = f"10.{life}.{number}.{i % 250 + 1}:{1 + i // 250}"
                    try:
                        reply = client.apply(upsert("web", address),
                                             wait=ctl.WAIT_FOR_COMMITTED)
                    except ApiError:
                        return  # killed
                    with lock:
                        acknowledged[address] = reply.revision
                        if len(acknowledged) >= 40 * (life + 1):
                            enough.set()

            writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
            for writer in writers:
                writer.start()
            self.assertTrue(enough.wait(LIMIT))
            daemon.kill()
            client.close()
            for writer in writers:
                writer.join(LIMIT)
            revision = max(acknowledged.values())
        _, client = self.start_stored()
        found = {b.address for b in client.state(page_size=2000).state.backends}
        self.assertEqual(set(acknowledged) - found, set())
        self.assertGreaterEqual(client.info().revision, revision)

    def test_state_overrides_replies_and_audit_survive(self):
        backend = self.start_backend("A")
        daemon, client = self.start_stored()
        client.apply(put_pool("web"), upsert("web", backend.address, "127.0.0.1:9"),
                     put_listener("front", "web"))
        client.apply(override("web", "127.0.0.1:9", admin_state=res.ADMIN_STATE_DRAINING,
                              reason="broken fan"))
        first = client.apply(upsert("web", "127.0.0.1:10", zone="b"), request_id="once",
                             comment="grow")
        with self.assert_api_error("NOT_FOUND", "POOL_NOT_FOUND"):
            client.apply(upsert("nowhere", "127.0.0.1:10"), request_id="refused")
        revision, epoch = client.info().revision, client.info().epoch
        before = self.cli(daemon, "export")
        daemon.kill()

        daemon, client = self.start_stored()
        info = client.info()
        self.assertEqual(info.revision, revision)
        self.assertNotEqual(info.epoch, epoch)
        self.assertEqual((info.store.kind, info.store.connected), ("sqlite", True))
        self.assertEqual(self.cli(daemon, "export"), before)
        self.assertEqual(client.backends("web")["127.0.0.1:9"].status.state,
                         res.BACKEND_STATE_DRAINING)
        client.wait_serving("web", backend.address)
        self.assertEqual(http_get(client.listen_address("front")), "A")

        again = client.apply(upsert("web", "127.0.0.1:10", zone="b"), request_id="once",
                             comment="grow")
        self.assertTrue(again.replayed)
        self.assertEqual((again.revision, again.results), (first.revision, first.results))
        with self.assert_api_error("INVALID_ARGUMENT", "REQUEST_ID_REUSED"):
            client.apply(upsert("web", "127.0.0.1:11"), request_id="once")

        entries = client._call(client._stub.ListAudit, ctl.ListAuditRequest()).entries
        codes = [(e.request_id, e.code, e.error_reason) for e in entries]
        self.assertEqual(codes[:3], [("once", 3, "REQUEST_ID_REUSED"),
                                     ("refused", 5, "POOL_NOT_FOUND"), ("once", 0, "")])
        self.assertEqual(entries[2].comment, "grow")
        self.assertEqual(len(entries), 5)

    def test_a_full_disk_refuses_changes_while_traffic_goes_on(self):
        backend = self.start_backend("A")
        daemon, client = self.start_stored()
        client.apply(put_pool("web"), upsert("web", backend.address), put_listener("front", "web"))
        client.wait_serving("web", backend.address)
        address = client.listen_address("front")
        traffic = self.start_traffic(address, threads=2)
        state = self.cli(daemon, "export")

        # No file of the process may grow beyond what the WAL has now: writes fail with EFBIG.
        size = os.stat(f"{self.folder}/state/state.db-wal").st_size
        _, hard = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (size, hard))
        with self.assert_api_error("UNAVAILABLE", "STORE_UNAVAILABLE"):
            for i in range(200):  # what is left of the file takes some
                client.apply(upsert("web", *(f"10.9.{i}.{j}:80" for j in range(1, 50))))
                state = self.cli(daemon, "export")
        self.wait_condition(client, "STORE_FAILING", True)
        self.assertFalse(client.info().store.connected)
        self.assertEqual(self.cli(daemon, "export"), state)
        self.assert_all_answered(traffic.wait_for(20))

        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (hard, hard))
        client.apply(put_pool("after"))
        self.wait_condition(client, "STORE_FAILING", False)
        self.assert_all_answered(traffic.stop())
        state = self.cli(daemon, "export")
        daemon.kill()
        daemon, client = self.start_stored()
        self.assertEqual(self.cli(daemon, "export"), state)

    def test_a_damaged_database_is_kept_aside_and_told(self):
        daemon, client = self.start_stored()
        client.apply(put_pool("web"))
        daemon.stop()
        database = Path(self.folder, "state", "state.db")
        damaged = b"no database" * 1000
        database.write_bytes(damaged)

        daemon, client = self.start_stored()
        self.assertIn("STORE_CORRUPT", self.conditions(client))
        self.assertEqual(len(client.state().state.pools), 0)
        aside = list(database.parent.glob("state.db.corrupt-*"))
        self.assertEqual([path.read_bytes() for path in aside], [damaged])
        client.apply(put_pool("new"))
        daemon.stop()
        _, client = self.start_stored()
        self.assertEqual([p.name for p in client.state().state.pools], ["new"])

    def test_another_daemon_another_version_and_no_folder_are_refused(self):
        daemon, _ = self.start_stored()
        second = self.start_program("sidelb", "--control", f"unix:{self.folder}/other.sock",
                                    "--status-socket", "none", "--state-dir",
                                    f"{self.folder}/state")
        self.assertEqual(second.wait(), 1)
        self.assertRegex(second.text(), f"another sidelb uses it .process {daemon.pid}.")
        daemon.stop()

        with sqlite3.connect(f"{self.folder}/state/state.db") as database:
            database.execute("PRAGMA user_version=99")
        database.close()
        later = self.start_program("sidelb", "--control", f"unix:{self.folder}/other.sock",
                                   "--status-socket", "none", environment={
                                       "SIDELB_STATE_DIR": f"{self.folder}/state"})
        self.assertEqual(later.wait(), 1)
        self.assertIn("version 99, this sidelb reads version 1", later.text())

        nowhere = self.start_program("sidelb", "--control", f"unix:{self.folder}/other.sock",
                                     "--status-socket", "none", "--state-dir", "/proc/none")
        self.assertEqual(nowhere.wait(), 1)
        self.assertIn("--state-dir /proc/none: cannot be made", nowhere.text())

    def test_a_listener_whose_port_is_taken_does_not_stop_the_start(self):
        daemon, client = self.start_stored()
        client.apply(put_pool("web"), put_listener("free", "web"))
        holder = self.start_backend("holder")
        taken = holder.address
        holder.signal(signal.SIGTERM)
        holder.wait()
        client.apply(put_listener("taken", "web", taken))
        daemon.stop()
        holder = self.start_backend("holder", listen=taken)

        _, client = self.start_stored()
        self.assertIn("LISTENER_FAILED", self.conditions(client))
        listeners = {x.name: x.status for x in client.state().state.listeners}
        self.assertTrue(listeners["free"].bound)
        self.assertFalse(listeners["taken"].bound)
        holder.signal(signal.SIGTERM)
        holder.wait()
        self.wait_condition(client, "LISTENER_FAILED", False)
        self.assertEqual(client.listen_address("taken"), taken)

    def test_arguments_do_not_undo_what_was_acknowledged(self):
        backend = self.start_backend("A")
        arguments = ("127.0.0.1:0", f"backends={backend.address}")
        daemon, client = self.start_stored(*arguments)
        client.apply(ctl.Op(set_mode=ctl.SetMode(pool="default", mode=res.MODE_MAGLEV)),
                     override("default", backend.address, weight=7))
        daemon.kill()

        _, client = self.start_stored(*arguments)
        pools = {p.name: p.mode for p in client.state().state.pools}
        self.assertEqual(pools, {"default": res.MODE_MAGLEV})
        self.assertEqual(client.backends()[backend.address].effective.weight, 7)


if __name__ == "__main__":
    main()
