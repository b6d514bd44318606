"""--config FILE: read at the start and at SIGHUP; a bad file changes nothing."""

import json
import os
import signal

from harness import TestCase, http_get, main, put_pool, upsert


class Config(TestCase):

    def setUp(self):
        super().setUp()
        self.file = os.path.join(self.folder, "sidelb.json")

    def write(self, *backends, pools=("web",), listeners=("front",), text=None):
        state = {
            "listeners": [{"name": name, "address": "127.0.0.1:0", "pool": pools[0]}
                          for name in listeners],
            "pools": [{"name": name} for name in pools],
            "backends": [{"pool": pools[0], "address": backend.address} for backend in backends],
        }
        with open(self.file, "w", encoding="utf-8") as file:
            file.write(text if text is not None else json.dumps(state))

    def start(self):
        daemon = self.start_sidelb("--config", self.file)
        return daemon, self.connect(daemon)

    def names(self, client):
        state = client.state().state
        return ([one.name for one in state.listeners], [one.name for one in state.pools],
                sorted(one.address for one in state.backends if one.claims))

    def test_the_file_is_in_force_when_the_daemon_is_ready(self):
        a, b = self.start_backends("a", "b")
        self.write(a, b)
        daemon, client = self.start()
        client.wait_serving("web", a.address, b.address)
        address = client.listen_address("front")
        self.assertEqual({http_get(address) for _ in range(4)}, {"a", "b"})
        owners = {claim.owner for one in client.backends("web").values() for claim in one.claims}
        self.assertEqual(owners, {"static"})
        daemon.stop()

    def test_what_export_writes_is_a_configuration(self):
        a, = self.start_backends("a")
        self.write(a)
        daemon, client = self.start()
        before = self.names(client)
        export = self.start_program("sidelb-cli", "--endpoint", daemon.endpoint, "export")
        self.assertEqual(export.wait(), 0, export.describe())
        daemon.stop()
        self.write(text=export.text("stdout"))
        _, client = self.start()
        self.assertEqual(self.names(client), before)

    def test_sighup_reads_it_again_and_leaves_alone_what_others_made(self):
        a, b = self.start_backends("a", "b")
        self.write(a, pools=("web", "spare"))
        daemon, client = self.start()
        client.apply(put_pool("mine"), upsert("mine", "127.0.0.1:9"), upsert("web", "127.0.0.1:8"))
        client.wait_serving("web", a.address)
        address = client.listen_address("front")
        session = self.open_session(address)
        self.assertEqual(session.get(), "a")

        self.write(b)
        daemon.signal(signal.SIGHUP)
        daemon.wait_line("1 listeners, 1 pools, 1 backends of its own", "stderr")
        self.assertEqual(self.names(client)[1], ["mine", "web"])
        self.assertEqual(self.names(client)[2],
                         sorted(["127.0.0.1:8", "127.0.0.1:9", b.address]))
        # The listener kept its socket, the connection its backend.
        self.assertEqual(client.listen_address("front"), address)
        self.assertEqual(session.get(close=True), "a")
        self.assertEqual(session.wait_for_end(), "fin")

    def test_a_bad_file_changes_nothing_and_is_a_condition(self):
        a, b = self.start_backends("a", "b")
        self.write(a)
        daemon, client = self.start()
        before, revision = self.names(client), client.info().revision
        for text, words in (('{"pools": [', "line 1"),
                            ('{"pools": [{"name": "web", "panicPercent": 101}]}',
                             r"pools\[0\]\.panic_percent"),
                            ('{"pools": []}', "names no listener")):
            with self.subTest(text):
                self.write(text=text)
                daemon.signal(signal.SIGHUP)
                daemon.wait_line(f"nothing was changed: .*{words}", "stderr")
                conditions = {one.code: one.detail for one in client.info().conditions}
                self.assertRegex(conditions["CONFIG_REJECTED"], words)
                self.assertEqual((self.names(client), client.info().revision), (before, revision))
        self.write(a, b)
        daemon.signal(signal.SIGHUP)
        daemon.wait_line("1 pools, 2 backends of its own", "stderr")
        self.assertEqual(list(client.info().conditions), [])

    def test_a_bad_file_is_no_start(self):
        for text, words in (('{"pools": {}}', "pools"), ("nonsense", "line 1, column 1")):
            with self.subTest(text):
                self.write(text=text)
                daemon = self.start_program("sidelb", "--config", self.file, "--control",
                                            f"unix:{self.folder}/c.sock", "--status-socket", "none")
                self.assertEqual(daemon.wait(), 1, daemon.describe())
                self.assertIn(self.file, daemon.text())
                self.assertIn(words, daemon.text())


if __name__ == "__main__":
    main()
