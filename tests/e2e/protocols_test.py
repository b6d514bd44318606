"""Real UDP protocols and load through SideLB: DNS, iperf3 both ways, and the death of a backend.

Each test counts at both ends, prints the figures, and holds what is lost to a bound.
"""

import collections
import json
import re
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

from cli_test import CliCase
from harness import LIMIT, ApiError, ctl, main, res, split_address, upsert
from udp_peers import UdpClient
from watcher import Watcher, is_serving

NAMES = 100
SECONDS = 4  # of each load
OUTSTANDING = 32  # queries at a time
QUERY_TIMEOUT = 2


class ProtocolCase(CliCase):

    def start_on_free_port(self, name, command_of, pattern, kind):
        """A program that must be told a port: `command_of(port)`; and the port."""
        for _ in range(10):
            port = find_port()
            program = self.start_program(name, command=[str(w) for w in command_of(port)])
            try:
                program.wait_line(pattern, kind)
                return program, port
            except AssertionError:
                if "in use" not in program.text() + program.text("stdout"):
                    raise
        raise AssertionError("there is no free port")

    def start_udp_pool(self, policy, *addresses, pool="udp", **fields):
        """The daemon with one UDP listener; its address."""
        self.daemon = self.start_sidelb("--shards", "2", "--drain-timeout", "0s")
        self.client = self.connect(self.daemon)
        self.client.apply(
            ctl.Op(put_pool=res.Pool(name=pool, **fields)), upsert(pool, *addresses),
            ctl.Op(put_listener=res.Listener(name=pool, pool=pool, address="127.0.0.1:0",
                                             protocol=res.PROTOCOL_UDP, udp_policy=policy)))
        return self.client.listen_address(pool)

    def stats(self):
        """What `sidelb-cli stats -o json` says, by listener, pool and address of a backend."""
        said = json.loads(self.run_cli("stats", "-o", "json", endpoint=self.daemon.endpoint).stdout)
        return {row.get("address") if row["kind"] == "OBJECT_KIND_BACKEND" else
                row["kind"].removeprefix("OBJECT_KIND_").lower(): Counts(row)
                for row in said["rows"]}

    def report(self, **figures):
        print("\n  " + ", ".join(f"{name} {value}" for name, value in figures.items()), flush=True)


class Counts:
    """Numbers of a row; JSON has 64-bit ones as strings, and none that are 0."""

    def __init__(self, row):
        self._row = row

    def __getattr__(self, name):
        first, *others = name.split("_")
        return int(self._row.get(first + "".join(map(str.capitalize, others)), 0))


