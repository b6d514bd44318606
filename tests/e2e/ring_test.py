"""Ring domains with the real daemon: a scripted DNS server says which backends there are."""

import socket
import time

from dns_server import SERVFAIL, DnsServer
from harness import TestCase, ctl, http_get, main, res, split_address

class RingDomain(TestCase):

    def setUp(self):
        super().setUp()
        self.dns = self.keep(DnsServer())

    def start_twins(self):
        """Two backends with one port: a on 127.0.0.1, b on 127.0.0.2."""
        while True:
            with socket.socket() as one, socket.socket() as two:
                one.bind(("127.0.0.1", 0))
                port = one.getsockname()[1]
                try:
                    two.bind(("127.0.0.2", port))
                    break
                except OSError:
                    continue  # somebody has it there
        return (self.start_backend("a", listen=f"127.0.0.1:{port}"),
                self.start_backend("b", listen=f"127.0.0.2:{port}"), port)

    def test_standalone_follows_the_domain_and_survives_what_dns_does(self):
        a, b, port = self.start_twins()
        daemon = self.start_sidelb("127.0.0.1:0", f"ring_domain=web.example:{port}", "--resolver",
                                   self.dns.address, "--ring-max-ttl", "50ms")
        client = self.connect(daemon)
        address = client.listen_address()

        def codes():
            return [c.code for c in client.info().conditions]

        # It runs while nothing is known, and says so.
        self.wait_until(lambda: codes() == ["DNS_FAILING"], "DNS_FAILING")
        self.assert_reset(address)

        self.dns.answer("127.0.0.1")
        self.wait_until(lambda: list(client.backends()) == [a.address], "a")
        self.assertEqual(http_get(address), "a")
        self.assertEqual(codes(), [])
        claim, = client.backends()[a.address].claims
        self.assertEqual(claim.owner, "ring:web.example")
        ring, = client.state().state.pools[0].ring_domains
        self.assertEqual((ring.domain, ring.port), ("web.example", port))
        self.assertIn("provider:ring", client.info().capabilities)

        traffic = self.start_traffic(address)
        moment = time.monotonic()
        self.dns.answer("127.0.0.2")
        traffic.wait_for(20, name="b")
        self.wait_until(lambda: all(item.address == b.address or not item.claims
                                  for item in client.backends().values()), "the end of a")
        self.dns.answer(rcode=SERVFAIL)
        self.wait_until(lambda: codes() == ["DNS_FAILING"], "DNS_FAILING")
        traffic.wait_for(20, name="b")
        self.dns.answer("127.0.0.1", "127.0.0.2")
        traffic.wait_for(20, name="a")
        traffic.stop()
        self.assert_all_answered(traffic.after(moment))
        self.assertEqual(codes(), [])

    def test_a_pool_over_grpc_follows_a_domain_until_it_does_not(self):
        a = self.start_backend("a")
        port = split_address(a.address)[1]
        self.dns.answer("127.0.0.1")
        client = self.connect(self.start_sidelb("--resolver", self.dns.address))

        def put(*domains):
            client.apply(ctl.Op(put_pool=res.Pool(name="web", ring_domains=domains)))

        put(res.RingDomain(domain="web.example", port=port))
        self.wait_until(lambda: list(client.backends("web")) == [a.address], "a")
        put()
        self.assertEqual(client.backends("web"), {})
        with self.assert_api_error("INVALID_ARGUMENT", "BAD_FIELD") as errors:
            put(res.RingDomain(domain="web.example"))
        self.assertIn("ops[0].put_pool.ring_domains[0].port", errors[0].violations)


if __name__ == "__main__":
    main()
