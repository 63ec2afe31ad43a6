"""A gateway whose store is PostgreSQL, seen from outside: it serves while the store is away, catches up by itself, and every answer is
billed once; what cannot be read is said, never answered empty; a copy goes back into an empty database with the same seals."""
import concurrent.futures
import json
import re
import signal
import sys
import unittest

from support import MODEL, PRICE, Failed, World, tempfile, wait_until
from demo import arithmetic
from demo.arithmetic import pico
from harness.doors import Customer
from postgres_server import USER, Postgres, binaries
from store_doors import check_unreadable, this_month

if binaries() is None:
    print("SKIPPED: there is no PostgreSQL")
    sys.exit(77)

BACKLOG = 1000  # the least that may be configured
DEAR = {"input": "0.60", "cached_input": "0.10", "output": "3.00"}


class OverPostgres(unittest.TestCase):
    def setUp(self):
        self.server = Postgres()
        self.server.__enter__()
        self.addCleanup(self.server.__exit__)
        folder = tempfile.TemporaryDirectory(prefix="tributary-postgres-")
        self.addCleanup(folder.cleanup)
        self.world = World(folder.name)
        self.world.__enter__()
        self.addCleanup(self.world.__exit__)
        self.world.command("store", "setup", self.server.url(USER))
        engine = self.world.engine("engine")
        site = {"id": "dc-0", "kind": "datacenter", "vendor": "nvidia", "contract": "standard",
                "engines": [{"url": engine, "models": {MODEL: MODEL, "dear": MODEL}, "capacity": 8}]}
        tenant = self.world.tenant(limits={"requests_per_minute": 0, "tokens_per_minute": 0, "in_flight": 0})
        config = self.world.config([site], models=[MODEL, "dear"], tenants=[tenant])
        config["store"] = {"url": self.server.url(), "backlog": BACKLOG}
        self.config = self.world.write("gateway.yaml", config)
        self.answered, self.paid = set(), pico("100.00")

    def serve(self):
        return self.world.serve(self.config)

    def reload(self, backlog=BACKLOG, **store):
        config = json.loads(self.config.read_text())
        config["store"].update({"backlog": backlog, **store})
        self.world.write("gateway.yaml", config)
        before = len(self.said("reloaded"))
        self.world.gateway.signal(signal.SIGHUP)
        wait_until(lambda: len(self.said("reloaded")) > before, "reload")

    # Customers.

    def ask(self, n, model=MODEL):
        stream = n % 2 == 0
        answer = Customer(self.world.url, self.world.key).chat(f"hello {n}", stream=stream, model=model, max_tokens=8)
        if answer.status == 200:
            self.assertTrue(answer.done if stream else "usage" in answer.json(), answer.body)
            self.answered.add(answer.request_id)
        return answer

    def ask_all(self, count, model=MODEL):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for answer in pool.map(lambda n: self.ask(n, model), range(count)):
                self.assertEqual(200, answer.status, answer.body)

    def ask_until_refused(self):
        for n in range(2 * BACKLOG):
            answer = self.ask(n)
            if answer.status != 200:
                self.assertEqual((503, "ledger_behind"), (answer.status, answer.json()["error"]["code"]))
                return answer
        self.fail("nothing bounds what waits for the store")

    # The operator.

    def post(self, path, body):
        return self.world.admin.call("POST", "/admin/v1/" + path, body)

    def top_up(self, name):
        return self.post("tenants/acme/topups", {"id": name, "amount": "0.25"})

    def topped_up(self, name):
        """For good, once, however often it was asked for."""
        answer = self.top_up(name)
        self.assertEqual(200, answer.status, answer.body)
        self.paid += pico("0.25")

    def metric(self, name):
        text = self.world.customer.call("GET", "/metrics").body.decode()
        return int(re.search(rf"(?m)^{name} (-?\d+)$", text).group(1))

    def said(self, event):
        return [line for line in map(json.loads, filter(lambda l: l.startswith("{"), self.world.gateway.output().splitlines()))
                if line.get("event") == event]

    def ready(self):
        answer = self.world.customer.call("GET", "/readyz")
        return answer.status, answer.body.decode().strip()

    def caught_up(self):
        """Everything that has ended is posted."""
        def idle():
            answer = self.world.admin.call("GET", "/admin/v1/tenants/acme")
            if answer.status != 200:
                return None
            shown = answer.json()
            return shown if shown["in_flight"] == 0 and pico(shown["unposted"]) == 0 and self.metric("tributary_poster_lag_records") == 0 else None

        return wait_until(idle, "store that has caught up", 30, 0.05)

    def check(self):
        """Figures of the running gateway; then of its data when it has ended."""
        shown = self.caught_up()
        lives = [self.world.rated(request) for request in sorted(self.answered)]
        charged = 0
        for life in lives:
            self.assertEqual("completed", life["outcome"])
            tokens = {k: int(v) for k, v in life["tokens"].items()}
            self.assertEqual(arithmetic.charge(tokens, PRICE if life["price_version"] == 1 else DEAR), pico(life["charge"]))
            charged += pico(life["charge"])
        self.assertEqual([[str(len(lives)), str(len(lives))]],  # nothing beside, nothing twice
                         self.server.ask("SELECT count(*), count(DISTINCT request_id) FROM tributary.usage WHERE state = 0"))
        books = self.world.admin.get("/admin/v1/ledger/trial-balance")
        self.assertEqual("0", books["sum"])
        self.assertEqual({0}, set(books["quantity_sum"].values()))
        accounts = {a["account"]: pico(a["credit"]) - pico(a["debit"]) for a in books["accounts"]}
        self.assertEqual(self.paid - charged, accounts["L200/acme"])
        self.assertEqual(accounts["L200/acme"], pico(shown["balance"]))
        verdict = self.world.command("audit", "verify", check=False)
        self.assertEqual(0, verdict.returncode, verdict.stdout + verdict.stderr)

    def check_stopped(self):
        self.assertEqual(0, self.world.gateway.stop())
        verdict = self.world.command("audit", "verify", "--config", self.config, check=False)
        self.assertEqual(0, verdict.returncode, verdict.stdout + verdict.stderr)

    # Tests.

    def test_invariant_12_a_store_that_goes_away_stops_nobody_and_catches_up(self):
        self.serve()
        self.ask_all(12)
        self.topped_up("before")
        dear = {"model": "dear", "from": "2026-02-01", **DEAR}
        self.assertEqual(201, self.post("prices", dear).status)
        self.ask_all(6, "dear")
        self.check()

        self.server.stop()
        self.ask_all(20)
        wait_until(lambda: self.said("posting_failed"), "posting_failed in the log")
        waiting = self.metric("tributary_poster_lag_records")
        self.assertGreater(waiting, 20)
        check_unreadable(self, self.world, sorted(self.answered)[0])
        answer = self.top_up("away")
        self.assertEqual((503, "ledger_unavailable"), (answer.status, answer.json()["error"]["code"]))
        self.assertEqual((200, "ready"), self.ready())

        refused = self.ask_until_refused()
        self.assertGreaterEqual(int(refused.headers["retry-after"]), 1)
        self.assertGreater(self.metric("tributary_poster_lag_records"), max(BACKLOG, waiting))
        self.assertEqual(1, self.metric("tributary_ledger_behind"))
        self.assertEqual((503, "behind"), self.ready())
        self.assertEqual(1, len(self.said("ledger_behind")))
        self.reload(100 * BACKLOG)  # whoever has the disk for it may wait longer, without a restart that the store would refuse
        wait_until(lambda: self.ready() == (200, "ready"), "readiness")
        self.ask_all(4)
        self.reload(BACKLOG)
        wait_until(lambda: self.ready() == (503, "behind"), "books that are behind")

        caught_up = len(self.said("ledger_caught_up"))
        self.server.start()
        wait_until(lambda: self.ready() == (200, "ready"), "readiness", 30)
        self.assertEqual(caught_up + 1, len(self.said("ledger_caught_up")))
        self.topped_up("away")
        self.ask_all(6)
        self.check()

        with concurrent.futures.ThreadPoolExecutor(4) as pool:  # it dies under load, and nobody is told
            running = [pool.submit(self.ask, n) for n in range(60)]
            self.server.kill()
            for one in running:
                self.assertEqual(200, one.result().status)
        self.server.start()
        self.check()
        self.check_stopped()

    def test_a_store_that_says_nothing_stops_nobody_either(self):
        self.serve()
        self.ask_all(8)
        self.caught_up()
        with self.server.frozen():  # connected, and no answer ever
            self.ask_until_refused()
            self.assertEqual((503, "behind"), self.ready())
            self.reload(100 * BACKLOG)
            wait_until(lambda: self.ready() == (200, "ready"), "readiness")
            self.ask_all(4)
            self.reload(BACKLOG)
            wait_until(lambda: self.ready() == (503, "behind"), "books that are behind")
        wait_until(lambda: self.ready() == (200, "ready"), "readiness", 30)
        self.check()
        self.check_stopped()

    def test_invariant_12_a_gateway_that_dies_while_its_store_is_away(self):
        self.serve()
        self.ask_all(10)
        self.caught_up()
        self.server.stop()
        self.reload(url="sqlite:elsewhere.db")
        self.assertEqual(["store.url"], [line["keys"] for line in self.said("reload_needs_restart")])
        self.reload(url=self.server.url())
        self.ask_all(30)
        self.world.gateway.signal(signal.SIGKILL)
        self.world.gateway.wait(10)
        with self.assertRaises(Failed):  # it cannot know balances
            self.serve()
        self.assertEqual(1, self.world.gateway.wait(10))
        self.assertRegex(self.world.gateway.output(), r"(?m)^store: postgresql://tributary@\S+: .*connect")
        self.server.start()
        self.serve()
        self.ask_all(4)
        self.check()
        self.check_stopped()

    def test_a_copy_goes_back_into_an_empty_database_with_the_same_seals(self):
        self.serve()
        self.ask_all(10)
        self.topped_up("one")
        self.caught_up()
        self.page("before.html")
        self.world.command("backup", "--out", self.world.folder / "copy")
        self.ask_all(5)  # the journal alone has these when the server is lost
        self.check_stopped()
        seals = "SELECT id, encode(hash, 'hex') FROM tributary.batch ORDER BY id"
        sealed = self.server.ask(seals)
        self.server.make_database("other")
        self.world.command("store", "setup", self.server.url(USER, "other"))
        self.world.command("store", "copy", f"sqlite:{self.world.folder}/copy/ledger.db", self.server.url(database="other"))
        copied = self.server.ask(seals, "other")
        self.assertEqual(sealed[:len(copied)], copied)
        self.assertLess(len(copied), len(sealed))
        again = self.world.command("store", "copy", f"sqlite:{self.world.folder}/copy/ledger.db", self.server.url(database="other"), check=False)
        self.assertIn("is not empty", again.stderr)

        config = json.loads(self.config.read_text())
        config["store"]["url"] = self.server.url(database="other")
        self.config = self.world.write("gateway.yaml", config)
        self.serve()
        self.caught_up()
        self.assertEqual(sealed, self.server.ask(seals, "other")[:len(sealed)])
        over_postgres = self.export("over-postgres")
        self.check_stopped()

        self.world.command("store", "copy", self.server.url(database="other"), f"sqlite:{self.world.folder}/moved.db")  # and back to a file
        config["store"]["url"] = f"sqlite:{self.world.folder}/moved.db"
        self.world.write("gateway.yaml", config)
        self.serve()
        self.assertEqual(over_postgres, self.export("over-sqlite"))
        self.check_stopped()

    def test_a_second_gateway_on_the_store_is_refused(self):
        self.serve()
        config = json.loads(self.config.read_text())
        config["gateway"]["data"] = "elsewhere"
        second = self.world.start("second", [self.world.program, "gateway", "--config", self.world.write("second.yaml", config)],
                                  {"TRIBUTARY_ADMIN_TOKEN": "x"})
        self.assertEqual(1, second.wait(20))
        self.assertIn("another gateway writes shard 0 of this store", second.output())
        self.ask_all(4)
        self.check()

    def export(self, name):
        """The running month for the site, provisional: its files by name, without the manifest, which says when it was signed."""
        folder = self.world.folder / name
        self.world.command("export", "--period", this_month(), "--format", "csv", "--party", "site:dc-0", "--out", folder)
        files = {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.startswith("manifest")}
        self.assertTrue(any(b"dc-0" in content for content in files.values()), files.keys())
        return files

    def page(self, name):
        """The running month's statement of the site, as a page."""
        self.world.command("statement", "show", f"{this_month()}/site:dc-0", "--html", self.world.folder / name)
        text = (self.world.folder / name).read_text(encoding="utf-8")
        self.assertIn("rovisional", text)
        self.assertIn("site:dc-0", text)


if __name__ == "__main__":
    unittest.main()