def find_port():
    """A port that is free for TCP and UDP, until somebody else takes it."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as tcp, \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            try:
                udp.bind(tcp.getsockname())
                return tcp.getsockname()[1]
            except OSError:
                continue


class Dns(ProtocolCase):

    def start_dnsmasq(self):
        records = [f"--host-record=host-{number}.example,10.0.0.{number}"
                   for number in range(NAMES)]
        return self.start_on_free_port("dnsmasq", lambda port: [
            "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
            "--user=", "--group=", "--listen-address=127.0.0.1", "--bind-interfaces",
            f"--port={port}", *records], "started, version", "stderr")

    def start_pair(self, policy, **fields):
        (a, a_port), (b, b_port) = self.start_dnsmasq(), self.start_dnsmasq()
        addresses = [f"127.0.0.1:{port}" for port in (a_port, b_port)]
        return (a, b), addresses, self.start_udp_pool(policy, *addresses, pool="dns", **fields)

    def start_dnsperf(self, address, rate):
        queries = Path(self.folder, "queries")
        queries.write_text("".join(f"host-{number}.example A\n" for number in range(NAMES)),
                           encoding="ascii")
        host, port = split_address(address)
        return self.start_program("dnsperf", command=[
            "dnsperf", "-s", host, "-p", str(port), "-d", str(queries), "-l", str(SECONDS),
            "-c", "8", "-q", str(OUTSTANDING), "-Q", str(rate), "-t", str(QUERY_TIMEOUT)])

    def result_of(self, dnsperf):
        """Sent, completed and lost queries, and those a second."""
        self.assertEqual(dnsperf.wait(), 0, dnsperf.describe())
        text = dnsperf.text("stdout")
        numbers = [int(re.search(rf"Queries {word}: +(\d+)", text).group(1))
                   for word in ("sent", "completed", "lost")]
        self.assertRegex(text, rf"Response codes: +NOERROR {numbers[1]} ")
        return *numbers, float(re.search(r"Queries per second: +([\d.]+)", text).group(1))

    def answered_by(self, dnsmasq):
        """How many queries it says it answered."""
        dnsmasq.signal(signal.SIGUSR1)
        return int(dnsmasq.wait_line(r"queries answered locally (\d+)", "stderr").group(1))

    def test_dns_loses_no_query_and_both_servers_share_them(self):
        for policy in (res.UDP_POLICY_SESSION, res.UDP_POLICY_REQUEST_RESPONSE):
            with self.subTest(policy=res.UdpPolicy.Name(policy)):
                servers, addresses, listener = self.start_pair(policy)

                sent, completed, lost, rate = self.result_of(
                    self.start_dnsperf(listener, rate=10000))

                stats = self.stats()
                shares = [self.answered_by(server) for server in servers]
                self.report(policy=res.UdpPolicy.Name(policy), sent=sent, completed=completed,
                            lost=lost, rate=f"{rate:.0f}/s", shares=shares,
                            sessions=stats["listener"].total)
                self.assertEqual((lost, completed), (0, sent))
                self.assertGreater(sent, 1000)
                self.assertEqual((stats["listener"].packets_in, stats["listener"].packets_out),
                                 (sent, sent))
                self.assertEqual([stats[address].packets_in for address in addresses], shares)
                self.assertEqual([stats[address].packets_out for address in addresses], shares)
                self.assertEqual(sum(shares), sent)
                self.assertGreater(min(shares), sent // 4)
                self.daemon.stop()

    def test_dns_a_server_killed_under_load_costs_what_it_had_in_hand(self):
        for policy in (res.UDP_POLICY_SESSION, res.UDP_POLICY_REQUEST_RESPONSE):
            with self.subTest(policy=res.UdpPolicy.Name(policy)):
                (a, b), addresses, listener = self.start_pair(policy)
                dnsperf = self.start_dnsperf(listener, rate=5000)
                self.wait_until(lambda: all(self.stats()[address].packets_out > 1000
                                            for address in addresses), "load on both")

                b.kill()
                sent, completed, lost, rate = self.result_of(dnsperf)

                stats = self.stats()
                unanswered = stats["listener"].packets_in - stats["listener"].packets_out
                self.report(policy=res.UdpPolicy.Name(policy), sent=sent, completed=completed,
                            lost=lost, rate=f"{rate:.0f}/s", sent_on=stats["listener"].packets_in,
                            sent_on_but_unanswered=unanswered,
                            refused=stats[addresses[1]].connect_errors,
                            by_survivor=self.answered_by(a))
                self.assertLessEqual(lost, 2 * OUTSTANDING)
                self.assertEqual(sent, completed + lost)
                self.assertLessEqual(unanswered, lost)
                self.assertGreater(stats[addresses[1]].connect_errors, 0)
                self.daemon.stop()


    def test_dns_a_server_that_hangs_is_found_by_a_probe_that_asks(self):
        question = struct.pack(">6H", 0x5ea1, 0x0100, 1, 0, 0, 0) + b"\6host-0\7example\0\0\1\0\1"
        probe = res.HealthCheck(kind=res.PROBE_KIND_UDP, send=question, expect=question[:2], rise=1,
                                fall=2)
        probe.interval.FromMilliseconds(50)
        probe.timeout.FromMilliseconds(200)
        (_, b), addresses, listener = self.start_pair(res.UDP_POLICY_SESSION, health_check=probe)
        watcher = self.keep(Watcher(self.daemon.endpoint))
        for address in addresses:
            watcher.wait_backend(address, is_serving)
        dnsperf = self.start_dnsperf(listener, rate=2000)
        self.wait_until(lambda: self.stats()[addresses[1]].packets_out > 500, "load on b")

        b.signal(signal.SIGSTOP)
        watcher.wait_backend(addresses[1], lambda told: told.health == "UNHEALTHY")
        at_detection = self.stats()[addresses[1]].packets_in
        sent, completed, lost, rate = self.result_of(dnsperf)

        stats = self.stats()
        hung = stats[addresses[1]]
        self.report(sent=sent, completed=completed, lost=lost, rate=f"{rate:.0f}/s",
                    sent_on=stats["listener"].packets_in, hung_in=hung.packets_in,
                    hung_out=hung.packets_out, hung_at_detection=at_detection)
        self.assertEqual(hung.packets_in, at_detection, "nothing is sent there any more")
        self.assertLessEqual(lost, hung.packets_in - hung.packets_out)
        self.assertLessEqual(lost, 2 * OUTSTANDING)


class Iperf3(ProtocolCase):

    def start_both_protocols(self, backend):
        """TCP and UDP on one port; their address."""
        self.daemon = self.start_sidelb("--shards", "2", "--drain-timeout", "0s")
        self.client = self.connect(self.daemon)
        # A probe would be a client to iperf3, which serves one at a time.
        pool = res.Pool(name="iperf3", health_check=res.HealthCheck(kind=res.PROBE_KIND_NONE))
        self.client.apply(ctl.Op(put_pool=pool), upsert("iperf3", backend))
        while True:
            address = f"127.0.0.1:{find_port()}"
            if self.client_put(address):
                return address

    def client_put(self, address):
        try:
            self.client.apply(*(ctl.Op(put_listener=res.Listener(
                name=name, pool="iperf3", address=address, protocol=protocol))
                for name, protocol in (("tcp", res.PROTOCOL_TCP), ("udp", res.PROTOCOL_UDP))))
            return True
        except ApiError as error:
            if error.reason != "BIND_FAILED":
                raise
            return False

    def test_iperf3_both_ways_over_udp(self):
        _, port = self.start_on_free_port(
            "iperf3", lambda port: ["iperf3", "--server", "--one-off", "--bind", "127.0.0.1",
                                    "--port", port, "--forceflush"], "Server listening", "stdout")
        host, listener = split_address(self.start_both_protocols(f"127.0.0.1:{port}"))

        said = subprocess.run(
            ["iperf3", "--client", host, "--port", str(listener), "--udp", "--bidir", "--bitrate",
             "20M", "--length", "1400", "--window", "1M", "--time", str(SECONDS), "--json"],
            capture_output=True, text=True, timeout=LIMIT, check=True).stdout

        end = json.loads(said)["end"]
        up, down = end["sum"], end["sum_bidir_reverse"]
        stats = self.udp_counts()
        self.report(
            up_packets=up["packets"], up_lost=up["lost_packets"], down_packets=down["packets"],
            down_lost=down["lost_packets"], up_jitter_ms=round(up["jitter_ms"], 3),
            down_jitter_ms=round(down["jitter_ms"], 3), sidelb_in=stats.packets_in,
            sidelb_out=stats.packets_out, sidelb_sessions=stats.total)
        for way in (up, down):
            self.assertGreater(way["packets"], 1000)
            # None on a quiet machine; queues of the kernel overflow when nobody gets CPU time.
            self.assertLessEqual(way["lost_packets"], way["packets"] // 20)
        self.assertEqual(stats.total, 2, "a session for each way")

    def udp_counts(self):
        said = json.loads(self.run_cli("stats", "-o", "json", endpoint=self.daemon.endpoint).stdout)
        return next(Counts(row) for row in said["rows"] if row["name"] == "udp")


class Load:
    """Clients that each send numbered datagrams, the next one when the last one is answered or
    `patience` has passed. What comes late is not lost."""

    def __init__(self, address, clients, patience=2.0):
        self._patience = patience
        self._changed = threading.Condition()
        self.sent = 0
        self.answers = []  # (moment, name of the backend, client)
        self.lost = set()  # (client, number)
        self._is_stopping = False
        self._clients = [UdpClient(address) for _ in range(clients)]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        selector = selectors.DefaultSelector()
        awaited = {}  # client -> (number, moment)
        for index, client in enumerate(self._clients):
            client.socket.setblocking(False)
            selector.register(client.socket, selectors.EVENT_READ, index)
            self._send(index, 0, awaited)
        while awaited:
            for key, _ in selector.select(self._patience / 10):
                self._receive(key.data, awaited)
            now = time.monotonic()
            for index, (number, moment) in list(awaited.items()):
                if now - moment > self._patience:
                    self.lost.add((index, number))
                    self._send(index, number + 1, awaited)
        selector.close()

    def _send(self, index, number, awaited):
        if self._is_stopping:
            awaited.pop(index, None)
            return
        awaited[index] = (number, time.monotonic())
        self._clients[index].send(struct.pack(">II", index, number))
        self.sent += 1

    def _receive(self, index, awaited):
        name, _, data = self._clients[index].receive().partition(b" ")
        client, number = struct.unpack(">II", data)
        assert client == index, "an answer for another client"
        with self._changed:
            self.answers.append((time.monotonic(), name.decode(), index))
            self._changed.notify_all()
        if (index, number) in self.lost:
            self.lost.discard((index, number))
        elif index in awaited and awaited[index][0] == number:
            self._send(index, number + 1, awaited)

    def wait_answers(self, count, since=0.0):
        """Waits until each client has so many answers that came after a moment; who gave those."""
        def enough():
            after = [(name, index) for moment, name, index in self.answers if moment > since]
            counts = collections.Counter(index for _, index in after)
            return len(counts) == len(self._clients) and min(counts.values()) >= count and after
        with self._changed:
            if not (found := self._changed.wait_for(enough, LIMIT)):
                raise AssertionError(f"not every client got {count} answers")
            return {name for name, _ in found}

    def stop(self):
        self._is_stopping = True
        self._thread.join(LIMIT)

    def close(self):
        self.stop()
        for client in self._clients:
            client.close()


class Death(ProtocolCase):

    def start_echo(self, name):
        program = self.start_program(name, command=[
            sys.executable, str(Path(__file__).with_name("udp_echo.py")), name])
        return program, program.wait_line(r"listens on (\S+)$").group(1)

    def test_a_killed_backend_costs_a_client_what_it_had_in_hand_and_one_more(self):
        clients = 30
        for policy in (res.UDP_POLICY_SESSION, res.UDP_POLICY_REQUEST_RESPONSE):
            with self.subTest(policy=res.UdpPolicy.Name(policy)):
                backends = {name: self.start_echo(name) for name in "abc"}
                listener = self.start_udp_pool(policy, *(a for _, a in backends.values()))
                load = self.keep(Load(listener, clients))
                self.assertEqual(load.wait_answers(20), {"a", "b", "c"})

                backends["b"][0].kill()
                killed = time.monotonic()
                load.wait_answers(20, killed)
                load.stop()

                stats = self.stats()
                dead = stats[backends["b"][1]]
                self.report(policy=res.UdpPolicy.Name(policy), sent=load.sent,
                            answered=len(load.answers), lost=len(load.lost),
                            sent_on=stats["listener"].packets_in,
                            answers_passed_on=stats["listener"].packets_out,
                            refused=dead.connect_errors)
                # The one that it never read, and the one whose refusal told of its death.
                self.assertLessEqual(max(collections.Counter(
                    client for client, _ in load.lost).values(), default=0), 2)
                self.assertEqual(load.sent, len(load.answers) + len(load.lost))
                self.assertEqual(stats["listener"].packets_in, load.sent)
                self.assertEqual(stats["listener"].packets_out, len(load.answers))
                self.assertEqual(stats["listener"].packets_in - stats["listener"].packets_out,
                                 dead.packets_in - dead.packets_out, "only there is any lost")
                self.assertGreater(dead.connect_errors, 0)
                self.daemon.stop()


if __name__ == "__main__":
    main()
