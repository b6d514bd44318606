"""Faults of one backend under traffic: what clients see, what Watch tells, and the return."""

import signal
import time

from harness import TestCase, ctl, main, res, upsert
from switchable_backend import SwitchableBackend
from watcher import Watcher, is_serving

CLIENTS = 8
ENOUGH = 200
CONNECT_TIMEOUT = 1.0  # more than the probes need to find a fault
HTTP_PROBE = {"kind": res.PROBE_KIND_SEND_EXPECT,
              "send": b"GET / HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n",
              "expect": b"HTTP/1.1 200"}


class FaultTestCase(TestCase):

    def start_balanced_over(self, *backends, probe_seconds=0.05, **probe):
        """A daemon with fast probes in front of the backends, which all serve; and a watch."""
        pool = res.Pool(name="web", health_check=res.HealthCheck(rise=1, fall=2, **probe))
        pool.health_check.interval.FromNanoseconds(int(probe_seconds * 1e9))
        pool.health_check.timeout.FromMilliseconds(100)
        pool.ejection_time.FromSeconds(1)
        listener = res.Listener(name="http", pool="web", address="127.0.0.1:0")
        listener.connect_timeout.FromNanoseconds(int(CONNECT_TIMEOUT * 1e9))
        daemon = self.start_sidelb("--shards", "2")
        self.client = client = self.connect(daemon)
        client.apply(ctl.Op(put_pool=pool), ctl.Op(put_listener=listener),
                     upsert("web", *(backend.address for backend in backends)))
        watcher = self.keep(Watcher(daemon.endpoint))
        for backend in backends:
            watcher.wait_backend(backend.address, is_serving)
        return client.listen_address("http"), watcher

    def start_clients(self, address, name):
        """Traffic that reaches the backend of that name, too."""
        traffic = self.start_traffic(address, threads=CLIENTS)
        traffic.wait_for(10, name=name)
        return traffic

    def wait_out(self, watcher, backend, since):
        return watcher.wait_backend(backend.address, lambda told: not is_serving(told), since)

    def stats_of(self, backend):
        row, = self.client.stats(pools=["web"], kinds=[ctl.OBJECT_KIND_BACKEND],
                                 backends=ctl.Selector(addresses=[backend.address]))
        return row

    def assert_out_of_use(self, traffic, backend):
        """Some requests later, when every shard knows, none is tried there."""
        traffic.wait_for(ENOUGH)
        before = self.stats_of(backend).selected
        traffic.wait_for(ENOUGH)
        self.assertEqual(self.stats_of(backend).selected, before)

    def assert_returns(self, watcher, backend, traffic, since):
        watcher.wait_backend(backend.address, is_serving, since)
        traffic.wait_for(1, name=backend.backend_name)


class Fault(FaultTestCase):

    def test_after_a_kill_no_request_fails_and_the_backend_returns_to_service(self):
        a, b, x = self.start_backends("a", "b", "x")
        address, watcher = self.start_balanced_over(a, b, x)
        traffic = self.start_clients(address, "x")

        begun = time.monotonic()
        x.kill()
        killed = time.monotonic()
        told = self.wait_out(watcher, x, begun)
        self.assert_out_of_use(traffic, x)
        again = self.start_backend("x-again", listen=x.address)
        self.assert_returns(watcher, again, traffic, time.monotonic())
        traffic.stop()

        self.assertIn((told.ineligible, told.reason),
                      [("EJECTED", "PASSIVE"), ("UNHEALTHY", "REFUSED")])
        self.assert_all_answered(traffic.after(killed))

    def test_a_port_that_refuses_fails_no_request_and_returns_to_service(self):
        a, b = self.start_backends("a", "b")
        x = self.keep(SwitchableBackend("x"))
        address, watcher = self.start_balanced_over(a, b, x)
        traffic = self.start_clients(address, "x")

        begun = time.monotonic()
        x.refuse()
        refused = time.monotonic()
        told = self.wait_out(watcher, x, begun)
        self.assert_out_of_use(traffic, x)
        returned = time.monotonic()
        x.serve()
        self.assert_returns(watcher, x, traffic, returned)
        traffic.stop()

        self.assertIn((told.ineligible, told.reason),
                      [("EJECTED", "PASSIVE"), ("UNHEALTHY", "REFUSED")])
        self.assert_all_answered(traffic.after(refused))

    def test_a_black_hole_costs_a_client_one_connect_timeout_at_most(self):
        a, b = self.start_backends("a", "b")
        x = self.keep(SwitchableBackend("x"))
        address, watcher = self.start_balanced_over(a, b, x)
        traffic = self.start_clients(address, "x")

        begun = time.monotonic()
        x.black_hole()
        told = self.wait_out(watcher, x, begun)
        self.assert_out_of_use(traffic, x)
        # Those that waited have ended, since each client has gone on.
        traffic.wait_for(ENOUGH, time.monotonic() + CONNECT_TIMEOUT)
        waits = self.stats_of(x).timeouts
        returned = time.monotonic()
        x.serve()
        self.assert_returns(watcher, x, traffic, returned)

        self.assertIn((told.ineligible, told.reason),
                      [("EJECTED", "PASSIVE"), ("UNHEALTHY", "TIMEOUT")])
        self.assert_all_answered(traffic.stop())
        self.assertGreater(waits, 0)
        self.assertLessEqual(waits, CLIENTS)

    def test_an_answer_probe_finds_a_stopped_process_whose_kernel_still_accepts(self):
        a, x = self.start_backends("a", "x")
        address, watcher = self.start_balanced_over(a, x, **HTTP_PROBE)

        begun = time.monotonic()
        x.signal(signal.SIGSTOP)
        told = self.wait_out(watcher, x, begun)
        traffic = self.start_traffic(address, threads=CLIENTS)
        self.assert_out_of_use(traffic, x)
        returned = time.monotonic()
        x.signal(signal.SIGCONT)
        self.assert_returns(watcher, x, traffic, returned)

        self.assertEqual((told.state, told.ineligible), ("UNHEALTHY", "UNHEALTHY"))
        self.assertIn(told.reason, ("NO_REPLY", "TIMEOUT"))
        self.assert_all_answered(traffic.stop())


if __name__ == "__main__":
    main()
