"""NGINX stream, tuned as its manuals advise for layer 4."""

import resource
from pathlib import Path

from comparison.proxy import BULK, TCP, UDP, UDP_NEW, Proxy, first_line

MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")

# worker_processes 1: one core, as all here. access_log off: nothing is logged.
# multi_accept on: takes all that wait in one turn.
# bulk: with buffers as large as SideLB's pipes, which the manual does not advise: half the CPU, and
# 512 KiB for each connection as long as it lives.
# udp: reuseport, as the manual advises for UDP, and queues as large as SideLB asks for.
# udp-new: proxy_responses 1 ends a session with its answer, as the manual advises for DNS.
# max_fails=0: it keeps no count of failures.
CONFIG = """{load}
daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
pid {folder}/pid;
error_log stderr crit;
events {{
  worker_connections 19000;
  multi_accept on;
}}
stream {{
  access_log off;
  proxy_connect_timeout 3s;
  upstream up {{
{servers}
  }}
  server {{
    listen {tcp} backlog=4096;
    proxy_timeout 1h;
    proxy_pass up;
  }}
  server {{
    listen {bulk} backlog=4096;
    proxy_timeout 1h;
    proxy_buffer_size 256k;
    proxy_pass up;
  }}
  server {{
    listen {udp} udp reuseport rcvbuf=4m sndbuf=4m;
    proxy_timeout 60s;
    proxy_pass up;
  }}
  server {{
    listen {udp_new} udp reuseport rcvbuf=4m sndbuf=4m;
    proxy_timeout 15s;
    proxy_responses 1;
    proxy_pass up;
  }}
}}
"""


class Nginx(Proxy):
    name = "nginx"
    title = "NGINX"

    def command(self):
        servers = "\n".join(f"    server {address} max_fails=0;" for address in self.backends)
        config = self.folder / "nginx.conf"
        config.write_text(CONFIG.format(
            load=f"load_module {MODULE};" if MODULE.exists() else "", servers=servers,
            files=resource.getrlimit(resource.RLIMIT_NOFILE)[0], folder=self.folder,
            tcp=self.addresses[TCP],
            bulk=self.addresses[BULK], udp=self.addresses[UDP], udp_new=self.addresses[UDP_NEW]))
        return [self.program, "-c", config, "-p", self.folder, "-e", "stderr"]

    def version(self):
        return first_line([self.program, "-v"])
