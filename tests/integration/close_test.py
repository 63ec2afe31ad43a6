"""A whole month through the real program, in shifted time: terms, requests and orders in October, its grace in the
first days of November, then every state of its close, statements, invoice, payouts, exports and reports. What the
program says is held against the quarter's oracle (tests/quarter), which shares no code with it."""
import csv
import datetime
import json
import os
import pathlib
import sqlite3
import sys
import tempfile
import time
import unittest

from support import MODEL, ROOT, World

sys.path.insert(0, str(ROOT / "tests" / "quarter"))
from arithmetic import begins, following, pico  # noqa: E402
from desk import Desk  # noqa: E402
from demo.arithmetic import cny, per_token  # noqa: E402

SHIM = pathlib.Path(os.environ.get("TRIBUTARY_BUILD", ROOT / "build" / "release")) / "tests" / "support" / "libclock_shift.so"
SHANGHAI = datetime.timezone(datetime.timedelta(hours=8))
MONTH, PERIOD = "2026-10", 202610
TAX = {"percent": 6, "inclusive": True}
PRICE = {"from": "2026-01-01", "input": "10000.00", "cached_input": "1000.00", "output": "40000.00", "tax": TAX}
TERMS = {"id": "standard", "from": "2026-01-01", "shares": {"platform": 250000, "site": 600000, "vendor": 100000, "referrer": 50000},
         "referrer": {"party": "broker"}, "guarantee": "30.00", "holdback": {"ppm": 100000, "days": 30}, "min_payout": "0.25",
         "tiers": {"steps": [{"over": "2.00", "shares": {"platform": 200000, "site": 650000, "vendor": 100000, "referrer": 50000}}]}}
NEWER = {**TERMS, "base": "net_of_vat", "guarantee": "60.00", "holdback": {"ppm": 150000, "days": 60},
         "early_exit": {"ppm": 500000}, "index": {"name": "chip-hour", "reference": "10.00"}}
NOVEMBER = {**NEWER, "from": "2026-11-01", "to": "2027-01-01"}
AMOUNTS = ("opening_carry", "gross_revenue", "refunds", "vat_excluded", "payment_fees", "share_base", "share_amount", "tier_trueup",
           "guarantee_topup", "penalties", "chargebacks", "prior_period_adj", "reserve_withheld", "reserve_released", "net_payable",
           "closing_carry")


def ms(text):
    """A date or a time as the doors write it, in Unix ms."""
    at = datetime.datetime.fromisoformat(text)
    at = at if at.tzinfo else at.replace(tzinfo=SHANGHAI)
    return (at - datetime.datetime.fromtimestamp(0, datetime.timezone.utc)) // datetime.timedelta(milliseconds=1)


def price_fact(price):
    per = {unit: per_token(price.get(unit, price[like])) for unit, like in
           (("input", "input"), ("cached_input", "input"), ("cache_write", "input"), ("output", "output"), ("reasoning", "output"))}
    return {"fact": "price", "model": MODEL, "from_ms": ms(price["from"]), "tax": price["tax"], **per}


def contract_fact(terms):
    out = {"id": terms["id"], "from_ms": ms(terms["from"]), "base": terms.get("base", "gross"), "shares": terms["shares"],
           "referrer": terms["referrer"]["party"], "tier_mode": "graduated", "penalties": [], "chargeback": "by_split",
           "tiers": [{"over": pico(step["over"]), "shares": step["shares"]} for step in terms["tiers"]["steps"]],
           "guarantee": pico(terms["guarantee"]), "min_payout": pico(terms["min_payout"]),
           "holdback_ppm": terms["holdback"]["ppm"], "holdback_days": terms["holdback"]["days"]}
    return {**out, "to_ms": ms(terms["to"])} if "to" in terms else out


def table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def total(rows, column):
    return sum(pico(row[column]) for row in rows if row[column])


