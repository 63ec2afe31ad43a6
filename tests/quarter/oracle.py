"""An oracle of the money, written from docs/closing.md, docs/desk.md and the design of the ledger alone: it
shares no code with the product and knows nothing of its tables. It reads facts (prices, contracts, requests,
what people asked for, closes) in the order in which they were booked, reckons everything with Python's own
integers, and says what every request, account, statement and invoice must be, to the pico.

    oracle.py FACTS.jsonl RESULT.jsonl     exit 1 and the first differences when they do not agree
"""
import collections
import json
import sys

from arithmetic import pico
from desk import Desk


def take(books, fact):
    kind = fact["fact"]
    if kind == "price":
        books.prices[fact["model"]].publish(fact)
    elif kind == "contract":
        books.contracts[fact["id"]].publish(fact)
    elif kind == "site":
        books.sites[fact["id"]] = fact
    elif kind == "assigned":
        books.assigned(fact["contracts"], fact["wall_ms"])
    elif kind == "topup":
        books.topup(fact)
    elif kind == "request":
        books.request(fact)
    elif kind == "order":
        posted = books.order(fact)
        if posted != fact["posted"]:
            books.wrong.append(f"order {fact}: the oracle has it {'posted' if posted else 'refused'}")
    elif kind == "close":
        books.close(fact["period"])
    elif kind == "invoice":
        books.invoice(fact["period"])
    else:
        sys.exit("unknown fact: " + kind)


AMOUNTS = ("opening_carry gross_revenue refunds vat_excluded payment_fees share_base share_amount tier_trueup guarantee_topup "
           "penalties chargebacks prior_period_adj reserve_withheld reserve_released net_payable closing_carry").split()


def compare(books, result):
    wrong, seen = books.wrong, collections.Counter()
    def same(what, ours, theirs):
        seen[what.split(" ")[0]] += 1
        if ours != theirs:
            wrong.append(f"{what}: the oracle says {ours}, the ledger {theirs}")
    accounts = {}
    for line in result:
        row = json.loads(line)
        if row["is"] == "balance":
            accounts[row["account"], row["period"]] = pico(row["credit"])
        elif row["is"] == "request":
            one = books.requests.pop(row["id"])
            same(f"request {row['id']} gross", one.gross, pico(row["gross"]))
            same(f"request {row['id']} period", one.period, row["period"])
            same(f"request {row['id']} parts", [[p.attempt, p.party, p.amount] for p in one.parts],
                 [[n, party, pico(amount)] for n, party, amount in row["parts"]])
        elif row["is"] == "statement":
            one = books.statements.pop((row["period"], row["party"]))
            for name in AMOUNTS:
                same(f"statement {row['no']} {name}", one[name], pico(row[name]))
            for name in ("requests", "tokens_in", "tokens_out"):
                same(f"statement {row['no']} {name}", one[name], row[name])
        elif row["is"] == "invoice":
            one = books.invoices.pop((row["period"], row["tenant"]))
            for name in ("amount", "net", "tax", "receivable", "closing_carry"):
                same(f"invoice {row['no']} {name}", one[name], pico(row[name]))
    for key in sorted(set(accounts) | {k for k, v in books.credit.items() if v}):
        same(f"account {key[0]} in {key[1]}", books.credit.get(key, 0), accounts.get(key, 0))
    if books.requests:
        wrong.append(f"{len(books.requests)} requests are not in the ledger, the first {next(iter(books.requests))}")
    for what, left in (("statements", books.statements), ("invoices", books.invoices)):
        if left:
            wrong.append(f"{what} are not in the ledger: {sorted(left)[:3]}")
    return wrong, seen


def main():
    books = Desk()
    with open(sys.argv[1], encoding="utf-8") as facts:
        for line in facts:
            take(books, json.loads(line))
    books.check_end()
    with open(sys.argv[2], encoding="utf-8") as result:
        wrong, seen = compare(books, result)
    for line in wrong[:20]:
        print(line)
    print(f"oracle: {sum(seen.values())} figures ({', '.join(f'{n} of a {k}' for k, n in sorted(seen.items()))}), {len(wrong)} differ")
    return 1 if wrong or not seen["request"] or not seen["statement"] else 0


if __name__ == "__main__":
    sys.exit(main())
