"""The real program over a disk that breaks: kill -9, EIO and ENOSPC at drawn calls of journal and database, and
kills at drawn moments. After each a clean start: nothing acknowledged is missing, every sum closes (invariants 1, 11, 12, 19)."""
import concurrent.futures
import os
import pathlib
import random
import re
import signal
import struct
import threading
import unittest

from support import MODEL, GatewayCase, Failed, World, tempfile, wait_until
from demo.arithmetic import pico
from harness.doors import Admin, Customer

ROUNDS = int(os.environ.get("TRIBUTARY_CRASH_ROUNDS", "6"))  # bounded: each is two starts
SHIM = pathlib.Path(os.environ["TRIBUTARY_BUILD"]) / "tests" / "support" / "libdisk_fault.so" if "TRIBUTARY_BUILD" in os.environ else None
BUDGETS = {"day": "50.00", "month": "60.00"}


class Crash(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="tributary-crash-")
        self.addCleanup(self.folder.cleanup)
        self.world = World(self.folder.name)
        self.world.__enter__()
        self.addCleanup(self.world.__exit__)
        engine = self.world.engine("engine")
        site = {"id": "dc-0", "kind": "datacenter", "vendor": "nvidia", "contract": "standard",
                "engines": [{"url": engine, "models": [MODEL], "capacity": 8}]}
        tenant = self.world.tenant(budgets=BUDGETS, limits={"requests_per_minute": 0, "tokens_per_minute": 0, "in_flight": 0})
        self.config = self.world.write("gateway.yaml", self.world.config([site], tenants=[tenant]))
        self.acknowledged, self.topups = set(), set()
        self.lock = threading.Lock()

    def start_on_a_bad_disk(self, at, what):
        """A gateway whose disk breaks at that call, if it comes up before."""
        count = self.world.folder / "count"
        count.unlink(missing_ok=True)
        env = {"TRIBUTARY_ADMIN_TOKEN": self.world.token, "LD_PRELOAD": str(SHIM), "TRIBUTARY_DISK_COUNT": str(count),
               "TRIBUTARY_DISK_FAULT": f"{self.world.folder}/var/:{at}:{what}"}
        child = self.world.start("gateway", [self.world.program, "gateway", "--config", self.config], env)
        try:
            line = child.wait_ready(r"ready customers=(http\S+)", 30)
        except Failed:
            return child, None
        return child, line.group(1)

    def work(self, url, seed, until):
        """Customers and a bookkeeper; who gets a whole answer notes it."""
        def ask(n):
            stream = n % 2 == 0
            try:
                answer = Customer(url, self.world.key).chat(f"hello {seed} {n}", stream=stream, max_tokens=8)
            except Exception:  # whatever a dying server makes of a connection
                return
            if answer.status == 200 and (answer.done if stream else "usage" in answer.json()):
                with self.lock:
                    self.acknowledged.add(answer.request_id)

        def top_up(n):
            name = f"t-{seed}-{n}"
            with self.lock:
                self.topups.add(name)  # whatever comes of it: it is asked for again until there is an answer
            try:
                Admin(url, self.world.token).call("POST", "/admin/v1/tenants/acme/topups", {"id": name, "amount": "0.25"})
            except Exception:
                pass

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for n in range(24):
                if until():
                    break
                jobs = [pool.submit(ask, n * 3 + k) for k in range(3)] + ([pool.submit(top_up, n)] if n % 4 == 0 else [])
                concurrent.futures.wait(jobs)

    def check(self, child):
        child.stop(1.0)
        self.world.serve(self.config)
        for request in self.acknowledged:
            life = self.world.rated(request)
            self.assertEqual("completed", life["outcome"], request)
        for name in sorted(self.topups):  # each happens once
            answer = self.world.admin.call("POST", "/admin/v1/tenants/acme/topups", {"id": name, "amount": "0.25"})
            self.assertEqual(200, answer.status, answer.body)
        books = self.world.admin.get("/admin/v1/ledger/trial-balance")
        self.assertEqual("0", books["sum"])
        accounts = {a["account"]: pico(a["credit"]) - pico(a["debit"]) for a in books["accounts"]}
        earned = sum(v for k, v in accounts.items() if k[:4] in ("R300", "L210", "L220", "L230", "L250"))
        paid = pico("100.00") + len(self.topups) * pico("0.25")
        self.assertEqual(paid - accounts["L200/acme"], earned)
        shown = wait_until(lambda: self.idle(), "no hold once idle")
        self.assertEqual(accounts["L200/acme"], pico(shown["balance"]))
        for budget in shown["budgets"]:  # no reset with a restart
            self.assertEqual(earned, pico(budget["spent"]))
        metrics = self.world.customer.call("GET", "/metrics").body.decode()
        for name in ("tributary_holds_open", "tributary_holds_micro_cny", "tributary_holds_expired_total"):
            self.assertRegex(metrics, rf"(?m)^{name} 0$")
        self.world.gateway.stop()
        verdict = self.world.command("audit", "verify", "--config", self.config, check=False)
        self.assertEqual(0, verdict.returncode, verdict.stdout + verdict.stderr)

    def idle(self):
        shown = self.world.admin.get("/admin/v1/tenants/acme")
        return shown if shown["in_flight"] == 0 and pico(shown["unposted"]) == 0 else None

    def count(self):
        file = self.world.folder / "count"
        data = file.read_bytes() if file.exists() else b""
        return struct.unpack("q", data[:8])[0] if len(data) >= 8 else 0

    @unittest.skipUnless(SHIM and SHIM.exists(), "tests/support/disk_fault.c is not built")
    def test_invariant_12_the_disk_breaks_at_drawn_calls(self):
        seed = int(os.environ.get("TRIBUTARY_CRASH_SEED", "5"))
        draw = random.Random(seed)
        child, url = self.start_on_a_bad_disk(0, "eio")  # an undisturbed run, to know how many calls there are
        self.assertIsNotNone(url, child.last_line())
        self.work(url, 0, lambda: False)
        calls = self.count()
        self.assertGreater(calls, 100)
        self.check(child)
        for number in range(1, ROUNDS + 1):
            what = ("kill", "eio", "enospc", "full")[number % 4]
            at = draw.randrange(1, calls)
            with self.subTest(seed=seed, round=number, what=what, call=at, of=calls):
                child, url = self.start_on_a_bad_disk(at, what)
                if url is not None:
                    self.work(url, number, lambda: not child.running())
                self.check(child)

    def test_invariant_12_kills_at_drawn_moments(self):
        seed = int(os.environ.get("TRIBUTARY_CRASH_SEED", "6"))
        draw = random.Random(seed)
        for number in range(1, max(2, ROUNDS // 2) + 1):
            after_s = draw.uniform(0.05, 1.0)
            with self.subTest(seed=seed, round=number, after_s=after_s):
                child = self.world.serve(self.config)
                timer = threading.Timer(after_s, lambda: child.signal(signal.SIGKILL))
                timer.start()
                self.work(self.world.url, 1000 + number, lambda: not child.running())
                timer.join()
                self.check(child)


class TwoGateways(GatewayCase):
    def second(self, **changes):
        config = self.world.config([], tenants=[self.world.tenant(key="another")])
        config["gateway"] = {**config["gateway"], **changes}
        path = self.world.write("second.yaml", config)
        child = self.world.start("second", [self.world.program, "gateway", "--config", path], {"TRIBUTARY_ADMIN_TOKEN": "x"})
        code = child.wait(20)
        return code, child.output()

    def test_two_gateways_on_one_store_the_second_is_refused(self):
        self.assertEqual(200, self.world.customer.chat("hello").status)
        code, said = self.second(data="elsewhere")
        self.assertEqual(1, code, said)
        self.assertRegex(said, r"store\.url: \S*ledger\.db is in use by another gateway")
        code, said = self.second()
        self.assertEqual(1, code, said)
        self.assertIn("is in use by another gateway", said)
        self.assertEqual(200, self.world.customer.chat("hello").status)
        self.assertTrue(re.search(r'"sum": ?"0"', str(self.world.admin.get("/admin/v1/ledger/trial-balance")).replace("'", '"')))


class BudgetsAndCredit(GatewayCase):
    @classmethod
    def tenants(cls, world):
        return [world.tenant(), world.tenant("tight", "tight-key", balance="1.00", budgets={"day": "0.003"}),
                world.tenant("later", "later-key", balance="0", credit="0.50")]

    def test_a_budget_is_named_with_its_reset_and_survives_a_restart(self):
        customer = Customer(self.world.url, "tight-key")
        refused = None
        for _ in range(200):
            answer = customer.chat("hello", max_tokens=40)
            if answer.status != 200:
                refused = answer
                break
        self.assertIsNotNone(refused)
        error = self.error(refused, 429, "budget_exceeded")
        self.assertRegex(error["message"], r"tenant's budget of the day is used up: 0\.003 CNY, .* begins anew at \d{4}-\d\d-\d\dT00:00:00\.000\+08:00")
        self.assertGreaterEqual(int(refused.headers["retry-after"]), 1)
        before = self.world.admin.get("/admin/v1/tenants/tight")["budgets"]
        self.assertLessEqual(pico(before[0]["spent"]), pico("0.003"))
        self.world.gateway.signal(signal.SIGKILL)
        self.world.gateway.wait(10)
        self.world.serve(self.world.folder / "gateway.yaml")
        self.assertEqual(before, self.world.admin.get("/admin/v1/tenants/tight")["budgets"])
        self.error(Customer(self.world.url, "tight-key").chat("hello", max_tokens=40), 429, "budget_exceeded")
        shown = self.world.command("tenant", "show", "tight").stdout
        for word in ("unposted", "credit", "budgets", "resets_at"):
            self.assertIn(word, shown)

    def test_who_pays_afterwards_goes_below_zero_by_the_credit_alone(self):
        answer = Customer(self.world.url, "later-key").chat("hello", max_tokens=8)
        self.assertEqual(200, answer.status, answer.body)
        life = self.world.rated(answer.request_id)
        shown = self.world.admin.get("/admin/v1/tenants/later")
        self.assertEqual(-pico(life["charge"]), pico(shown["balance"]))
        self.assertEqual(pico("0.50") - pico(life["charge"]), pico(shown["available"]))


if __name__ == "__main__":
    unittest.main()