@unittest.skipUnless(SHIM.exists(), "tests/support/clock_shift.c is not built")
class Close(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="tributary-close-")
        self.addCleanup(folder.cleanup)
        self.world = World(folder.name)
        self.world.__enter__()
        self.addCleanup(self.world.__exit__)
        engine = self.world.engine("engine")
        site = {"kind": "datacenter", "vendor": "nvidia", "contract": "standard"}
        sites = [{"id": "dc-0", **site, "engines": [{"url": engine, "models": [MODEL], "capacity": 8}]},
                 {"id": "dc-1", **site}]  # nobody asks it
        config = self.world.config(sites, contracts=[TERMS], tenants=[self.world.tenant(balance="500.00")])
        config["models"] = [{"id": MODEL, "context": 2048, "price": PRICE}]
        self.config = self.world.write("gateway.yaml", config)
        self.books = Desk()
        self.books.prices[MODEL].publish(price_fact(PRICE))
        self.books.contracts["standard"].publish(contract_fact(TERMS))
        for one in sites:
            self.books.sites[one["id"]] = one

    def start(self, at):
        """The gateway, at that time of the wall clock."""
        self.shift = int(datetime.datetime.fromisoformat(at).timestamp() - time.time())
        self.world.serve(self.config, env={"LD_PRELOAD": str(SHIM), "TRIBUTARY_CLOCK_SHIFT": str(self.shift)})
        self.world.wait_offers(["dc-0"])

    def stop(self):
        self.assertEqual(0, self.world.gateway.stop(30))

    def now(self):
        """The gateway's time, as its files and doors take it."""
        return datetime.datetime.fromtimestamp(time.time() + self.shift, SHANGHAI).isoformat(timespec="milliseconds")

    def tributary(self, *words, code=0):
        done = self.world.command(*words, check=False)
        self.assertEqual(code, done.returncode, done.stdout + done.stderr)
        return done.stdout if code in (0, 1) and done.stdout else done.stderr

    def post(self, path, body, status):
        answer = self.world.admin.call("POST", f"/admin/v1/{path}", body)
        self.assertEqual(status, answer.status, answer.body)
        return answer.json()

    def ask(self, tokens, stream=False):
        """A request, in the oracle's books too. Gives its id."""
        answer = self.world.customer.chat('#script {"tokens": %d}' % tokens, stream=stream, max_tokens=tokens)
        self.assertEqual(200, answer.status, answer.body)
        life = self.world.rated(answer.request_id)
        units = ("input", "cached_input", "cache_write", "output", "reasoning")
        self.books.request({
            "id": life["id"], "tenant": "acme", "model": MODEL, "admit_ms": ms(life["admitted_at"]), "final_ms": ms(life["ended_at"]),
            "outcome": life["outcome"], "source": life["source"], "counts": [life["tokens"][unit] for unit in units],
            "attempts": [{"n": a["n"], "site": a["site"], "wall_ms": ms(a["dispatched_at"]), "fault": a["fault"] or "none",
                          "side": a["side"] or "none", "delivered": a["delivered"], "pieces": a["pieces"]} for a in life["attempts"]]})
        ours = self.books.requests[life["id"]]
        self.assertEqual(tokens, life["tokens"]["output"])
        self.assertEqual(ours.gross, pico(life["charge"]))
        self.assertEqual({part.party: part.amount for part in ours.parts}, {party: pico(a) for party, a in life["parts"].items()})
        return life["id"]

    def order(self, what, *words, **args):
        """An order by the command, in the oracle's books too. Gives what was posted."""
        said = json.loads(self.tributary("ledger", what, *words, "--json"))
        self.entered(what, args, said)
        return said

    def entered(self, what, args, said):
        self.assertTrue(self.books.order({"what": what, "wall_ms": ms(self.now()), "args": args, "document": said["id"]}))

    def the_accounts_are_the_oracles(self):
        ours = {account: self.books.stands(account) for account in {account for account, _ in self.books.credit}}
        theirs = {row["account"]: pico(row["balance"]) for row in self.world.admin.get("/admin/v1/ledger/balances")}
        self.assertEqual({k: v for k, v in ours.items() if v}, {k: v for k, v in theirs.items() if v})

    def close(self, state, missing=None, month=MONTH):
        """One call of the command: it moves to that state, or stays in it and says what is missing."""
        said = self.tributary("period", "close", month, code=1 if missing else 0)
        self.assertIn(f"{month} {'is' if missing else 'is now'} {state}\n", said)
        if missing:
            self.assertIn(f"  missing  {missing}", said)
        else:
            self.assertNotIn("missing", said)

    def close_by_http(self, state):
        said = self.post(f"periods/{MONTH}/close", None, 200)
        self.assertEqual((state, True, []), (said["state"], said["moved"], [i for i in said["checklist"] if not i["fine"]]))
        return said["documents"]

    def test_a_month_is_closed_and_paid(self):
        self.start("2026-10-20T10:00:00+08:00")
        self.books.topup({"tenant": "acme", "id": "opening", "pico": pico("500.00"), "wall_ms": ms(self.now())})
        first = [self.ask(20), self.ask(30, stream=True)]
        self.new_terms()
        self.market_moves()
        later = [self.ask(40), self.ask(25, stream=True), self.ask(10)]
        self.money(first)
        self.the_accounts_are_the_oracles()
        self.close("open", "the month is over: it runs until 2026-11-01T00:00:00.000+08:00")
        self.tributary("report", "--period", MONTH)
        self.stop()
        self.who_stood_where()

        self.start("2026-11-02T10:00:00+08:00")
        self.close("grace")
        self.assertIn(f"{MONTH} is grace; for the next step:", self.tributary("period", "show", MONTH))
        self.close("grace", "the days of grace are over: they run until 2026-11-04T00:00:00.000+08:00")
        said = self.order("reverse", later[2], "--reason", "found in grace", request=later[2])
        self.assertEqual({MONTH}, {leg["period"] for leg in said["legs"]})
        self.assertIn("Provisional", self.page("site:dc-0"))
        self.tributary("statement", "show", f"{MONTH}/site:dc-0", code=1)
        self.stop()

        self.start("2026-11-04T10:00:00+08:00")
        self.close("reconciled")
        self.assertIn("is being closed; finish that first", self.tributary("ledger", "reverse", later[1], code=1))
        self.assertIn("is not closed yet", self.tributary("invoice", "make", MONTH, code=1))
        self.closed()
        said = self.order("reverse", later[1], "--reason", "found after the seal", request=later[1])
        self.assertEqual({"2026-11"}, {leg["period"] for leg in said["legs"]})
        self.close("stated")
        self.the_accounts_are_the_oracles()
        self.said = self.statements(MONTH, PERIOD)
        self.what_is_guaranteed_and_carried()
        self.invoice()
        self.the_accounts_are_the_oracles()
        self.paid()
        self.the_accounts_are_the_oracles()
        self.assertRegex(self.tributary("period", "list"), rf"(?m)^{MONTH} +paid ")
        self.exports()
        self.reports()
        self.assertIn("ok: 5 requests", self.tributary("audit", "verify"))
        self.stop()

        self.start("2026-12-04T10:00:00+08:00")
        self.the_month_after()
        self.stop()
        self.assertEqual(2, len(self.assignments()))  # a start writes down what is new alone
        self.assertRegex(self.tributary("audit", "verify", "--config", self.config), "^ok: 5 requests .* 8 statements")

    # --- October ---

    def new_terms(self):
        """A price and a contract version as of now by the command, November's contract by HTTP."""
        price = {**PRICE, "from": self.now(), "input": "12000.00", "output": "50000.00"}
        file = self.world.write("price.json", {"model": MODEL, **price})
        self.assertIn(f"published: {MODEL} version 2", self.tributary("price", "publish", file))
        self.assertIn("was published already", self.tributary("price", "publish", file))
        newer = {**NEWER, "from": self.now()}
        self.assertIn(f"published: standard version 2 from {newer['from']}", self.tributary("contract", "publish", self.world.write("contract.json", newer)))
        wrong = {**newer, "shares": {"platform": 999999}}
        self.assertIn("wrong.json:", self.tributary("contract", "publish", self.world.write("wrong.json", wrong), code=2))
        past = self.world.write("past.json", {**newer, "from": "2026-10-19"})
        self.assertTrue(self.tributary("contract", "publish", past, code=1))  # before what was rated
        self.assertEqual(3, self.post("contracts", NOVEMBER, 201)["version"])
        self.post("contracts", NOVEMBER, 200)
        self.assertEqual("version_conflict", self.post("contracts", {**NOVEMBER, "guarantee": "1.00"}, 409)["error"]["code"])
        self.books.prices[MODEL].publish(price_fact(price))
        for terms in (newer, NOVEMBER):
            self.books.contracts["standard"].publish(contract_fact(terms))

    def market_moves(self):
        self.tributary("index", "set", "chip-hour", "11.90", "--at", "2026-10-01")
        self.assertEqual([(190000, False)] * 2, [(row["moved_ppm"], row["alarm"]) for row in self.risk(0)])
        self.tributary("index", "set", "chip-hour", "7.99", "--at", "2026-10-15")
        rows = self.risk(1)
        self.assertEqual([("dc-0", -201000, True), ("dc-1", -201000, True)], [(r["site"], r["moved_ppm"], r["alarm"]) for r in rows])
        earned = [self.books.stands("L210/dc-0"), 0]
        self.assertEqual([3 * pico("60.00") - e for e in earned], [pico(row["remaining_guarantee"]) for row in rows])
        self.assertEqual([(3 * pico("60.00") - e) // 2 for e in earned], [pico(row["early_exit_cost"]) for row in rows])
        self.assertIn("chip-hour", self.tributary("contract", "risk", code=1))

    def risk(self, code):
        return json.loads(self.tributary("contract", "risk", "--json", code=code))

    def money(self, requests):
        self.tributary("tenant", "topup", "acme", "12.50", "--id", "17")
        self.books.topup({"tenant": "acme", "id": "17", "pico": pico("12.50"), "wall_ms": ms(self.now())})
        said = self.post("ledger/reverse", {"request": requests[0], "amount": "0.123456789012", "reason": "half an answer"}, 201)
        self.entered("reverse", {"request": requests[0], "amount": "0.123456789012"}, said)
        self.order("set", "goodwill_budget", "5", "--id", "1", name="goodwill_budget", value="5")
        self.order("goodwill", "acme", "0.75", "--id", "outage", "--reason", "an outage", tenant="acme", amount="0.75")

    def who_stood_where(self):
        """Since when each site stands under its contract, as it was written down at the start."""
        rows = self.assignments()
        self.assertEqual({"assigned:dc-0:1", "assigned:dc-1:1"}, set(rows))
        self.since, = set(rows.values())
        self.assertLess(abs(ms("2026-10-20T10:00:00+08:00") - self.since), 60_000)
        self.books.assigned({"dc-0": "standard", "dc-1": "standard"}, self.since)

    def assignments(self):
        db = sqlite3.connect(f"file:{self.world.folder}/var/ledger.db?mode=ro", uri=True)
        rows = dict(db.execute("SELECT id, wall_ms FROM command WHERE kind = 'assignment'"))
        db.close()
        return rows

    # --- November ---

    def closed(self):
        documents = self.close_by_http("closed")
        for id in ("trueup:2026-10:dc-0:standard", "guarantee:2026-10:dc-0:standard", "guarantee:2026-10:dc-1:standard"):
            self.assertIn(id, documents)
        self.books.close(PERIOD)

    def statements(self, month, period):
        said = {one["party"]: one for one in self.world.admin.get(f"/admin/v1/statements?period={month}")}
        self.assertEqual({"site:dc-0", "site:dc-1", "vendor:nvidia", "referrer:broker"}, set(said))
        for party, one in said.items():
            ours = self.books.statements[period, party]
            for name in AMOUNTS:
                self.assertEqual(ours[name], pico(one[name]), f"{party} {name}")
            for name in ("requests", "tokens_in", "tokens_out"):
                self.assertEqual(ours[name], one[name], f"{party} {name}")
            shown = json.loads(self.tributary("statement", "show", one["no"], "--json"))
            self.assertEqual("received", shown.pop("policies")["on_cancel"])
            self.assertEqual(one, shown)
            self.assertRegex(self.tributary("statement", "show", one["no"]), rf"(?m)^ *net_payable:? +{one['net_payable']}$")
        return said

    def what_is_guaranteed_and_carried(self):
        said = self.said
        # Nobody asked dc-1: each version's guarantee by the seconds on which it stood under it, and no more.
        month = (begins(following(PERIOD)) - begins(PERIOD)) // 1000
        change = self.books.contracts["standard"].begins[1]
        due = pico("30.00") * ((change - self.since) // 1000) // month + pico("60.00") * ((begins(following(PERIOD)) - change) // 1000) // month
        one = said["site:dc-1"]
        self.assertEqual((0, "0", due), (one["requests"], one["share_amount"], pico(one["guarantee_topup"])))
        # dc-0 is topped up to the same: what it earned and its tiers are less.
        one = said["site:dc-0"]
        self.assertEqual(due, sum(pico(one[name]) for name in ("share_amount", "tier_trueup", "guarantee_topup")))
        self.assertTrue(all(pico(one[name]) > 0 for name in ("share_amount", "tier_trueup", "guarantee_topup")))
        # The referrer's is below the least payout, and carried whole.
        one = said["referrer:broker"]
        self.assertEqual("0", one["net_payable"])
        self.assertGreater(pico(one["closing_carry"]), 0)
        page = self.page("site:dc-0")
        self.assertNotIn("Provisional", page)
        for word in (said["site:dc-0"]["seal_hash"], said["site:dc-0"]["net_payable"]):
            self.assertIn(word, page)
        for word in ("acme", "broker", "dc-1"):
            self.assertNotIn(word, page)

    def page(self, party):
        self.tributary("statement", "show", f"{MONTH}/{party}", "--html", "page.html")
        return (self.world.folder / "page.html").read_text("utf-8")

    def invoice(self):
        self.assertIn("no item code is set", self.tributary("invoice", "make", MONTH, code=1))
        self.order("set", "item_code", "3040201000000000000", "--id", "1", name="item_code", value="3040201000000000000")
        self.assertIn(f"made     invoice:{MONTH}/acme", self.tributary("invoice", "make", MONTH))
        self.assertIn("nothing is left", self.tributary("invoice", "make", MONTH))
        self.books.invoice(PERIOD)
        said, ours = json.loads(self.tributary("invoice", "show", f"{MONTH}/acme", "--json")), self.books.invoices[PERIOD, "acme"]
        for name in ("amount", "net", "tax", "receivable", "closing_carry"):
            self.assertEqual(ours[name], pico(said[name]), name)
        self.assertEqual([(1, 2), (2, 3)], [(line["price_version"], line["requests"]) for line in said["lines"]])
        self.assertEqual(0, pico(said["receivable"]))  # he has prepaid

    def paid(self):
        due = {one["no"]: one for one in self.said.values() if one["net_payable"] != "0"}
        self.assertEqual({f"{MONTH}/{party}" for party in ("site:dc-0", "site:dc-1", "vendor:nvidia")}, set(due))
        self.order("payout", f"{MONTH}/site:dc-0", "--amount", "1.00", "--id", "part", statement=f"{MONTH}/site:dc-0", amount="1.00")
        left = cny(pico(due[f"{MONTH}/site:dc-0"]["net_payable"]) - pico("1.00"))
        self.close("stated", f"every statement is paid: {MONTH}/site:dc-0 is owed {left}; pay it, then: tributary ledger payout {MONTH}/site:dc-0")
        for no in sorted(due):
            self.order("payout", no, statement=no)
        self.close("paid")
        for what in ("close", "show"):
            self.assertEqual(f"{MONTH} is paid; nothing is left to do\n", self.tributary("period", what, MONTH))
        self.assertIn("nothing", self.tributary("ledger", "payout", f"{MONTH}/site:dc-0", "--id", "again", code=1))

    # --- December ---

    def the_month_after(self):
        """What was found after October's seal, the reserve that is due, and a guarantee of a whole month."""
        for state in ("grace", "reconciled", "closed"):
            self.close(state, month="2026-11")
        self.books.close(following(PERIOD))
        self.close("stated", month="2026-11")
        said = self.statements("2026-11", following(PERIOD))
        # What the first version withheld is free after 30 days; dc-1's is the second's alone, and waits 60.
        self.assertEqual({"site:dc-1"}, {party for party, one in said.items() if one["reserve_released"] == "0"})
        # The reversal is a document of November: it lowers November's pay, which the guarantee fills up.
        late = pico(said["site:dc-0"]["prior_period_adj"])
        self.assertLess(late, 0)
        self.assertEqual([pico("60") - late, pico("60")], [pico(said[site]["guarantee_topup"]) for site in ("site:dc-0", "site:dc-1")])
        self.the_accounts_are_the_oracles()

    # --- what others read ---

    def exports(self):
        out = self.world.folder / "all"
        self.tributary("export", "--period", MONTH, "--out", "all")
        manifest = json.loads((out / "manifest.json").read_text("utf-8"))
        self.assertFalse(manifest["provisional"])
        rows = {f"{row['party_type']}:{row['party_id']}": row for row in table(out / "settlement_summary.csv")}
        for party, one in self.said.items():
            for name in AMOUNTS:
                self.assertEqual(pico(one[name]), pico(rows[party][name]), f"{party} {name}")
            self.assertEqual((one["no"], one["seal_hash"], one["net_payable"]), tuple(rows[party][n] for n in ("statement_no", "seal_hash", "paid")))
        detail = table(out / "usage_detail.csv")
        self.assertEqual(5, len(detail))
        self.assertEqual(sum(one.gross for one in self.books.requests.values()), total(detail, "charge"))
        trial = table(out / "ledger_trial_balance.csv")
        self.assertEqual(total(trial, "debit"), total(trial, "credit"))
        legs = table(out / "legs.csv")
        self.assertEqual(0, total(legs, "debit") - total(legs, "credit"))
        moved = {}
        for leg in legs:
            moved[leg["account"]] = moved.get(leg["account"], 0) + pico(leg["credit"]) - pico(leg["debit"])
        ours = {account: amount for (account, period), amount in self.books.credit.items() if period == PERIOD and amount}
        self.assertEqual(ours, {account: amount for account, amount in moved.items() if amount})

        self.tributary("export", "--period", MONTH, "--party", "site:dc-0", "--out", "one")
        one = self.world.folder / "one"
        summary = table(one / "settlement_summary.csv")
        self.assertEqual(["dc-0"], [row["party_id"] for row in summary])
        for name in ("share_amount", "tier_trueup", "guarantee_topup", "reserve_withheld", "net_payable", "closing_carry"):
            self.assertEqual(pico(self.said["site:dc-0"][name]), pico(summary[0][name]), name)
        part = sum(p.amount for r in self.books.requests.values() for p in r.parts if p.party == "site:dc-0")
        self.assertEqual(part, total(table(one / "usage_detail.csv"), "part_site"))
        self.assertEqual(0, sum(total(summary, name) for name in ("gross_revenue", "refunds", "vat_excluded", "share_base")))
        text = "".join(file.read_text("utf-8") for file in one.iterdir())
        for word in ("acme", "broker", "nvidia", "dc-1"):
            self.assertNotIn(word, text)

    def reports(self):
        for words in ((), ("--period", MONTH)):
            self.assertNotIn("OPEN", self.tributary("report", *words))
        lines = "".join(f"{one['no']},{one['net_payable']},{one['net_payable']}\n" for one in self.said.values())
        file = self.world.folder / "partner.csv"
        file.write_text("statement,amount,invoice\n" + lines, "utf-8")
        self.tributary("report", "partner", file, "--period", MONTH)
        file.write_text("statement,amount,invoice\n" + lines.replace(f"{MONTH}/vendor:nvidia,", f"{MONTH}/vendor:nvidia,1"), "utf-8")
        self.assertIn(f"[partner:{MONTH}/vendor:nvidia]", self.tributary("report", "partner", file, "--period", MONTH, code=1))


if __name__ == "__main__":
    unittest.main()
