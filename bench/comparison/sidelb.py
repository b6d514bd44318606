"""SideLB with its defaults: its control endpoint, health checks and counters are on."""

import json
import shlex

from comparison.proxy import BULK, TCP, UDP, UDP_NEW, Proxy, first_line

COMMAND = ("{program} --config {config} --shards {shards} --control unix:{folder}/control.sock "
           "--status-socket {folder}/status.sock")


class SideLb(Proxy):
    """`template` is how it starts; `health_check` and `backends` where the defaults do not do."""

    name = "sidelb"
    title = "SideLB"

    def __init__(self, number, program, template=COMMAND, shards=1, health_check=None):
        super().__init__(number, program)
        self.template = template
        self.shards = shards
        self.health_check = health_check

    @property
    def control(self):
        return f"unix:{self.folder}/control.sock"

    def config(self):
        """One pool behind all listeners; the TCP one makes its backends be probed."""
        listeners = [{"name": name, "address": self.addresses[name], "pool": "web"}
                     for name in (TCP, BULK)]
        # A session for each datagram ends with its answer: the policy for DNS.
        listeners += [{"name": name, "address": self.addresses[name], "pool": "web",
                       "protocol": "PROTOCOL_UDP", "udpPolicy": policy}
                      for name, policy in ((UDP, "UDP_POLICY_SESSION"),
                                           (UDP_NEW, "UDP_POLICY_REQUEST_RESPONSE"))]
        pool = {"name": "web", "mode": "MODE_ROUND_ROBIN"}
        if self.health_check:
            pool["healthCheck"] = self.health_check
        backends = [{"pool": "web", "address": address} for address in self.backends]
        return {"listeners": listeners, "pools": [pool], "backends": backends}

    def command(self):
        config = self.folder / "sidelb.json"
        config.write_text(json.dumps(self.config()))
        return [part.format(program=self.program, config=config, folder=self.folder,
                            shards=self.shards) for part in shlex.split(self.template)]

    def version(self):
        if not self.template.startswith("{program}"):
            return f"by {self.template.split()[0]}"
        return first_line([self.program, "--version"])
