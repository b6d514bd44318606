"""Changes over gRPC while traffic flows: what a change promises holds for every connection."""

import socket
import time

from harness import (TestCase, ctl, drain_of, http_get, main, override, put_listener, put_pool,
                     remove, res, upsert)

ENOUGH = 200  # requests after a change, so that every shard and thread has had many of them


class Update(TestCase):

    def test_added_backends_share_the_traffic_and_no_request_fails(self):
        a, b = self.start_backends("a", "b")
        _, client, address = self.start_balanced(a, arguments=("--shards", "2"))
        traffic = self.start_traffic(address)
        traffic.wait_for(ENOUGH)

        client.apply(upsert("default", b.address))
        after = traffic.wait_for(ENOUGH)

        self.assertEqual({r.name for r in after}, {"a", "b"})
        self.assert_all_answered(traffic.stop())

    def test_after_a_drain_is_applied_no_connection_goes_there_and_none_fails(self):
        a, b, c = self.start_backends("a", "b", "c")
        _, client, address = self.start_balanced(a, b, c, arguments=("--shards", "2"))
        traffic = self.start_traffic(address)
        traffic.wait_for(ENOUGH)

        reply = client.apply(override("default", b.address, admin_state=res.ADMIN_STATE_DRAINING))
        applied = time.monotonic()
        after = traffic.wait_for(ENOUGH, applied)

        self.assertEqual(reply.reached, ctl.WAIT_FOR_APPLIED)
        self.assertEqual({r.name for r in after}, {"a", "c"})
        self.assert_all_answered(traffic.stop())

    def test_after_a_removal_is_applied_the_backend_may_go_at_once(self):
        a, b, c = self.start_backends("a", "b", "c")
        _, client, address = self.start_balanced(a, c, arguments=("--shards", "2"))
        client.apply(upsert("default", b.address))
        traffic = self.start_traffic(address)
        traffic.wait_for(ENOUGH)

        # DRAINED: its last session is over too, so that nothing is cut.
        reply = client.apply(remove("default", b.address), wait=ctl.WAIT_FOR_DRAINED)
        drained = time.monotonic()
        b.kill()
        after = traffic.wait_for(ENOUGH, drained)

        self.assertEqual(reply.reached, ctl.WAIT_FOR_DRAINED)
        self.assertEqual({r.name for r in after}, {"a", "c"})
        self.assert_all_answered(traffic.stop())

    def test_replace_moves_all_traffic_from_blue_to_green_without_a_failure(self):
        blue = self.start_backends("blue-1", "blue-2")
        green = self.start_backends("green-1", "green-2")
        client = self.connect(self.start_sidelb("--shards", "2"))
        client.apply(put_pool("web"), put_listener("http", "web"),
                     upsert("web", *(b.address for b in blue)))
        traffic = self.start_traffic(client.listen_address("http"))
        traffic.wait_for(ENOUGH)

        client.apply(ctl.Op(replace_backends=ctl.BackendSet(
            pool="web", backends=[res.BackendSpec(address=b.address) for b in green])))
        applied = time.monotonic()
        after = traffic.wait_for(ENOUGH, applied)

        self.assertEqual({r.name for r in after}, {"green-1", "green-2"})
        self.assert_all_answered(traffic.stop())

    def test_weights_share_the_traffic_exactly(self):
        a, b = self.start_backends("a", "b")
        client = self.connect(self.start_sidelb("--shards", "2"))
        client.apply(put_pool("web"), put_listener("http", "web"),
                     upsert("web", a.address, weight=300), upsert("web", b.address, weight=100))
        address = client.listen_address("http")

        names = [http_get(address) for _ in range(40)]

        self.assertEqual((names.count("a"), names.count("b")), (30, 10))

    def test_a_change_that_is_only_validated_changes_nothing(self):
        a, b = self.start_backends("a", "b")
        _, client, address = self.start_balanced(a)
        before = client.state()

        client.apply(upsert("default", b.address), validate_only=True)

        self.assertEqual(client.state().revision, before.revision)
        self.assertEqual({http_get(address) for _ in range(4)}, {"a"})

    def test_a_refused_batch_changes_nothing_at_all(self):
        a, b = self.start_backends("a", "b")
        _, client, address = self.start_balanced(a)
        before = client.state()

        with self.assert_api_error("NOT_FOUND", "POOL_NOT_FOUND"):
            client.apply(upsert("default", b.address), upsert("no-such-pool", b.address))

        self.assertEqual(client.state().revision, before.revision)
        self.assertEqual({http_get(address) for _ in range(4)}, {"a"})

    def test_a_stale_revision_is_refused(self):
        a, b = self.start_backends("a", "b")
        _, client, _ = self.start_balanced(a)
        stale = client.state().revision
        client.apply(upsert("default", b.address))

        with self.assert_api_error("ABORTED", "REVISION_MISMATCH") as errors:
            client.apply(remove("default", b.address), expected_revision=stale)

        self.assertEqual(errors[0].metadata["current"], str(client.state().revision))
        self.assertIn(b.address, client.backends())


