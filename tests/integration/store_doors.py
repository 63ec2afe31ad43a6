"""Every administrative door that reads the ledger's store, and that it says so when it cannot."""
import datetime

READING = ["requests/{request}", "tenants", "tenants/acme", "contract-risk", "indexes", "ledger/trial-balance", "ledger/balances", "ledger/documents", "ledger/transfers",
           "invoices", "invoices/{month}/acme", "periods", "periods/{month}", "reports", "reports/quarantine", "reports/books", "statements",
           "statements/{month}/site:dc-0", "statements/{month}/site:dc-0?format=html", "exports/{month}", "exports/{month}?format=focus",
           "audit/verify", "audit/proof/{request}"]
APART = ["prices", "contracts", "sites", "offers", "devices", "ledger/orders", "audit/checkpoints", "periods/progress", "backup"]


def this_month():
    return datetime.datetime.now(datetime.timezone(datetime.timedelta(hours=8))).strftime("%Y-%m")


def ask_all(world, request):
    """What each door answers, by its path."""
    return {path: world.admin.call("GET", "/admin/v1/" + path.format(month=this_month(), request=request)) for path in READING}


def check_unreadable(case, world, request, before=None):
    """Nothing is answered from a store that cannot be read, unless it is what stood there `before` and is still in memory;
    what does not ask the store answers as ever."""
    for path, answer in ask_all(world, request).items():
        with case.subTest(door=path):
            if before is not None and answer.status == before[path].status and answer.body == before[path].body:
                continue
            case.assertEqual(503, answer.status, answer.body[:300])
            error = answer.json()["error"]
            case.assertEqual("ledger_unavailable", error["code"])
            case.assertRegex(error["message"], r"^The ledger's store cannot be read: .+\. Ask again when it can\.$")
    for path in APART:
        with case.subTest(door=path):
            world.admin.get("/admin/v1/" + path)
