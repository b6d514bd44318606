"""Watch as a client in another language uses it: a view that follows the daemon, and resumes."""

import signal
import time

from harness import (TestCase, ctl, http_get, main, override, put_listener, put_pool, remove, res,
                     upsert)
from watcher import View, Watcher, fnv1a64, is_serving

FAST_PROBES = res.HealthCheck(rise=1, fall=2)
FAST_PROBES.interval.FromMilliseconds(100)
FAST_PROBES.timeout.FromMilliseconds(500)


def probed_pool(name, **fields):
    return ctl.Op(put_pool=res.Pool(name=name, health_check=FAST_PROBES, **fields))


class WatchTestCase(TestCase):

    def watch(self, daemon, **options):
        options = {"heartbeat_seconds": 1, **options}
        return self.keep(Watcher(daemon.endpoint, **options))

    def assert_follows(self, watcher):
        """A heartbeat after what was received up to now must agree with the view."""
        watcher.wait_kind("heartbeat", begin=len(watcher.messages))
        self.assertEqual(watcher.faults, [])

    def objects_in(self, received):
        """What happened to which objects: ("PUT", "backend", "127.0.0.1:1")."""
        told = []
        for event in received.message.events.events:
            kind = event.WhichOneof("object")
            _, _, key = View.key(kind, getattr(event, kind))
            told.append((ctl.EventKind.Name(event.kind).removeprefix("EVENT_KIND_"), kind, key))
        return told


class Stream(WatchTestCase):

    def test_the_digest_is_the_one_of_the_documentation(self):
        self.assertEqual(fnv1a64(""), 0xcbf29ce484222325)
        self.assertEqual(fnv1a64("a"), 0xaf63dc4c8601ec8c)
        self.assertEqual(fnv1a64("backend/web/10.0.0.5:80@813"), 0xfa965e0c80b43af)

    def test_a_snapshot_comes_first_then_changes_then_heartbeats(self):
        a, b = self.start_backends("a", "b")
        daemon, client, _ = self.start_balanced(a)
        watcher = self.watch(daemon)
        snapshot = watcher.wait_snapshot()

        self.assertEqual(watcher.messages[0].kind, "snapshot")
        self.assertEqual(sorted(key for key in watcher.view.objects if key[0] != "backend"),
                         [("listener", "", "default"), ("pool", "", "default")])
        self.assertIn(("backend", "default", a.address), watcher.view.objects)
        reply = client.apply(upsert("default", b.address))
        event = watcher.wait_revision(reply.revision)

        self.assertEqual(event.message.revision, reply.revision)
        self.assertGreater(event.message.position, snapshot.message.position)
        self.assertIn(("PUT", "backend", b.address), self.objects_in(event))
        self.assert_follows(watcher)

    def test_what_is_removed_is_told_and_leaves_the_view(self):
        a, b = self.start_backends("a", "b")
        daemon, client, _ = self.start_balanced(a)
        client.apply(upsert("default", b.address), put_pool("other"),
                     put_listener("second", "other"))
        watcher = self.watch(daemon)
        watcher.wait_snapshot()

        reply = client.apply(remove("default", b.address), ctl.Op(remove_listener="second"),
                             ctl.Op(remove_pool=ctl.RemovePool(pool="other")))
        watcher.wait_revision(reply.revision)
        # A removed backend may be told as REMOVING first, until its last session is over.
        watcher.wait_for(lambda r: r.kind == "events" and ("REMOVED", "backend", b.address)
                         in self.objects_in(r))

        self.assertEqual(sorted(watcher.view.objects),
                         [("backend", "default", a.address), ("listener", "", "default"),
                          ("pool", "", "default")])
        self.assert_follows(watcher)

    def test_a_batch_is_told_as_a_whole(self):
        daemon = self.start_sidelb()
        client = self.connect(daemon)
        watcher = self.watch(daemon)
        watcher.wait_snapshot()

        reply = client.apply(put_pool("web"), put_listener("http", "web"),
                             upsert("web", "127.0.0.1:1", "127.0.0.1:2"))
        event = watcher.wait_revision(reply.revision)

        self.assertEqual(sorted(self.objects_in(event)),
                         [("PUT", "backend", "127.0.0.1:1"), ("PUT", "backend", "127.0.0.1:2"),
                          ("PUT", "listener", "http"), ("PUT", "pool", "web")])
        self.assert_follows(watcher)

    def test_a_change_names_its_owner(self):
        daemon = self.start_sidelb()
        client = self.connect(daemon)
        client.apply(put_pool("web"))
        watcher = self.watch(daemon)
        watcher.wait_snapshot()

        reply = client.apply(upsert("web", "127.0.0.1:1"), owner="api:test")

        event = watcher.wait_revision(reply.revision)
        self.assertEqual(event.message.events.actor, "api:test")

    def test_a_filter_hears_of_its_pool_only(self):
        daemon = self.start_sidelb()
        client = self.connect(daemon)
        client.apply(put_pool("web"), put_pool("other"))
        watcher = self.watch(daemon, filter=ctl.Filter(pools=["web"],
                                                       kinds=[ctl.OBJECT_KIND_BACKEND]))
        watcher.wait_snapshot()

        client.apply(upsert("other", "127.0.0.1:1"))
        reply = client.apply(upsert("web", "127.0.0.1:2"))
        watcher.wait_revision(reply.revision)

        self.assertEqual(list(watcher.view.objects), [("backend", "web", "127.0.0.1:2")])
        self.assert_follows(watcher)


