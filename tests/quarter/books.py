"""The books as the documents say they are kept: prices, contracts, requests, and the close of a month."""
import bisect
import collections

from arithmetic import DAY, FEN, PPM, apportion, begins, day_after, following, period_of, rotation_of, share, split


class Versions:
    """Half-open versions of one thing, in order of their begin."""

    def __init__(self):
        self.begins, self.terms = [], []

    def publish(self, terms):
        at = bisect.bisect(self.begins, terms["from_ms"])
        if at and self.terms[at - 1].get("to_ms") is None:
            self.terms[at - 1]["to_ms"] = terms["from_ms"]
        self.begins.insert(at, terms["from_ms"])
        self.terms.insert(at, terms)

    def at(self, ms):
        i = bisect.bisect(self.begins, ms) - 1
        if i < 0:
            return None
        one = self.terms[i]
        return None if one.get("to_ms") is not None and ms >= one["to_ms"] else one


KINDS = ("platform", "site", "vendor", "referrer")


def accruing(party):
    kind, _, name = party.partition(":")
    if kind == "vat":
        return "L240"
    if kind == "platform":
        return "R300"
    if not name:
        return "L250/" + kind
    return {"site": "L210/", "vendor": "L220/", "referrer": "L230/"}[kind] + name


def reserve(party):
    kind, _, name = party.partition(":")
    return {"site": "L211/", "vendor": "L221/", "referrer": "L231/"}[kind] + name


def stated(party):
    kind, _, name = party.partition(":")
    return {"site": "L212/", "vendor": "L222/", "referrer": "L232/"}[kind] + name


def payee(account):
    code, _, name = account.partition("/")
    return {"L210": "site:", "L220": "vendor:", "L230": "referrer:"}.get(code, "") + name if code in ("L210", "L220", "L230") else None


# --- the books ---------------------------------------------------------------------------------------

class Request:
    def __init__(self):
        self.gross, self.parts, self.shares, self.period = 0, [], [], 0
        self.fact = self.price = None
        # What documents made of it: rated anew, given back by (attempt, party), and what it may still take.
        self.now, self.taken = [], collections.Counter()
        self.documents, self.disputed, self.credited = 0, False, False


Part = collections.namedtuple("Part", "attempt party contract amount bought")  # not bought: the loser's of a hedged pair
Share = collections.namedtuple("Share", "attempt site counts gross contract")
Move = collections.namedtuple("Move", "code period effective legs")  # legs: account -> debit positive
Supply = collections.namedtuple("Supply", "reprice site contract gross parts brought bought")  # signed as it moves what was earned


