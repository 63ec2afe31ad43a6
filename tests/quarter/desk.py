"""Finance's orders as docs/desk.md has them, and the invoices: what each posts, and which are refused."""
import collections

from arithmetic import FEN, begins, floor_fen, following, half_up_fen, period_of, pico, share
from books import Books, Supply, accruing, payee, reserve, stated


class Refused(Exception):
    pass


def has_accounts(party):
    return party not in ("platform", "vat") and not party.endswith(":")


class Desk(Books):
    def __init__(self):
        super().__init__()
        self.wrong = []  # orders that the ledger took otherwise
        self.settings, self.penalties, self.payouts, self.debts = {}, collections.Counter(), {}, collections.Counter()
        self.documents, self.charged_back = {}, set()  # what was posted, with its move; payments that were
        self.kept = collections.Counter()  # by party: what it has beside its parts of the sales that stand, less what it lost
        self.bank_took = collections.Counter()  # by tenant: of sales
        self.billed, self.cleared, self.taxed = collections.Counter(), 0, 0  # by invoices: charges by tenant, L240, L241
        self.invoiced = collections.defaultdict(list)  # by tenant: where an invoice was booked, what it credited to L200
        self.payments, self.exits = {}, set()  # what is left of each top-up, by (tenant, id)

    def order(self, fact):
        """Posts it, or raises Refused; the ledger must have done the same."""
        self.wall_ms, self.args, self.fact = fact["wall_ms"], fact["args"], fact
        before = dict(self.credit), len(self.moves)
        try:
            getattr(self, "order_" + fact["what"].replace("-", "_"))()
        except Refused:
            assert before == (dict(self.credit), len(self.moves)), "refused halfway"
            return False
        self.documents[fact["document"]] = fact, self.moves[-1]
        return True

    # --- about a request ---

    def sale(self):
        request = self.requests[self.args["request"]]
        if not request.price:
            raise Refused  # it was not charged
        left = [p._replace(amount=p.amount - request.taken[p.attempt, p.party]) for p in request.now]
        return request, left, sum(p.amount for p in left)

    def changed(self, request, parts, sign, period, reprice=False):
        """Tells the close what was earned more (or less) of a request, by attempt."""
        by_attempt = collections.OrderedDict()
        for part in sorted(parts, key=lambda p: p.attempt):
            by_attempt.setdefault(part.attempt, []).append(part)
        for attempt, own in by_attempt.items():
            changes = collections.Counter()
            for part in own:
                changes[part.party] += sign * part.amount
            self.supply[period].append(Supply(
                reprice, request.sites[attempt], own[0].contract, sum(changes.values()), changes,
                self.brought(own[0].contract, request.sites[attempt], request.fact["admit_ms"]), own[0].bought))

    def charged(self, request, price, parts, sign, period):
        vat = sum(p.amount for p in parts if p.party == "vat")
        self.customers[period].append((request.tenant, request.model, price["from_ms"], sign * sum(p.amount for p in parts), sign * vat))

    def take(self, request, parts):
        for part in parts:
            request.taken[part.attempt, part.party] += part.amount
        request.documents += 1

    @staticmethod
    def gives(parts):
        legs = collections.Counter()
        for part in parts:
            legs[accruing(part.party)] += part.amount
        return legs

    def order_reverse(self):
        request, left, gross = self.sale()
        back = pico(self.args["amount"]) if self.args.get("amount") else gross
        if request.disputed or request.credited or not gross or back > gross:
            raise Refused
        parts = left
        if back < gross:
            parts = [p._replace(amount=a) for p, a in zip(left, share(back, [p.amount for p in left]))]
        period, legs = self.booking(request.period), self.gives(parts)
        legs["L200/" + request.tenant] -= back
        self.move("reversal", period, request.final_ms, legs)
        self.changed(request, parts, -1, period)
        self.charged(request, request.price, parts, -1, period)
        self.take(request, parts)

    def order_dispute(self):
        request, left, gross = self.sale()
        if request.disputed or request.credited or not gross:
            raise Refused
        period, legs = self.booking(request.period), self.gives(left)
        legs["L250/disputed"] -= gross
        self.move("suspense", period, request.final_ms, legs)
        self.changed(request, left, -1, period)
        request.disputed = True
        request.documents += 1

    def order_resolve(self):
        request, left, gross = self.sale()
        if not request.disputed:
            raise Refused
        period = self.booking(request.period)
        request.disputed = False
        if self.args["for"] == "customer":
            self.move("reversal", period, request.final_ms, {"L250/disputed": gross, "L200/" + request.tenant: -gross})
            self.charged(request, request.price, left, -1, period)
            self.take(request, left)
            return
        legs = collections.Counter({account: -amount for account, amount in self.gives(left).items()})
        legs["L250/disputed"] += gross
        self.move("suspense", period, request.final_ms, legs)
        self.changed(request, left, 1, period)
        request.documents += 1

    def order_chargeback(self):
        request, left, gross = self.sale()
        cost = pico(self.args.get("cost") or "0")
        if request.credited or not gross:
            raise Refused
        period, due, legs = self.booking(request.period), collections.Counter(), collections.Counter()
        self.charge_back(request, left, due, legs, period)
        borne = 0
        served = max((p for p in left if p.bought), key=lambda p: p.attempt)
        rule = served.contract["chargeback_cost"]
        if cost and rule == "site":
            due["site:" + request.sites[served.attempt]] += cost
            self.kept["site:" + request.sites[served.attempt]] -= cost
            borne = cost
        elif cost and rule == "by_split":
            bear = [p for p in left if p.party != "vat" and p.amount >= 0]
            for part, amount in zip(bear, share(cost, [p.amount for p in bear]) if any(p.amount for p in bear) else []):
                if has_accounts(part.party):
                    due[part.party] += amount
                    self.kept[part.party] -= amount
                    borne += amount
        # Whatever the rules are: who had no part of a sale that stands bears nothing of its chargeback.
        billed = {"site:" + request.sites[p.attempt] for p in left if p.bought}
        assert request.disputed or set(due) <= billed | {p.party for p in left} | {"platform", "vat"}, (request.fact["id"], due)
        assert rule != "site" or not cost or "site:" + request.sites[served.attempt] in billed
        self.collect(due, legs, period, request.final_ms)
        self.move("fee", period, request.final_ms, {"E420": cost - borne, "A100": borne - cost})
        request.disputed = False
        self.take(request, left)

    def charge_back(self, request, parts, due, legs, period):
        """Whose these parts are, by the contracts' rules; out of the dispute, where there is one."""
        self.charged(request, request.price, parts, -1, period)
        self.bank_took[request.tenant] += sum(p.amount for p in parts)
        if request.disputed:
            legs["L250/disputed"] += sum(p.amount for p in parts)
            return
        by_split = []
        for part in parts:
            rule = part.contract["chargeback"]
            if rule == "by_split":
                by_split.append(part)
            own = rule == "by_split" or part.party == "vat"
            due[part.party if own else "platform" if rule == "platform" else "site:" + request.sites[part.attempt]] += part.amount
            if not own:
                self.kept[part.party] += part.amount
                self.kept["platform" if rule == "platform" else "site:" + request.sites[part.attempt]] -= part.amount
        self.changed(request, by_split, -1, period)

    def collect(self, due, legs, period, when):
        """Out of the reserve, then of what is payable, then as a debt."""
        debts = collections.Counter()
        for party, amount in sorted(due.items()):
            if not has_accounts(party) or amount < 0:
                legs[accruing(party)] += amount
                continue
            for account in (reserve(party), accruing(party)):
                taken = min(amount, max(self.stands(account), 0))
                legs[account] += taken
                amount -= taken
            debts["A120/" + party] += amount
        for of in (legs, debts):
            of["A100"] -= sum(of.values())
        self.move("chargeback", period, when, legs)
        self.move("clawback", period, when, debts)

    def topup(self, fact):
        self.payments[fact["tenant"], fact["id"]] = fact["pico"]
        self.simple("topup", fact["wall_ms"], {"A100": fact["pico"], "L200/" + fact["tenant"]: -fact["pico"]})
        self.documents[f"topup:{fact['tenant']}:{fact['id']}"] = fact, self.moves[-1]

    def order_chargeback_payment(self):
        tenant, key = self.args["tenant"], (self.args["tenant"], self.args["payment"])
        amount = pico(self.args["amount"]) if self.args.get("amount") else self.payments.get(key, 0)
        if not amount or amount > self.payments.get(key, 0):
            raise Refused
        balance = min(amount, max(self.stands("L200/" + tenant), 0))
        rest, taken = amount - balance, []
        for _, request in sorted(((r.final_ms, i), r) for i, r in self.requests.items() if r.tenant == tenant)[::-1]:
            left = [p._replace(amount=p.amount - request.taken[p.attempt, p.party]) for p in request.now]
            gross = sum(p.amount for p in left)
            if not rest:
                break
            if not request.price or request.credited or not gross:
                continue
            if gross > rest:
                left = [p._replace(amount=a) for p, a in zip(left, share(rest, [p.amount for p in left]))]
            taken.append((request, left, gross <= rest))
            rest -= min(gross, rest)
        if rest:
            raise Refused
        self.payments[key] -= amount
        self.charged_back.add(key)
        self.simple("chargeback", self.wall_ms, {"L200/" + tenant: balance, "A100": -balance})
        months = collections.OrderedDict()
        for one in taken:
            months.setdefault(period_of(one[0].final_ms), []).append(one)
        for month in months.values():
            for i in range(0, len(month), 1000):
                document, due, legs = month[i:i + 1000], collections.Counter(), collections.Counter()
                period = self.booking(document[0][0].period)
                for request, parts, whole in document:
                    self.charge_back(request, parts, due, legs, period)
                    request.disputed = request.disputed and not whole
                    self.take(request, parts)
                self.collect(due, legs, period, document[0][0].final_ms)

    def order_goodwill(self):
        given, tenant = pico(self.args["amount"]), self.args["tenant"]
        period = self.booking(period_of(self.wall_ms))
        request = None
        if self.args.get("request"):
            request, left, gross = self.sale()
            if request.documents or given > gross:
                raise Refused
        if -self.credit.get(("E400", period), 0) + given > pico(self.settings.get("goodwill_budget", "0")):
            raise Refused
        self.move("goodwill", period, self.wall_ms, {"E400": given, "L200/" + tenant: -given})
        if not request:
            return
        bears = [p._replace(amount=a) for p, a in zip(left, share(given, [p.amount for p in left]))]
        bears = [p._replace(party="platform") if p.party == "vat" else p for p in bears if p.contract["base"] == "net_of_refunds"]
        legs = self.gives([p for p in bears if p.party != "platform"])
        for part in bears:
            self.kept[part.party] -= part.amount if part.party != "platform" else 0
        legs["E400"] -= sum(legs.values())
        self.move("reprice", period, request.final_ms, legs)
        self.changed(request, bears, -1, period)
        request.credited = True
        request.documents += 1

    def order_reprice(self):
        model, begin, end = self.args["model"], int(self.args["from_ms"]), int(self.args["to_ms"])
        price = self.prices[model].terms[int(self.args["version"]) - 1]
        found = [r for r in self.requests.values() if r.model == model and r.price and begin <= r.fact["admit_ms"] < end
                 and self.args.get("tenant", r.tenant) == r.tenant and not r.documents and r.price is not price]
        months = {self.booking(r.period) for r in found}
        if len(months) != 1:
            raise Refused  # nothing to do, or to be divided
        period, legs, last = months.pop(), collections.defaultdict(collections.Counter), collections.Counter()
        for request in found:
            _, _, parts = self.rate(request.fact, price)
            month = period_of(request.final_ms)
            last[month] = max(last[month], request.final_ms)
            for sign, of, rated in ((-1, request.price, request.now), (1, price, parts)):
                for part in rated:
                    legs[month][accruing(part.party)] -= sign * part.amount
                    legs[month]["L200/" + request.tenant] += sign * part.amount
                self.changed(request, rated, sign, period, reprice=True)
                self.charged(request, of, rated, sign, period)
            request.now, request.price = parts, price
        for month, moved in sorted(legs.items()):
            self.move("reprice", period, last[month], moved)

    # --- about accounts and parties ---

    def simple(self, code, at, legs):
        self.move(code, self.booking(period_of(at)), at, legs)

    def order_refund(self):
        account, back = "L200/" + self.args["tenant"], pico(self.args["amount"])
        if back % FEN or self.stands(account) < back:
            raise Refused
        self.simple("refund", self.wall_ms, {account: back, "A100": -back})

    def order_payment(self):
        account, paid = "A110/" + self.args["tenant"], pico(self.args["amount"])
        if paid > -self.stands(account):
            raise Refused
        self.simple("topup", self.wall_ms, {"A100": paid, account: -paid})

    def order_fee(self):
        paid = pico(self.args["amount"])
        self.fees[self.booking(period_of(self.wall_ms))] += paid
        self.simple("fee", self.wall_ms, {"E420": paid, "A100": -paid})

    def order_payout(self):
        period, party = self.args["statement"].split("/", 1)
        one = self.statements[int(period.replace("-", "")), party]
        open_ = one["net_payable"] - self.payouts.get(self.args["statement"], 0)
        paid = pico(self.args["amount"]) if self.args.get("amount") else open_
        if not open_ or paid > open_ or paid % FEN:
            raise Refused
        self.payouts[self.args["statement"]] = self.payouts.get(self.args["statement"], 0) + paid
        self.last_payout = self.args["statement"], paid, stated(party)
        self.simple("payout", self.wall_ms, {stated(party): paid, "A100": -paid})

    def order_payout_returned(self):
        no, paid, account = self.last_payout
        self.payouts[no] -= paid
        self.simple("payout", self.wall_ms, {account: -paid, "A100": paid})

    def order_penalty(self):
        site, cause = self.args["site"], self.args["cause"]
        contract = self.contracts[self.args["contract"]].at(self.wall_ms)
        measured, key = int(self.args["measured_ppm"]), (period_of(self.wall_ms), self.args["contract"], site, cause)
        steps = [p for p in contract["penalties"] if p["cause"] == cause and measured < p["below_ppm"]]
        if not steps:
            raise Refused
        step = min(steps, key=lambda p: p["below_ppm"])
        taken = min(step["amount"], max(step["cap"] - self.penalties[key], 0))
        if not taken or not any(account == "L210/" + site for account, _ in self.credit):
            raise Refused  # the cap is reached, or nothing was ever booked there
        self.penalties[key] += taken
        self.simple("penalty", self.wall_ms, {"L210/" + site: taken, "R300": -taken})

    def order_early_exit(self):
        site, by = self.args["site"], self.args["by"]
        when = int(self.args.get("at_ms", self.wall_ms))
        contract, versions = self.contracts[self.args["contract"]].at(when), self.contracts[self.args["contract"]].terms
        if not contract or not contract.get("early_exit") or contract["early_exit"]["by"] not in ("either", by):
            raise Refused
        key, end = (contract["id"], site), versions[-1].get("to_ms")
        if key in self.exits or end is None or not any(account == "L210/" + site for account, _ in self.credit):
            raise Refused
        month, missing = period_of(when), 0
        month_of_exit = month
        if month > self.closed_through:
            earned = sum(p.amount for r in self.by_period[month] for p in r.parts
                         if p.party == "site:" + site and r.sites[p.attempt] == site and p.contract["id"] == contract["id"])
            earned += sum(s.parts.get("site:" + site, 0) for s in self.supply[month] if s.site == site and s.contract["id"] == contract["id"])
            missing = max(contract["guarantee"] - earned, 0)
        later, last = 0, period_of(end - 1)
        while following(month) <= last:
            month = following(month)
            later += month > self.closed_through
        cost = (missing + later * contract["guarantee"]) * contract["early_exit"]["ppm"] // 1_000_000
        if not cost:
            raise Refused
        # What a site stood for is settled once: at a close, or in this price.
        assert cost <= contract["guarantee"] * sum(1 for m in range(month_of_exit, last + 1) if 1 <= m % 100 <= 12 and m > self.closed_through), key
        self.exits.add(key)
        self.left.setdefault((site, contract["id"]), when)
        account = "L210/" + site
        self.simple("early_exit", when, {account: cost, "R300": -cost} if by == "site" else {"E410": cost, account: -cost})

    def order_suspense(self):
        source, moved = self.args["from"], pico(self.args["amount"])
        if self.stands(source) < moved:
            raise Refused
        self.simple("suspense", self.wall_ms, {source: moved, self.args["to"]: -moved})
        self.kept[payee(self.args["to"])] += moved

    def order_forfeit(self):
        party, lost = self.args["party"], pico(self.args["amount"])
        account = reserve(party) if self.args["from"] == "reserve" else accruing(party)
        if self.stands(account) < lost:
            raise Refused
        self.simple("forfeiture", self.wall_ms, {account: lost, "R300": -lost})

    def order_clawback(self):
        party, paid = self.args["party"], pico(self.args["amount"])
        source = accruing(party) if self.args["by"] == "payable" else "A100"
        if paid > -self.stands("A120/" + party) or (self.args["by"] == "payable" and self.stands(source) < paid):
            raise Refused
        self.simple("clawback", self.wall_ms, {source: paid, "A120/" + party: -paid})
        self.kept[party] += paid if self.args["by"] == "bank" else 0

    def order_manual(self):
        self.simple("manual", self.wall_ms, {account: pico(amount) for account, amount in (leg.split("=") for leg in self.args["legs"].split(","))})

    def order_reverse_transfer(self):
        """A whole transfer of another order, or of a top-up."""
        of, move = self.documents[self.fact["undoes"]]
        tenant, args = next((a[5:] for a in move.legs if a.startswith("L200/")), None), of.get("args", {})
        if of["fact"] == "topup" and (tenant, of["id"]) in self.charged_back:
            raise Refused
        if tenant and move.legs["L200/" + tenant] < 0 and self.stands("L200/" + tenant) + move.legs["L200/" + tenant] < 0:
            raise Refused  # it was spent
        period = self.booking(move.period)
        self.move(move.code, period, move.effective, {account: -amount for account, amount in move.legs.items()})
        if of["fact"] == "topup":
            self.payments[tenant, of["id"]] = 0
        elif of["what"] == "fee":
            self.fees[period] -= move.legs["E420"]
        elif of["what"] == "suspense":
            self.kept[payee(args["to"])] -= pico(args["amount"])
        elif of["what"] == "early-exit":
            self.exits.discard((args["contract"], args["site"]))
            del self.left[args["site"], args["contract"]]

    def order_set(self):
        self.settings[self.args["name"]] = self.args["value"]

    # --- invoices of a closed month ---

    def invoice(self, period):
        sums = collections.defaultdict(lambda: collections.defaultdict(lambda: [0, 0, 0]))
        for request in self.by_period[period]:
            if request.fact and sum(request.fact["counts"]):
                price = self.prices[request.model].at(request.fact["admit_ms"])
                line = sums[request.tenant][request.model, price["from_ms"]]
                line[0] += request.gross
                line[1] += sum(p.amount for p in request.parts if p.party == "vat")
                line[2] += 1
        for tenant, model, price, gross, vat in self.customers[period]:
            line = sums[tenant][model, price]
            line[0] += gross
            line[1] += vat
        for tenant, lines in sorted(sums.items()):
            self.invoice_of(period, tenant, sorted(lines.items()))

    def invoice_of(self, period, tenant, lines):
        carry, accrued, carried = self.invoice_carry.get(tenant, (0, 0, []))
        accrued += sum(vat for _, (_, vat, _) in lines)
        merged = {key: list(line) for key, line in lines}
        for key, line in carried:
            own = merged.setdefault(key, [0, 0, 0])
            merged[key] = [own[0] + line[0], own[1], own[2] + line[2]]
        lines = sorted(merged.items())
        charged = sum(gross for _, (gross, _, _) in lines)  # what was carried, too
        lines = [line for line in lines if line[1][0] or line[1][2]]
        total = floor_fen(carry + charged)
        self.billed[tenant] += max(total, 0)
        made = self.invoices[period, tenant] = collections.Counter(amount=0, net=0, tax=0)
        if total <= 0:
            made["closing_carry"] = carry + charged
            self.invoice_carry[tenant] = carry, accrued, lines
            return
        made["closing_carry"] = carry + charged - total
        self.invoice_carry[tenant] = made["closing_carry"], 0, []
        amounts = [floor_fen(gross) for _, (gross, _, _) in lines]
        order = sorted(range(len(lines)), key=lambda i: (-(lines[i][1][0] - amounts[i]), i))
        for i in order[:(total - sum(amounts)) // FEN]:
            amounts[i] += FEN
        for ((model, begin), _), amount in zip(lines, amounts):
            tax = self.prices[model].at(begin)["tax"]
            if tax["inclusive"]:
                due = half_up_fen(amount * tax["percent"], 100 + tax["percent"])
                made.update(amount=amount, net=amount - due, tax=due)
            else:
                due = half_up_fen(amount * tax["percent"], 100)
                made.update(amount=amount + due, net=amount, tax=due)
        after, at, account = self.booking(following(period)), begins(following(period)) - 1, "L200/" + tenant
        moved_since = sum(amount for booked, amount in self.invoiced[tenant] if booked > period)
        owes = -(self.stands(account, period) + moved_since + accrued - made["tax"])
        made["receivable"] = min(made["amount"], floor_fen(max(owes, 0)))
        self.move("vat", after, at, {account: made["tax"] - accrued, "L240": accrued, "L241": -made["tax"]})
        self.move("lock", after, at, {"A110/" + tenant: made["receivable"], account: -made["receivable"]})
        self.cleared, self.taxed = self.cleared + accrued, self.taxed + made["tax"]
        self.invoiced[tenant].append((after, made["receivable"] + accrued - made["tax"]))

    # --- what holds in the end, whatever the formulas are ---

    def check_end(self):
        """All is closed and invoiced: everything comes to the sales that stand."""
        charged, vat, disputed, parts = collections.Counter(), 0, 0, collections.Counter()
        for request in self.requests.values():
            for part in request.now:
                left = part.amount - request.taken[part.attempt, part.party]
                charged[request.tenant] += left
                if part.party == "vat":
                    vat += left
                    disputed += left if request.disputed else 0
                parts[part.party] += 0 if request.disputed else left
        moved = collections.defaultdict(collections.Counter)  # by code and account, credit
        for move in self.moves:
            for account, amount in move.legs.items():
                moved[move.code][account] -= amount
        # A customer: what he paid and was given, less what his bank took and the sales that stand, is what he has; his invoices and his carry are those sales.
        for tenant, gross in charged.items():
            accounts = "L200/" + tenant, "A110/" + tenant
            given = sum(moved[code][a] for code in ("topup", "refund", "goodwill", "chargeback", "vat") for a in accounts)
            assert sum(self.stands(a) for a in accounts) == given - self.bank_took[tenant] - gross, tenant
            carry, _, carried = self.invoice_carry.get(tenant, (0, 0, []))
            assert self.billed[tenant] + carry + sum(line[0] for _, line in carried) == gross, tenant
        # VAT: of the invoices, and what accrued of sales that stand and are not invoiced; what is in dispute waits there.
        assert self.stands("L241") == self.taxed
        assert self.stands("L240") == vat - disputed - self.cleared == sum(c[1] for c in self.invoice_carry.values()) - disputed
        # A party: its parts of the sales that stand and what else it got, in reserve, payable, paid or owed; nothing is lost or doubled.
        for party in sorted({payee(account) for account, _ in self.credit} - {None}):
            account = accruing(party)
            has = sum(self.stands(a) for a in (account, reserve(party), stated(party), "A120/" + party)) - moved["payout"][stated(party)]
            got = sum(moved[code][a] for code in ("trueup", "guarantee", "penalty", "early_exit", "forfeiture", "manual") for a in (account, reserve(party)))
            assert has == parts[party] + self.kept[party] + got, (party, has, parts[party], self.kept[party], got)
            due = sum(one["net_payable"] - self.payouts.get(f"{period // 100}-{period % 100:02}/{party}", 0) for (period, of), one in self.statements.items() if of == party)
            assert self.stands(stated(party)) == due, party
        for account in {a for a, _ in self.credit if a[:4] in ("L211", "L221", "L231", "L212", "L222", "L232")}:
            assert self.stands(account) >= 0, account