class Health(WatchTestCase):

    def start_probed(self, *backends):
        daemon = self.start_sidelb()
        client = self.connect(daemon)
        client.apply(probed_pool("web"), put_listener("http", "web"),
                     upsert("web", *(backend.address for backend in backends)))
        watcher = self.watch(daemon)
        for backend in backends:
            watcher.wait_backend(backend.address, is_serving)
        return daemon, client, watcher

    def test_a_killed_backend_and_its_return_are_told_with_state_and_reason(self):
        a, b = self.start_backends("a", "b")
        _, _, watcher = self.start_probed(a, b)

        killed = time.monotonic()
        b.kill()
        told = watcher.wait_backend(b.address, lambda t: not is_serving(t), killed)

        self.assertEqual((told.state, told.reason, told.ineligible),
                         ("UNHEALTHY", "REFUSED", "UNHEALTHY"))
        returned = time.monotonic()
        self.start_backend("b-again", listen=b.address)
        told = watcher.wait_backend(b.address, is_serving, returned)

        self.assertEqual(told.reason, "OK")
        self.assert_follows(watcher)

    def test_a_backend_that_traffic_finds_dead_is_told_as_ejected(self):
        a, b, c = self.start_backends("a", "b", "c")
        # Default probes: three bad ones take longer than five failed connects.
        daemon, client, address = self.start_balanced(a, b, c)
        watcher = self.watch(daemon)
        for backend in (a, b, c):
            watcher.wait_backend(backend.address, is_serving)
        self.start_traffic(address)

        killed = time.monotonic()
        b.kill()
        told = watcher.wait_backend(b.address, lambda t: not is_serving(t), killed)

        self.assertEqual((told.state, told.reason, told.ineligible),
                         ("UNHEALTHY", "PASSIVE", "EJECTED"))
        self.assertEqual(client.backends()[b.address].status.reason, res.HEALTH_REASON_PASSIVE)

    def test_a_drain_is_told_until_the_last_session_is_over(self):
        a, b = self.start_backends("a", "b")
        daemon, client, address = self.start_balanced(a, b)
        sessions = [self.open_session(address) for _ in range(2)]
        names = [session.get() for session in sessions]
        watcher = self.watch(daemon)
        watcher.wait_snapshot()

        client.apply(override("default", b.address, admin_state=res.ADMIN_STATE_DRAINING))
        told = watcher.wait_backend(b.address, lambda t: t.state == "DRAINING")
        sessions[names.index("b")].close()
        watcher.wait_for(lambda r: r.kind == "events" and any(
            event.backend.address == b.address and event.backend.status.active_connections == 0
            and event.backend.status.state == res.BACKEND_STATE_DRAINING
            for event in r.message.events.events))

        self.assertEqual(told.ineligible, "DRAINING")
        self.assert_follows(watcher)