class Sessions(TestCase):

    def test_a_change_of_mode_keeps_connections(self):
        a, b = self.start_backends("a", "b")
        _, client, address = self.start_balanced(a, b)
        sessions = [self.open_session(address) for _ in range(4)]
        names = [session.get() for session in sessions]

        client.apply(ctl.Op(set_mode=ctl.SetMode(pool="default", mode=res.MODE_LEAST_CONNECTIONS)))

        self.assertEqual([session.get() for session in sessions], names)
        self.assertEqual(client.state().state.pools[0].mode, res.MODE_LEAST_CONNECTIONS)

    def test_least_connections_counts_what_was_open_before_the_change_of_mode(self):
        a, b = self.start_backends("a", "b")
        _, client, address = self.start_balanced(a, arguments=("--shards", "2"))
        for _ in range(4):
            self.assertEqual(self.open_session(address).get(), "a")

        client.apply(upsert("default", b.address),
                     ctl.Op(set_mode=ctl.SetMode(pool="default", mode=res.MODE_LEAST_CONNECTIONS)))
        client.wait_serving("default", b.address)
        names = [self.open_session(address).get() for _ in range(4)]

        self.assertEqual(names, ["b"] * 4)
        active = {x: y.status.active_connections for x, y in client.backends().items()}
        self.assertEqual(active, {a.address: 4, b.address: 4})

    def test_a_drained_backend_keeps_its_connections_until_they_end(self):
        a, b = self.start_backends("a", "b")
        _, client, address = self.start_balanced(a, b)
        sessions = {}
        for _ in range(2):
            session = self.open_session(address)
            sessions[session.get()] = session

        client.apply(override("default", b.address, admin_state=res.ADMIN_STATE_DRAINING))

        self.assertEqual(sessions["b"].get(), "b")
        status = client.backends()[b.address].status
        self.assertEqual((status.state, status.active_connections),
                         (res.BACKEND_STATE_DRAINING, 1))
        self.assertEqual(status.ineligible_reason, res.INELIGIBLE_REASON_DRAINING)

    def test_waiting_for_drained_ends_with_the_last_connection(self):
        a, = self.start_backends("a")
        _, client, address = self.start_balanced(a)
        session = self.open_session(address)
        session.get()
        change = override("default", a.address, admin_state=res.ADMIN_STATE_DRAINING)

        waited = client.apply(change, wait=ctl.WAIT_FOR_DRAINED, wait_seconds=0.2)
        self.assertEqual((waited.reached, waited.pending), (ctl.WAIT_FOR_APPLIED, 1))
        session.close()
        waited = client.apply(change, wait=ctl.WAIT_FOR_DRAINED)

        self.assertEqual((waited.reached, waited.pending), (ctl.WAIT_FOR_DRAINED, 0))

    def test_the_deadline_of_a_drain_resets_what_is_left(self):
        a, b = self.start_backends("a", "b")
        _, client, address = self.start_balanced(a, b)
        sessions = {}
        for _ in range(2):
            session = self.open_session(address)
            sessions[session.get()] = session

        client.apply(override("default", b.address, admin_state=res.ADMIN_STATE_DRAINING,
                              drain=drain_of(0.2)))

        self.assertEqual(sessions["b"].wait_for_end(), "reset")
        self.assertEqual(sessions["a"].get(), "a")

    def test_a_removed_backend_is_seen_until_its_connections_have_drained(self):
        a, b = self.start_backends("a", "b")
        client = self.connect(self.start_sidelb())
        client.apply(put_pool("web"), put_listener("http", "web"), upsert("web", a.address))
        session = self.open_session(client.listen_address("http"))
        session.get()

        client.apply(remove("web", a.address), upsert("web", b.address))
        removing = client.backends("web")[a.address].status.state
        self.assertEqual(session.get(), "a")
        session.close()
        # The same removal again, to wait for its end.
        client.apply(remove("web", a.address), wait=ctl.WAIT_FOR_DRAINED)

        self.assertEqual(removing, res.BACKEND_STATE_REMOVING)

    def test_disabling_resets_connections_and_enabling_brings_traffic_back(self):
        a, b = self.start_backends("a", "b")
        _, client, address = self.start_balanced(a, b)
        sessions = {}
        for _ in range(2):
            session = self.open_session(address)
            sessions[session.get()] = session

        client.apply(override("default", b.address, admin_state=res.ADMIN_STATE_DISABLED))
        self.assertEqual(sessions["b"].wait_for_end(), "reset")
        self.assertEqual({http_get(address) for _ in range(4)}, {"a"})
        client.apply(ctl.Op(set_override=ctl.SetOverride(
            pool="default", selector=ctl.Selector(addresses=[b.address]), clear=True)))
        client.wait_serving("default", b.address)

        self.assertEqual({http_get(address) for _ in range(4)}, {"a", "b"})
        self.assertEqual(sessions["a"].get(), "a")


