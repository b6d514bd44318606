"""sidelb-load on its CPU: for each proxy the backends behind it, and scenarios through it."""

import json
import select
import subprocess

from comparison.proxy import READY_SECONDS, pin
from report import BenchError

ANSWER_SECONDS = 35


class Load:
    def __init__(self, program, cpu):
        self.program = program
        self.cpu = cpu
        self.processes = {}

    def start(self, proxy):
        """The backends; they stay until close(), because health checks want them to."""
        command = [self.program]
        for address in proxy.served:
            command += ["--backend", address]
        self.processes[proxy] = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, preexec_fn=lambda: pin({self.cpu}))
        self._read_line(proxy, READY_SECONDS, "its backends")

    def close(self):
        for process in self.processes.values():
            process.stdin.close()
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
            process.stderr.close()
        self.processes.clear()

    def _read_line(self, proxy, seconds, title):
        process = self.processes[proxy]
        ready, _, _ = select.select([process.stdout], [], [], seconds)
        line = process.stdout.readline() if ready else None
        if line:
            return line
        process.kill()
        words = process.stderr.read().strip()
        if line is None:
            raise BenchError(f"{proxy.title}, {title}: no result in time; {words}")
        raise BenchError(f"{proxy.title}, {title}: {words}\n{proxy.log_text()}")

    def _write_line(self, proxy, line):
        process = self.processes[proxy]
        process.stdin.write(line + "\n")
        process.stdin.flush()

    def begin(self, proxy, purpose, arguments):
        line = [*map(str, arguments), "--proxy", proxy.addresses[purpose]]
        for pid in proxy.pids():
            line += ["--pid", str(pid)]
        self._write_line(proxy, " ".join(line))

    def end_idle(self, proxy):
        """The connections of the scenario idle go with the next line, whatever it says."""
        self._write_line(proxy, "")

    def result(self, proxy, title, seconds):
        """What was done. A scenario with an error gives no figure."""
        result = json.loads(self._read_line(proxy, seconds + ANSWER_SECONDS, title))
        if result["errors"]:
            raise BenchError(f"{proxy.title}, {title}: {result['errors']} connections or datagrams "
                             f"failed; its log:\n{proxy.log_text()}")
        if result["units"] == 0:
            raise BenchError(f"{proxy.title}, {title}: nothing came through")
        return result

    def run(self, proxy, purpose, arguments, title, seconds):
        self.begin(proxy, purpose, [*arguments, "--seconds", seconds])
        return self.result(proxy, title, seconds)
