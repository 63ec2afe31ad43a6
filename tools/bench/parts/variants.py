"""What is compared: the engine alone, plain proxies, and the gateway with everything on."""
import hashlib
import os
import pathlib
import re
import shutil
import socket
import subprocess

from tools.harness.doors import Admin
from tools.harness.processes import Child, Failed, wait_until

# "floor" is tools/bench/net_floor: the gateway's own net and http rooms and nothing else.
NAMES = ("direct", "nginx", "haproxy", "floor", "gateway-5ms", "gateway-always")
KEY = "bench-key"
ADMIN = "bench-admin-token"

NGINX = """
daemon off;
worker_processes {workers};
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log warn;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  keepalive_requests 100000000;
  keepalive_timeout 600s;
  client_body_buffer_size 64k;
  tcp_nodelay on;
  upstream engine {{
    server 127.0.0.1:{engine};
    keepalive 1024;
    keepalive_requests 100000000;
    keepalive_timeout 600s;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://engine;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 600s;
    }}
  }}
}}
"""

HAPROXY = """
global
  nbthread {workers}
  maxconn 8192
defaults
  mode http
  option http-keep-alive
  option http-no-delay
  http-reuse always
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 600s
frontend customers
  bind 127.0.0.1:{port} backlog 4096
  default_backend engine
backend engine
  server engine 127.0.0.1:{engine} pool-max-conn 4096 maxconn 8192
"""

# Authentication, limits, holds, metering and the journal are on; what is generous here is only so
# that nobody is refused.
GATEWAY = """
gateway:
  listen: 127.0.0.1:{port}
  sites: {{ listen: 127.0.0.1:0 }}
  data: {folder}/{name}
  journal: {{ sync: {sync} }}
  workers: {workers}
  deadlines: {{ first_token: 10m, gap: 10m, stall: 10m, total: 30m, idle: 10m }}
  limits: {{ connections: 20000 }}
  admin: {{ token_env: TRIBUTARY_ADMIN_TOKEN }}
store: {{ url: "sqlite:{folder}/{name}/ledger.db" }}
models:
  - id: fake-model
    context: 4096
    price: {{ from: 2026-01-01, input: "0.50", cached_input: "0.10", output: "2.00" }}
contracts:
  - id: standard
    from: 2026-01-01
    shares: {{ platform: 300000, site: 650000, vendor: 50000 }}
sites:
  - id: dc-one
    kind: datacenter
    vendor: nvidia
    contract: standard
    engines:
      - url: http://127.0.0.1:{engine}
        models: [fake-model]
        capacity: 10000
tenants:
  - id: bench
    keys: [ {{ sha256: "{key}" }} ]
    balance: "100000000.00"
    privacy: any
    limits: {{ requests_per_minute: 100000000, tokens_per_minute: 1000000000000, in_flight: 10000 }}
"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def accepts(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def tree(pid):
    """The process and everything below it."""
    below = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError, ValueError):
            continue  # it ended meanwhile
        below.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting += below.get(one, [])
    return found


def memory_kib(pids):
    """(PSS, RSS) of the processes together, in KiB."""
    pss = rss = 0
    for pid in pids:
        try:
            lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            if line.startswith("Pss:"):
                pss += int(line.split()[1])
            elif line.startswith("Rss:"):
                rss += int(line.split()[1])
    return pss, rss


class Field:
    """All that is compared, running side by side; only one at a time has work."""

    def __init__(self, chosen, folder):
        self.chosen, self.folder = chosen, folder
        self.children, self.ports, self.pids, self.notes = {}, {}, {}, []

    def __enter__(self):
        try:
            self.start_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for child in reversed(list(self.children.values())):
            child.stop()

    def start_all(self):
        engine = Child("engine", [pathlib.Path(self.chosen.build) / "tributary-fake-engine", "--models",
                                  "fake-model", "--slots", "100000", "--log-max", "0"],
                       self.folder / "engine.log")
        self.children["direct"] = engine
        url = engine.wait_ready(r"^ready http://127\.0\.0\.1:(\d+)")
        self.engine_port = int(url.group(1))
        self.ports["direct"] = self.engine_port
        for name in self.chosen.variants:
            if name != "direct":
                self.start(name)
        for name, child in self.children.items():
            self.pids[name] = tree(child.pid)

    def start(self, name):
        program = {"nginx": shutil.which("nginx") or "/usr/sbin/nginx",
                   "haproxy": shutil.which("haproxy") or "/usr/sbin/haproxy",
                   "floor": str(pathlib.Path(self.chosen.build) / "net_floor")}.get(name, self.chosen.gateway)
        if not os.access(program, os.X_OK):
            self.notes.append(f"{name} is left out: no {program}")
            return
        port = free_port()
        values = {"port": port, "engine": self.engine_port, "workers": self.chosen.workers, "name": name,
                  "folder": self.folder, "key": hashlib.sha256(KEY.encode()).hexdigest(),
                  "sync": name.partition("-")[2]}
        text = {"nginx": NGINX, "haproxy": HAPROXY, "floor": ""}.get(name, GATEWAY).format(**values)
        config = self.folder / f"{name}.conf"
        config.write_text(text, encoding="utf-8")
        if name.startswith("gateway"):
            (self.folder / name).mkdir(exist_ok=True)
        argv = {"nginx": [program, "-p", self.folder, "-e", self.folder / "nginx-error.log", "-c", config],
                "haproxy": [program, "-db", "-f", config],
                "floor": [program, port, self.engine_port]}.get(name, [program, "gateway", "--config", config])
        child = Child(name, argv, self.folder / f"{name}.log", env={"TRIBUTARY_ADMIN_TOKEN": ADMIN})
        self.children[name] = child
        self.ports[name] = port

        def listening():
            if not child.running():
                raise Failed(f"{name} ended: {child.last_line()} (log: {child.log})")
            return accepts(port)
        wait_until(listening, f"{name} listening", 20)

    def running(self):
        return [name for name in self.chosen.variants if name in self.ports]

    def settle(self):
        """Until no gateway posts any more what it was given before: another's figures would suffer from it."""
        for name in self.running():
            if name.startswith("gateway"):
                wait_until(lambda name=name: self.metric(name, "poster_lag_records") == 0, f"end of {name}'s posting", 60)

    def metric(self, name, figure):
        text = Admin(f"http://127.0.0.1:{self.ports[name]}", ADMIN).call("GET", "/metrics").body.decode()
        return float(re.search(rf"^tributary_{figure} (\S+)$", text, re.M).group(1))

    def ledger_line(self):
        """What the gateways' books say, so that nobody measures a gateway that does not account."""
        lines = []
        for name in self.running():
            if not name.startswith("gateway"):
                continue
            try:
                books = Admin(f"http://127.0.0.1:{self.ports[name]}", ADMIN).get("/admin/v1/ledger/trial-balance")
                lines.append(f"{name}: trial balance of {len(books['accounts'])} accounts sums to {books['sum']}")
            except (OSError, ValueError, KeyError) as why:
                lines.append(f"{name}: no trial balance: {why}")
        return "\n".join(lines)


def version_of(argv):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return "none"
    return (done.stdout + done.stderr).strip().splitlines()[0]
