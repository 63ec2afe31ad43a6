"""Finance's desk over real doors and the real command: orders, their repetition, what customers have left."""
import http.client
import json
import unittest
import urllib.parse

from support import MODEL, GatewayCase, wait_until
from demo.arithmetic import cny, pico


class Desk(GatewayCase):
    def tributary(self, *words, code=0):
        done = self.world.command(*words, check=False)
        self.assertEqual(code, done.returncode, done.stdout + done.stderr)
        return done.stdout if code == 0 else done.stderr

    def balance(self):
        return pico(next(t for t in self.world.admin.get("/admin/v1/tenants") if t["id"] == "acme")["balance"])

    def test_reversal_gives_the_customer_his_money_back_once(self):
        before = self.balance()
        answer = self.world.customer.chat("hello")
        charge = pico(self.world.rated(answer.request_id)["charge"])
        self.assertEqual(before - charge, self.balance())
        said = json.loads(self.tributary("ledger", "reverse", answer.request_id, "--reason", "a test", "--json"))
        self.assertEqual(("reversal", False), (said["kind"], said["repeated"]))
        self.assertEqual(0, sum(pico(leg["amount"]) for leg in said["legs"]))
        self.assertEqual(before, self.balance())
        self.assertIn("was posted already", self.tributary("ledger", "reverse", answer.request_id, "--reason", "a test"))
        self.assertEqual(before, self.balance())
        self.assertIn("nothing is left", self.tributary("ledger", "reverse", answer.request_id, "--reason", "another", code=1))

    def test_transfers_are_read_page_by_page(self):
        for n in range(5):
            self.world.admin.call("POST", "/admin/v1/tenants/acme/topups", {"id": f"page-{n}", "amount": "0.5"})
        self.world.rated(self.world.customer.chat("hello").request_id)
        whole = self.world.admin.get("/admin/v1/ledger/transfers?limit=1000")
        self.assertIsNone(whole["next"])
        seen, after = [], 0
        while after is not None:
            page = self.world.admin.get(f"/admin/v1/ledger/transfers?limit=2&after={after}")
            self.assertLessEqual(len(page["transfers"]), 2)
            seen += page["transfers"]
            after = page["next"]
        self.assertEqual(whole["transfers"], seen)
        self.assertTrue({"topup:acme:page-0", "topup:acme:page-4"} <= {one["document"] for one in seen})
        sums = {}
        for one in seen:
            self.assertEqual(0, sum(pico(leg["amount"]) for leg in one["legs"]))
            for leg in one["legs"]:
                sums[leg["account"]] = sums.get(leg["account"], 0) - pico(leg["amount"])
        shown = {one["account"]: pico(one["balance"]) for one in self.world.admin.get("/admin/v1/ledger/balances")}
        self.assertEqual({k: v for k, v in shown.items() if v}, {k: v for k, v in sums.items() if v})  # nothing of another month is there
        bank = self.world.admin.get("/admin/v1/ledger/transfers?limit=1000&account=A100")["transfers"]
        self.assertEqual(shown["A100"], -sum(pico(leg["amount"]) for one in bank for leg in one["legs"] if leg["account"] == "A100"))
        for wrong in ("limit=0", "limit=1001", "limit=x", "after=-1", "period=2026"):
            self.assertEqual(400, self.world.admin.call("GET", "/admin/v1/ledger/transfers?" + wrong).status)
        self.assertEqual([], self.world.admin.get("/admin/v1/ledger/transfers?period=2020-01")["transfers"])

    def test_a_payment_that_the_bank_took_back_leaves_the_balance_once(self):
        self.world.admin.call("POST", "/admin/v1/tenants/acme/topups", {"id": "pay", "amount": "3"})
        before = self.balance()
        words = ("ledger", "chargeback-payment", "acme", "pay", "--evidence", "case 1", "--amount", "1.25")
        self.assertIn("posted: chargeback:acme:1", self.tributary(*words))
        self.assertEqual(before - pico("1.25"), self.balance())
        self.assertIn("was posted already", self.tributary(*words))
        self.assertIn("only 1.75 is left", self.tributary("ledger", "chargeback-payment", "acme", "pay", "--evidence", "x", "--amount", "2", "--id", "2", code=1))
        self.tributary("ledger", "chargeback-payment", "acme", "pay", "--evidence", "the rest", "--id", "2")
        self.assertEqual(before - pico("3"), self.balance())
        answer = self.world.customer.chat("hello")  # nothing is held any more
        self.assertEqual(before - pico("3") - pico(self.world.rated(answer.request_id)["charge"]), self.balance())

    def test_a_topup_is_not_undone_under_a_running_request(self):
        """What the request holds stays; it is let go when the customer has left."""
        fen = 10**10
        self.world.admin.call("POST", "/admin/v1/tenants/acme/topups", {"id": "to a fen", "amount": cny(fen - self.balance() % fen)})
        self.tributary("ledger", "refund", "acme", cny(self.balance()), "--id", "empty")
        self.world.admin.call("POST", "/admin/v1/tenants/acme/topups", {"id": "held", "amount": "1"})
        number = next(t["id"] for t in self.world.admin.get("/admin/v1/ledger/transfers?limit=1000&account=L200/acme")["transfers"]
                      if t["document"] == "topup:acme:held")
        at = urllib.parse.urlsplit(self.world.customer.url)
        connection = http.client.HTTPConnection(at.hostname, at.port, timeout=30)
        body = {"model": MODEL, "stream": True, "max_tokens": 400, "messages": [{"role": "user", "content": '#script {"tokens": 400, "interval_ms": 50}'}]}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"authorization": f"Bearer {self.world.customer.key}", "content-type": "application/json"})
        answer = connection.getresponse()
        self.assertEqual(200, answer.status)
        self.assertTrue(answer.readline().startswith(b"data: "))
        self.assertIn("running requests hold the rest", self.tributary("ledger", "reverse-transfer", str(number), "--reason", "a test", code=1))
        connection.close()
        wait_until(lambda: self.world.admin.get("/admin/v1/tenants/acme")["in_flight"] == 0, "end of the request")
        self.world.admin.call("POST", "/admin/v1/tenants/acme/topups", {"id": "more", "amount": "1"})  # it has cost something
        before = self.balance()
        self.tributary("ledger", "reverse-transfer", str(number), "--reason", "a test")
        self.assertEqual(before - pico("1"), self.balance())
        self.assertIn("was posted already", self.tributary("ledger", "reverse-transfer", str(number), "--reason", "a test"))
        self.world.admin.call("POST", "/admin/v1/tenants/acme/topups", {"id": "for the others", "amount": "100"})

    def test_orders_say_what_they_take_and_what_is_wrong(self):
        self.assertIn("tributary ledger payout STATEMENT", self.tributary("ledger", "orders"))
        self.assertIn("usage: tributary ledger refund", self.tributary("ledger", "refund", "acme", code=2))
        self.assertIn("must be a decimal string", self.tributary("ledger", "refund", "acme", "x", "--id", "1", code=1))
        self.assertIn("available", self.tributary("ledger", "refund", "acme", "999999", "--id", "1", code=1))
        self.assertIn("there is no statement", self.tributary("ledger", "payout", "2020-01/site:dc-0", code=1))
        self.assertIn("above the budget of 0", self.tributary("ledger", "goodwill", "acme", "1", "--id", "g", code=1))
        self.tributary("ledger", "set", "goodwill_budget", "5", "--id", "1")
        before = self.balance()
        self.tributary("ledger", "goodwill", "acme", "1.5", "--id", "g", "--reason", "an outage")
        self.assertEqual(before + pico("1.5"), self.balance())
        self.assertIn("an outage", self.tributary("ledger", "list"))
        self.assertIn("is not closed yet", self.tributary("invoice", "make", "2020-01", code=1))
        self.assertEqual("0", self.world.admin.get("/admin/v1/ledger/trial-balance")["sum"])


if __name__ == "__main__":
    unittest.main()