class Failure(TestCase):

    def test_after_a_backend_is_killed_no_new_connection_fails(self):
        a, b, c = self.start_backends("a", "b", "c")
        _, _, address = self.start_balanced(a, b, c, arguments=("--shards", "2"))
        traffic = self.start_traffic(address)
        traffic.wait_for(ENOUGH)

        b.kill()
        killed = time.monotonic()
        after = traffic.wait_for(ENOUGH, killed)
        traffic.stop()

        self.assertEqual({r.name for r in after}, {"a", "c"})
        self.assert_all_answered(traffic.after(killed))

    def test_a_backend_that_comes_back_gets_traffic_again(self):
        a, b = self.start_backends("a", "b")
        _, _, address = self.start_balanced(a, b)
        traffic = self.start_traffic(address)
        b.kill()
        killed = time.monotonic()
        traffic.wait_for(ENOUGH, killed)

        again = self.start_backend("b-again", listen=b.address)
        traffic.wait_for(1, name=again.backend_name)
        traffic.stop()

        self.assert_all_answered(traffic.after(killed))

    def test_without_any_backend_a_connection_is_reset(self):
        _, client, address = self.start_balanced(*self.start_backends("a"))
        client.apply(override("default", *client.backends(), admin_state=res.ADMIN_STATE_DISABLED))

        self.assert_reset(address)


class Listeners(TestCase):

    def test_an_address_in_use_is_refused_and_traffic_goes_on(self):
        a, = self.start_backends("a")
        _, client, address = self.start_balanced(a)
        before = client.state()
        with socket.create_server(("127.0.0.1", 0)) as holder:
            taken = "127.0.0.1:%d" % holder.getsockname()[1]

            with self.assert_api_error("FAILED_PRECONDITION", "BIND_FAILED") as errors:
                client.apply(put_pool("other"), put_listener("second", "other", taken))

        self.assertIn(taken, errors[0].message)
        self.assertIn("Address already in use", errors[0].message)
        after = client.state()
        self.assertEqual(after.revision, before.revision)
        self.assertEqual([p.name for p in after.state.pools], ["default"])
        self.assertEqual(http_get(address), "a")

    def test_listeners_come_and_go_without_touching_others_or_their_own_connections(self):
        a, b = self.start_backends("a", "b")
        _, client, address = self.start_balanced(a)
        traffic = self.start_traffic(address)

        client.apply(put_pool("other"), put_listener("second", "other"), upsert("other", b.address))
        second = client.listen_address("second")
        session = self.open_session(second)
        self.assertEqual(session.get(), "b")
        client.apply(ctl.Op(remove_listener="second"))

        self.assert_refused(second)
        self.assertEqual(session.get(), "b")
        traffic.wait_for(ENOUGH)
        self.assert_all_answered(traffic.stop())

    def test_a_listener_that_changes_its_pool_keeps_its_socket_and_connections(self):
        a, b = self.start_backends("a", "b")
        _, client, address = self.start_balanced(a)
        session = self.open_session(address)
        session.get()
        traffic = self.start_traffic(address)
        traffic.wait_for(ENOUGH)

        client.apply(put_pool("other"), upsert("other", b.address),
                     put_listener("default", "other"))
        applied = time.monotonic()
        after = traffic.wait_for(ENOUGH, applied)

        self.assertEqual({r.name for r in after}, {"b"})
        self.assertEqual(session.get(), "a")
        self.assert_all_answered(traffic.stop())

    def test_a_full_listener_refuses_the_next_connection_and_serves_again_later(self):
        a, = self.start_backends("a")
        client = self.connect(self.start_sidelb())
        client.apply(put_pool("web"), upsert("web", a.address), ctl.Op(put_listener=res.Listener(
            name="http", pool="web", address="127.0.0.1:0", max_connections=1)))
        address = client.listen_address("http")
        session = self.open_session(address)
        self.assertEqual(session.get(), "a")

        self.assert_reset(address)

        self.assertEqual(session.get(close=True), "a")
        session.wait_for_end()
        session.close()
        self.assertEqual(self.get_when_served(address), "a")

    def get_when_served(self, address):
        """The place is free once the daemon has seen both ends; until then it resets."""
        end = time.monotonic() + 60
        while True:
            try:
                return http_get(address)
            except OSError:
                self.assertLess(time.monotonic(), end)


if __name__ == "__main__":
    main()