class Resume(WatchTestCase):

    def test_a_stream_that_broke_goes_on_with_what_it_missed_only(self):
        daemon = self.start_sidelb()
        client = self.connect(daemon)
        client.apply(put_pool("web"), upsert("web", "127.0.0.1:1", "127.0.0.1:2"))
        first = self.watch(daemon)
        first.wait_snapshot()
        first.close()

        client.apply(upsert("web", "127.0.0.1:3"))
        reply = client.apply(remove("web", "127.0.0.1:1"))
        second = self.watch(daemon, view=first.view, resume_epoch=first.epoch,
                            resume_position=first.position)
        second.wait_revision(reply.revision)
        told = {key for received in second.messages for key in self.objects_in(received)}

        self.assertEqual(second.messages[0].kind, "events")
        self.assertEqual({key for key in told if key[1] == "backend"},
                         {("PUT", "backend", "127.0.0.1:3"), ("REMOVED", "backend", "127.0.0.1:1")})
        self.assert_follows(second)

    def test_a_stream_that_missed_nothing_goes_on_with_a_heartbeat(self):
        daemon = self.start_sidelb()
        client = self.connect(daemon)
        client.apply(put_pool("web"), upsert("web", "127.0.0.1:1"))
        first = self.watch(daemon)
        first.wait_kind("heartbeat")
        first.close()

        second = self.watch(daemon, view=first.view, resume_epoch=first.epoch,
                            resume_position=first.position)
        second.wait_kind("heartbeat")

        self.assertEqual([received.kind for received in second.messages], ["heartbeat"])
        self.assertEqual(second.faults, [])

    def test_a_watch_may_begin_where_a_read_ended(self):
        daemon = self.start_sidelb()
        client = self.connect(daemon)
        client.apply(put_pool("web"), upsert("web", "127.0.0.1:1"))
        read = client.state()
        reply = client.apply(upsert("web", "127.0.0.1:2"))

        watcher = self.watch(daemon, resume_epoch=read.epoch, resume_position=read.position)
        event = watcher.wait_revision(reply.revision)

        self.assertEqual(watcher.messages[0].kind, "events")
        self.assertIn(("PUT", "backend", "127.0.0.1:2"), self.objects_in(event))

    def test_after_a_restart_of_the_daemon_the_view_is_made_anew(self):
        first_daemon = self.start_sidelb()
        self.connect(first_daemon).apply(put_pool("web"), upsert("web", "127.0.0.1:1"))
        first = self.watch(first_daemon)
        first.wait_snapshot()
        first_daemon.kill()
        self.assertEqual(first.wait_end().code().name, "UNAVAILABLE")

        second_daemon = self.start_sidelb()
        self.connect(second_daemon).apply(put_pool("new"))
        second = self.watch(second_daemon, view=first.view, resume_epoch=first.epoch,
                            resume_position=first.position)
        second.wait_snapshot()

        self.assertEqual([received.kind for received in second.messages[:2]],
                         ["resync", "snapshot"])
        self.assertEqual(second.messages[0].message.resync.reason,
                         ctl.RESYNC_REASON_NEW_EPOCH)
        self.assertNotEqual(second.epoch, first.epoch)
        self.assertEqual(list(second.view.objects), [("pool", "", "new")])
        self.assert_follows(second)

    def test_a_position_that_was_not_reached_is_an_error(self):
        daemon = self.start_sidelb()
        read = self.connect(daemon).state()

        error = self.watch(daemon, resume_epoch=read.epoch,
                           resume_position=read.position + 1000).wait_end()

        self.assertEqual(error.code().name, "OUT_OF_RANGE")


class Stop(WatchTestCase):

    def test_a_daemon_that_stops_says_so_before_the_stream_ends(self):
        a, = self.start_backends("a")
        daemon, _, address = self.start_balanced(a)
        self.assertEqual(http_get(address), "a")
        watcher = self.watch(daemon)
        watcher.wait_snapshot()

        daemon.signal(signal.SIGTERM)
        error = watcher.wait_end()

        self.assertEqual(watcher.messages[-1].kind, "going_away")
        self.assertEqual(error.code().name, "UNAVAILABLE")
        self.assertEqual(daemon.wait(), 0, daemon.describe())


if __name__ == "__main__":
    main()
