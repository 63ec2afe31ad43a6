"""A gateway with its engines, sites and tenants, put together in one folder."""
import hashlib
import json
import os
import pathlib
import re
import secrets

from . import doors
from .processes import Children, Failed, run, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]

PRICE = {"input": "0.50", "cached_input": "0.10", "output": "2.00"}  # CNY per 1M tokens
SHARES = {"platform": 300000, "site": 650000, "vendor": 50000}       # ppm


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


class World:
    """Use it in a `with` block: all that was started ends with it. Ports are free ones.

    `build`: the folder with the programs. `folder`: configuration, logs and data.
    """

    def __init__(self, folder, build=None):
        self.folder = pathlib.Path(folder)
        self.build = pathlib.Path(build or os.environ.get("TRIBUTARY_BUILD") or ROOT / "build" / "release")
        self.program = self.build / "tributary"
        self.children = Children()
        self.token = secrets.token_hex(16)
        self.key = "sk-" + secrets.token_hex(24)
        self.gateway = None
        self.url = self.sites_url = None

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_):
        self.children.stop()

    @property
    def customer(self):
        return doors.Customer(self.url, self.key)

    @property
    def admin(self):
        return doors.Admin(self.url, self.token)

    def start(self, name, argv, env=None):
        return self.children.start(name, argv, self.folder / f"{name}.log", env, self.folder)

    def engine(self, name, argv=None, timeout_s=60.0, flags=()):
        """Starts an engine, the scripted one unless `argv` says otherwise. Gives its URL."""
        scripted = [self.fake_engine(), "--port", "0", "--name", name, "--models", "smollm2-135m", *flags]
        child = self.start(name, argv or scripted)
        return child.wait_ready(r"^ready (http://\S+)", timeout_s).group(1)

    def engines(self, name, count, flags=()):
        """Starts `count` scripted engines in one process: they share log and counters. Gives their URLs."""
        child = self.start(name, [self.fake_engine(), "--port", "0", "--name", name, "--engines", count, *flags])
        child.wait_ready(rf"(?:^ready http://\S+\n){{{count}}}")
        return re.findall(r"^ready (http://\S+)", child.output(), re.MULTILINE)

    def wait_offers(self, sites, timeout_s=20.0):
        """Until each of `sites` has offers."""
        wait_until(lambda: set(sites) <= {offer["site"] for offer in self.admin.get("/admin/v1/offers")},
                   f"offers of {', '.join(sites)}", timeout_s, 0.05)

    def fake_engine(self):
        for place in ("tributary-fake-engine", "tools/fakes/tributary-fake-engine"):
            if (self.build / place).exists():
                return self.build / place
        raise Failed(f"tributary-fake-engine is not built in {self.build}")

    def write(self, name, config):
        """JSON is YAML: what is written needs no further library."""
        path = self.folder / name
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        return path

    def config(self, sites, models=("smollm2-135m",), tenants=None, gateway=None, contracts=None):
        """A whole gateway configuration; every argument replaces a default. Engines see the test's requests alone:
        no trial generations."""
        return {
            "gateway": {"listen": "127.0.0.1:0", "sites": {"listen": "127.0.0.1:0"}, "data": "var",
                        "admin": {"token_env": "TRIBUTARY_ADMIN_TOKEN"}, "probe_generation": "0s", **(gateway or {})},
            "store": {"url": "sqlite:var/ledger.db"},
            "models": [{"id": m, "context": 2048, "price": {"from": "2026-01-01", **PRICE}} for m in models],
            "contracts": contracts or [{"id": "standard", "from": "2026-01-01", "shares": SHARES}],
            "sites": sites,
            "tenants": tenants or [self.tenant()],
        }

    def tenant(self, id="acme", key=None, **fields):
        return {"id": id, "keys": [{"sha256": sha256(key or self.key)}], "balance": "100.00",
                "privacy": "any", **fields}

    def serve(self, config, timeout_s=30.0, env=None):
        """Writes gateway.yaml, starts the gateway and waits for its ready line."""
        path = config if isinstance(config, pathlib.Path) else self.write("gateway.yaml", config)
        env = {"TRIBUTARY_ADMIN_TOKEN": self.token, **(env or {})}
        self.gateway = self.start("gateway", [self.program, "gateway", "--config", path], env)
        line = self.gateway.wait_ready(r"ready customers=(http\S+)(?: sites=(http\S+))?", timeout_s)
        self.url, self.sites_url = line.group(1), line.group(2)
        return self.gateway

    def command(self, *argv, check=True, timeout_s=60.0):
        """An administrative subcommand against this gateway."""
        env = {"TRIBUTARY_URL": self.url or "", "TRIBUTARY_ADMIN_TOKEN": self.token}
        return run([self.program, *argv], env, self.folder, timeout_s, check)

    def agent(self, site, engine_url, devices=None, probe_generation="0s", **engine):
        """Invites `site`, enrols its agent, starts it and approves it: the site may then earn.
        `engine`: further keys of its engine, such as models and capacity."""
        token = self.command("site", "invite", site).stdout.strip()
        if not token or len(token.split()) != 1:
            raise Failed(f"site invite {site}: the token alone was expected on standard output, not {token[:80]!r}")
        config = {"agent": {"gateway": self.sites_url, "state": f"{site}-state", "probe_generation": probe_generation},
                  "engines": [{"url": engine_url, **engine}], "lend": {"when": "always"}}
        if devices:
            config["devices"] = devices
        path = self.write(f"{site}.yaml", config)
        self.command("agent", "enrol", token, "--config", path)
        child = self.start(site, [self.program, "agent", "--config", path])
        child.wait_ready()
        self.command("site", "approve", site)
        return child

    def rated(self, request_id, timeout_s=15.0):
        """The life of a request once its end has been rated."""
        def done():
            answer = self.admin.call("GET", f"/admin/v1/requests/{request_id}")
            if answer.status != 200:
                return None
            life = answer.json()
            return life if life.get("charge") is not None and life.get("parts") else None

        return wait_until(done, f"rated request {request_id}", timeout_s, 0.05)