class Books:
    def __init__(self):
        self.prices = collections.defaultdict(Versions)
        self.contracts = collections.defaultdict(Versions)
        self.sites, self.requests, self.by_period = {}, {}, collections.defaultdict(list)
        self.credit = collections.defaultdict(int)  # (account, period) -> credit - debit
        self.moves = []  # what is no request's own
        self.closed_through = 0
        self.statements, self.reserves, self.carry = {}, [], {}
        self.released = set()
        self.supply = collections.defaultdict(list)  # by period: what documents changed of what was earned
        self.customers = collections.defaultdict(list)  # by period: (tenant, model, price, gross, vat)
        self.stood, self.left = collections.defaultdict(list), {}  # [contract, from, to] by site; early exits by (site, contract)
        self.last = {}  # by party: the version by which it earned last
        self.units = 0  # a unit is left over wherever something was divided
        self.fees, self.invoices, self.invoice_carry = collections.Counter(), {}, {}

    # Where something of a period is booked: there, or in the first that is open.
    def booking(self, period):
        return period if period > self.closed_through else following(self.closed_through)

    def post(self, period, legs):
        assert sum(legs.values()) == 0, legs
        for account, amount in legs.items():
            if amount:
                self.credit[account, period] -= amount

    def move(self, code, period, effective, legs):
        legs = {account: amount for account, amount in legs.items() if amount}
        if not legs:
            return
        self.post(period, legs)
        self.moves.append(Move(code, period, effective, legs))

    def stands(self, account, through=None):
        return sum(v for (a, p), v in self.credit.items() if a == account and (through is None or p <= through))

    # --- a request ---

    def price_of(self, price, counts):
        return sum(n * price[unit] for n, unit in zip(counts, ("input", "cached_input", "cache_write", "output", "reasoning")))

    def shares_of(self, fact):
        """The billed tokens by attempt: input to the first that delivered, output by delivered tokens."""
        attempts, counts = fact["attempts"], fact["counts"]
        delivered = [a["delivered"] for a in attempts]
        def first(test):
            return next((i for i, a in enumerate(attempts) if test(a)), None)
        at = first(lambda a: a["delivered"] > 0)
        if at is None:
            at = first(lambda a: a["fault"] == "none")
        if at is None:
            at = first(lambda a: a["pieces"] > 0)
        if at is None and fact["outcome"] == "cancelled" and counts[3] + counts[4] == 0:
            at = max(i for i, a in enumerate(attempts) if a["side"] == "client")
        weights = delivered if sum(delivered) else [int(i == at) for i in range(len(attempts))]
        whole = apportion(counts[3] + counts[4], weights)
        reasoning = apportion(counts[4], whole) if sum(whole) else [0] * len(whole)
        out = []
        for i in range(len(attempts)):
            own = [0, 0, 0, whole[i] - reasoning[i], reasoning[i]]
            if i == at:
                own[:3] = counts[:3]
            out.append(own)
        return out

    def brought(self, contract, site, admit_ms):
        """Whether a referrer's weight is still his: nobody brings himself, and `until` has a last day."""
        until = contract.get("referrer_until_ms")
        return contract.get("referrer") != site and (until is None or admit_ms < day_after(until))

    def weights_of(self, contract, site, admit_ms):
        shares = dict(contract["shares"])
        if not self.brought(contract, site["id"], admit_ms):
            shares["platform"] += shares["referrer"]
            shares["referrer"] = 0
        names = {"platform": "platform", "site": "site:" + site["id"], "vendor": "vendor:" + site["vendor"],
                 "referrer": "referrer:" + contract.get("referrer", "")}
        kinds = [k for k in KINDS if shares[k]]
        return [names[k] for k in kinds], [shares[k] for k in kinds]

    def divide(self, fact, attempt, contract, gross, price, bought):
        tax = price.get("tax")
        vat = gross * tax["percent"] // (100 + tax["percent"]) if tax and tax["inclusive"] else 0
        net = contract["base"] == "net_of_vat"
        base = gross - vat if net else gross
        parties, weights = self.weights_of(contract, self.sites[attempt["site"]], fact["admit_ms"])
        amounts = split(base, weights, rotation_of(fact["id"], len(weights)))
        self.units += 1
        bears = 0  # the platform, before its own part
        if bought and vat and not net:
            bears = vat
        if not bought:
            bears = base
        parts = collections.OrderedDict()
        if bought and vat:
            parts["vat"] = vat
        if "platform" not in parties and bears:
            parts["platform"] = -bears
        for party, amount in zip(parties, amounts):
            parts[party] = amount - (bears if party == "platform" else 0)
        return [Part(attempt["n"], party, contract, amount, bought) for party, amount in parts.items()]

    def request(self, fact):
        out = Request()
        out.tenant, out.model, out.final_ms = fact["tenant"], fact["model"], fact["final_ms"]
        out.sites = {a["n"]: a["site"] for a in fact["attempts"]}
        out.period = self.booking(period_of(fact["final_ms"]))
        self.requests[fact["id"]] = out
        self.by_period[out.period].append(out)
        out.fact = fact
        if not sum(fact["counts"]):
            return
        out.price = self.prices[fact["model"]].at(fact["admit_ms"])
        out.gross, out.shares, out.parts = self.rate(fact, out.price)
        out.now = out.parts
        legs = collections.Counter({"L200/" + fact["tenant"]: out.gross})
        for part in out.parts:
            legs[accruing(part.party)] -= part.amount
        if out.period == period_of(fact["final_ms"]):
            self.post(out.period, legs)
        else:
            self.move("late", out.period, fact["final_ms"], legs)

    def rate(self, fact, price):
        """Its charge, the attempts that are billed, and everyone's parts."""
        tokens, shares, parts = self.shares_of(fact), [], []
        for attempt, own in zip(fact["attempts"], tokens):
            if not sum(own):
                continue
            contract = self.contracts[self.sites[attempt["site"]]["contract"]].at(attempt["wall_ms"])
            gross = self.price_of(price, own)
            shares.append(Share(attempt["n"], attempt["site"], own, gross, contract))
            parts += self.divide(fact, attempt, contract, gross, price, True)
        if len(tokens) > 1:
            read = self.price_of(price, fact["counts"][:3] + [0, 0])
            for attempt, own in zip(fact["attempts"], tokens):
                contract = self.contracts[self.sites[attempt["site"]]["contract"]].at(attempt["wall_ms"])
                if not sum(own) and attempt["fault"] == "outrun" and contract.get("pay_loser"):
                    parts += self.divide(fact, attempt, contract, read, price, False)
        gross = self.price_of(price, fact["counts"])
        assert sum(p.amount for p in parts) == gross
        return gross, shares, parts

    # --- closing a month ---

    def turnover(self, period):
        """By (site, contract id, begin of its version): the base and the parts of each party."""
        out = {}
        for one in self.by_period[period]:
            for part in one.parts:
                site = one.sites[part.attempt]
                brought = self.brought(part.contract, site, one.fact["admit_ms"])
                self.earned(out, site, part.contract, brought, part.party, part.amount, part.bought)
                if one.fact["source"] == "estimate" and part.party == "site:" + site:
                    out[site, part.contract["id"], part.contract["from_ms"], brought]["estimated"] += part.amount
        for change in self.supply[period]:
            for party, amount in change.parts.items():
                self.earned(out, change.site, change.contract, change.brought, party, amount, change.bought)
        self.share_fees(period, out)
        return out

    def earned(self, uses, site, contract, brought, party, amount, bought):
        """What a site earned under a version of its contract, with and without a referrer apart. The weights were applied to
        `base`: what was bought, without the VAT where the contract says so; its VAT comes out of the platform's otherwise."""
        use = uses.setdefault((site, contract["id"], contract["from_ms"], brought),
                              {"contract": contract, "brought": brought, "base": 0, "gross": 0, "fees": 0, "estimated": 0,
                               "parts": collections.Counter(), "divided": collections.Counter()})
        use["parts"][party] += amount
        use["gross"] += amount
        if party == "vat":
            if not bought or contract["base"] == "net_of_vat":
                return
            party = "platform"
        if bought:
            use["base"] += amount
            use["divided"][party] += amount

    def share_fees(self, period, uses):
        """The month's payment fees lie on all that was charged; who shares net of fees bears his part of them."""
        fees, keys = abs(self.fees[period]), sorted(uses)
        weights = [max(uses[k]["gross"], 0) for k in keys]
        if not fees or not sum(weights):
            return
        sign = 1 if self.fees[period] > 0 else -1
        for key, lies in zip(keys, share(fees, weights)):
            use = uses[key]
            if use["contract"]["base"] != "net_of_fees" or not lies:
                continue
            use["fees"] = -sign * lies
            parties = sorted(use["parts"])
            for party, amount in zip(parties, share(lies, [use["parts"][p] for p in parties])):
                use["base"] -= sign * amount
                use["divided"]["platform" if party == "vat" else party] -= sign * amount
                if party != "vat":
                    use["parts"][party] -= sign * amount
                    use.setdefault("fee_legs", collections.Counter())[accruing(party)] += sign * amount

    def tier_parts(self, use, shares, site, amount, out):
        contract, shares = use["contract"], dict(shares)
        if not use["brought"]:
            shares["platform"], shares["referrer"] = shares["platform"] + shares["referrer"], 0
        names = {"platform": "platform", "site": "site:" + site, "vendor": "vendor:" + self.sites[site]["vendor"],
                 "referrer": "referrer:" + contract.get("referrer", "")}
        kinds = [k for k in KINDS if shares[k]]
        for kind, part in zip(kinds, split(amount, [shares[k] for k in kinds], 0)):
            out[names[kind]] += part

    def from_scratch(self, site, uses):
        out = collections.Counter()
        total = sum(u["base"] for u in uses)
        for use in uses:
            base, contract = use["base"], use["contract"]
            steps = contract.get("tiers", [])
            if contract.get("tier_mode") == "whole":
                shares = contract["shares"]
                for step in steps:
                    if total > step["over"]:
                        shares = step["shares"]
                self.tier_parts(use, shares, site, base, out)
                continue
            begin = 0
            edges = [min(total, s["over"]) for s in steps] + [total]
            for i, edge in enumerate(edges):
                end = edge * base // total
                if end > begin:
                    self.tier_parts(use, steps[i - 1]["shares"] if i else contract["shares"], site, end - begin, out)
                begin = max(begin, end)
        return out

    # --- who stands under which contract ---

    def assigned(self, contracts, wall_ms):
        for site in sorted(set(self.stood) | set(contracts)):
            now, all_of = contracts.get(site, ""), self.stood[site]
            if (all_of[-1][0] if all_of else "") == now:
                continue
            if all_of:
                all_of[-1][2] = wall_ms
            all_of.append([now, wall_ms, float("inf")])

    def stood_in(self, period):
        begin, end = begins(period), begins(following(period))
        return [(site, c, f, t) for site, all_of in self.stood.items() for c, f, t in all_of if c and f < end and t > begin]

    def guaranteed(self, site, contract, period):
        begin, end, due = begins(period), begins(following(period)), 0
        if (site, contract) in self.left and self.left[site, contract] < end:
            return 0
        times = [(f, t) for c, f, t in self.stood.get(site, []) if c == contract] or [(begin, end)]
        for version in self.contracts[contract].terms:
            for first, last in times:
                first, last = max(begin, version["from_ms"], first), min(end, version.get("to_ms") or end, last)
                if last > first:
                    due += version.get("guarantee", 0) * ((last - first) // 1000) // ((end - begin) // 1000)
        return due

    def terms_of(self, party, uses, period):
        """The version that says what is least and what is held back: of the month, else by which a site stood, else of before."""
        found = self.latest(party, uses)
        if not found and party.startswith("site:"):
            for site, contract, _, to in self.stood_in(period):
                if site == party[5:]:
                    found = self.contracts[contract].at(min(to, begins(following(period))) - 1) or found
        return found

    def check_trueup(self, site, group, change):
        """What holds of any true-up, whatever it was reckoned by: it moves nothing but units that were left over where no step
        was reached and no fee was taken, and neither takes from nor gives to one without a weight."""
        assert sum(change.values()) == 0, change
        steps = [step for u in group for step in u["contract"].get("tiers", [])]
        if not any(u["fees"] for u in group) and sum(u["base"] for u in group) <= min(s["over"] for s in steps):
            assert all(abs(amount) <= self.units for amount in change.values()), (site, change)
        weights = [s["shares"]["site"] for s in steps] + [u["contract"]["shares"]["site"] for u in group]
        if min(weights) == max(weights) and not any(u["fees"] for u in group):
            assert abs(change["site:" + site]) <= self.units, (site, change)
        assert "referrer:" + site not in change, change

    def close(self, period):
        end = begins(following(period))
        uses = self.turnover(period)
        for _, use in sorted(uses.items()):
            legs = collections.Counter(use.get("fee_legs", {}))
            legs.pop("R300", None)
            legs["E420"] = -sum(legs.values())
            self.move("reprice", period, end - 1, legs)
            for account, amount in legs.items():
                self.kept[payee(account)] -= amount
        groups = collections.defaultdict(list)
        for (site, contract, _, _), use in sorted(uses.items()):
            groups[site, contract].append(use)
        adjusted, trued = collections.Counter(), {}
        for (site, contract), group in groups.items():
            group = [u for u in group if u["base"] > 0]  # reversals outweigh the others: they stay as booked
            if not any(u["contract"].get("tiers") for u in group):
                continue
            change = self.from_scratch(site, group)
            for use in group:
                change.subtract(use["divided"])
            self.check_trueup(site, group, change)
            trued[site, contract] = change
            adjusted.update(change)
            self.move("trueup", period, end - 1, {accruing(p): -a for p, a in change.items()})
        for site, contract in sorted(set(groups) | {(site, contract) for site, contract, _, _ in self.stood_in(period)}):
            group, due = groups.get((site, contract), []), self.guaranteed(site, contract, period)
            pay = sum(u["parts"]["site:" + site] for u in group) + trued.get((site, contract), {}).get("site:" + site, 0)
            if due and due > pay:
                adjusted["site:" + site] += due - pay
                self.move("guarantee", period, end - 1, {"E410": due - pay, accruing("site:" + site): pay - due})
        held = collections.defaultdict(int)  # in reserve before the month's own withholding
        for (account, _), amount in self.credit.items():
            held[account] += amount
        self.withhold(period, uses, adjusted)
        self.release(period, held)
        self.closed_through = period
        self.state(period, uses)

    def latest(self, party, uses):
        found = None
        for _, use in sorted(uses.items()):
            if party in use["parts"] and (found is None or use["contract"]["from_ms"] > found["from_ms"]):
                found = use["contract"]
        return found

    def withhold(self, period, uses, adjusted):
        end = begins(following(period))
        waits = collections.defaultdict(int)
        for (site, _, _, _), use in sorted(uses.items()):
            for party, amount in use["parts"].items():
                if party == "site:" + site:  # no receipt confirms an estimate: the gateway dials every site
                    unconfirmed = max(0, min(use["estimated"], amount))
                    waits[party, max(use["contract"]["holdback_days"], 30)] += unconfirmed
                    amount -= unconfirmed
                if party not in ("platform", "vat") and not party.endswith(":") and amount > 0:
                    waits[party, use["contract"]["holdback_days"]] += amount * use["contract"]["holdback_ppm"] // PPM
        for party, amount in adjusted.items():
            contract = self.terms_of(party, uses, period)
            if party != "platform" and not party.endswith(":") and amount > 0 and contract:
                waits[party, contract["holdback_days"]] += amount * contract["holdback_ppm"] // PPM
        for (party, days), amount in sorted(waits.items()):
            if amount:
                self.move("withhold", period, end - 1, {accruing(party): amount, reserve(party): -amount})
                self.reserves.append((party, days, period, amount))

    def release(self, period, held):
        end = begins(following(period))
        for key in self.reserves:
            party, days, of, amount = key
            if of >= period or key in self.released or begins(following(of)) + days * DAY > end:
                continue
            amount = min(amount, held[reserve(party)])
            if amount > 0:
                held[reserve(party)] -= amount
                self.released.add(key)
                self.move("release", period, end - 1, {reserve(party): amount, accruing(party): -amount})

    def state(self, period, uses):
        end, begin = begins(following(period)), begins(period)
        parties = {payee(a) for (a, p) in self.credit if payee(a) and p <= period} - {None}
        made = collections.defaultdict(collections.Counter)
        for request in self.by_period[period]:
            self.count(made, request)
        for change in self.supply[period]:
            for party in change.parts:
                made[party]["gross_revenue" if change.reprice else "refunds"] += change.gross
                if party != "vat" and change.contract["base"] == "net_of_vat":
                    made[party]["vat_excluded"] -= change.parts.get("vat", 0)
        for use in uses.values():
            for party in use["parts"]:
                made[party]["payment_fees"] += use["fees"]
        for party in sorted(parties):
            account, one = accruing(party), made[party]
            stands = self.stands(account, period)
            one["opening_carry"] = self.carry.get(party, 0)
            for move in self.moves:
                if move.period == period and account in move.legs:
                    self.column(one, move, -move.legs[account], begin)
            self.last[party] = self.terms_of(party, uses, period) or self.last.get(party)
            versions = [u["contract"] for u in uses.values() if party in u["parts"]] or [self.last[party] or {}]
            least = min(version.get("min_payout", 0) for version in versions)
            payable = stands if stands >= max(least, 0) else 0
            one["net_payable"] = payable // FEN * FEN
            if one["net_payable"] and self.last[party]:  # whatever chose `least`: no version of the party pays less than all would
                assert payable >= min(v.get("min_payout", 0) for v in self.contracts[self.last[party]["id"]].terms + versions), (period, party)
            one["closing_carry"] = stands - one["net_payable"]
            one["share_base"] = one["gross_revenue"] + one["refunds"] + one["vat_excluded"] + one["payment_fees"]
            self.statements[period, party] = one
            self.carry[party] = one["closing_carry"]
            if one["net_payable"]:
                self.move("lock", following(period), end - 1, {account: one["net_payable"], stated(party): -one["net_payable"]})

    def count(self, made, request):
        shares = {s.attempt: s for s in request.shares}
        for party in {p.party for p in request.parts}:
            made[party]["requests"] += 1
        for part in request.parts:
            one = made[part.party]
            one["share_amount"] += part.amount
            share = shares.get(part.attempt)
            if share:
                one["gross_revenue"] += share.gross
                if part.contract["base"] == "net_of_vat":
                    one["vat_excluded"] -= sum(p.amount for p in request.parts if p.attempt == part.attempt and p.party == "vat")
                one["tokens_in"] += sum(share.counts[:3])
                one["tokens_out"] += sum(share.counts[3:])

    def column(self, one, move, amount, begin):
        if move.code == "lock":
            return
        if move.effective < begin:
            one["prior_period_adj"] += amount
            if move.code == "late":
                one["share_amount"] -= amount
            return
        one[{"trueup": "tier_trueup", "guarantee": "guarantee_topup", "withhold": "reserve_withheld",
             "release": "reserve_released", "penalty": "penalties", "early_exit": "penalties", "forfeiture": "penalties", "chargeback": "chargebacks",
             "clawback": "chargebacks", "manual": "prior_period_adj"}.get(move.code, "share_amount")] += amount
