"""HAProxy, tuned as its manuals advise for layer 4."""

from comparison.proxy import BULK, TCP, Proxy, first_line

# nbthread 1: one core, as all here. No `log` line: nothing is logged.
# maxconn: not set, then it is what the limit of descriptors allows.
# option splice-auto: the kernel moves bulk where HAProxy finds that it is bulk.
# bulk: told to splice always, with pipes as large as SideLB's: what its manual does not advise, but
# half the CPU of splice-auto.
# No `check`: nothing is probed.
CONFIG = """global
  nbthread 1
  tune.pipesize 262144
defaults
  mode tcp
  option splice-auto
  timeout connect 3s
  timeout client 1h
  timeout server 1h
  balance roundrobin
listen tcp
  bind {tcp}
{servers}
listen bulk
  bind {bulk}
  option splice-request
  option splice-response
{servers}
"""


class HaProxy(Proxy):
    name = "haproxy"
    title = "HAProxy"
    listeners = (TCP, BULK)  # it has no UDP

    def command(self):
        servers = "\n".join(f"  server b{i} {address}" for i, address in enumerate(self.backends))
        config = self.folder / "haproxy.cfg"
        config.write_text(CONFIG.format(servers=servers, **self.addresses))
        return [self.program, "-f", config, "-db"]

    def version(self):
        return first_line([self.program, "-v"])
