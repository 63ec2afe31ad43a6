"""Exports as other people's tools read them, against the store's own tables."""
import collections
import hashlib
import json
import re
import shutil
import subprocess
import sys
import unittest

import openpyxl

import exports_books
from exports_books import MONTHS, SEEDS, Store, fen, pico

BOOKS = exports_books.write()
CARRY = ("opening_carry", "share_amount", "tier_trueup", "guarantee_topup", "penalties", "chargebacks", "prior_period_adj",
         "reserve_withheld", "reserve_released")


def parse_csv(text):
    """RFC 4180, by hand: no library that forgives."""
    rows, row, cell, quoted, i = [], [], "", False, 0
    while i < len(text):
        c = text[i]
        if quoted:
            if c == '"' and text[i + 1:i + 2] == '"':
                cell, i = cell + '"', i + 1
            elif c == '"':
                quoted = False
            else:
                cell += c
        elif c == '"':
            if cell:
                raise ValueError("a quote inside a plain cell")
            quoted = True
        elif c in ",\n":
            row.append(cell)
            cell = ""
            if c == "\n":
                rows.append(row)
                row = []
        else:
            cell += c
        i += 1
    if row or cell or quoted:
        raise ValueError("the last line does not end")
    header = rows[0]
    if any(len(r) != len(header) for r in rows):
        raise ValueError("a row of another width")
    return [dict(zip(header, r)) for r in rows[1:]]


def read_table(folder, name, form):
    path = folder / f"{name}.{form}"
    if form == "csv":
        return parse_csv(path.read_text("utf-8"))
    if form == "jsonl":
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    sheet = openpyxl.load_workbook(path, read_only=False).active
    rows = list(sheet.iter_rows(values_only=True))
    for line in sheet.iter_rows():
        for cell in line:
            if cell.data_type == "f":
                raise ValueError(f"{path} has a formula in {cell.coordinate}")
    return [dict(zip(rows[0], r)) for r in rows[1:]]


def total(rows, column):
    return sum(pico(r[column]) for r in rows if r[column] not in ("", None))


class Exports(unittest.TestCase):
    def each(self, form):
        return [(BOOKS / seed / month / form, Store(BOOKS / seed / "ledger.db", month)) for seed in SEEDS for month in MONTHS]

    def accruing(self, legs):
        """What the month's parties are owed more, by party, from the legs: locks of statements aside."""
        out = collections.Counter()
        kinds = {"L210": "site:", "L220": "vendor:", "L230": "referrer:"}
        for account, value in legs.items():
            code, _, name = account.partition("/")
            if code in kinds:
                out[kinds[code] + name] -= value
        return out

    def check_tables(self, folder, store, form):
        summary, lines = read_table(folder, "settlement_summary", form), read_table(folder, "settlement_lines", form)
        for row in summary + lines:
            owed = sum(pico(row[c]) for c in CARRY)
            self.assertEqual(owed, pico(row["net_payable"]) + pico(row["closing_carry"]))
        upto = store.legs(upto=True)
        for row in summary:
            party = f"{row['party_type']}:{row['party_id'] or ''}"
            if row["party_type"] in ("platform", "vat"):
                party = row["party_type"]
            mine = [r for r in lines if (r["party_type"], r["party_id"]) == (row["party_type"], row["party_id"])]
            for column in CARRY[1:] + ("net_payable", "paid", "gross_revenue", "share_base"):
                self.assertEqual(pico(row[column]), total(mine, column), f"{party} {column}")
            self.assertEqual((row["opening_carry"], row["closing_carry"]), (mine[0]["opening_carry"], mine[-1]["closing_carry"]))
            for before, after in zip(mine, mine[1:]):
                self.assertEqual(before["closing_carry"], after["opening_carry"])
            self.assertEqual(int(row["requests"]) > 0, any(int(r["requests"]) for r in mine))
            account = {"site": "L210/", "vendor": "L220/", "referrer": "L230/"}.get(row["party_type"])
            if account and row["party_id"]:
                # The account at the month's end is what the statement pays and carries.
                self.assertEqual(-upto[account + row["party_id"]], pico(row["net_payable"]) + pico(row["closing_carry"]), party)
        late = sum(1 for r in lines if r["prior_period_adj"] != "0")
        self.assertEqual(late > 0, folder.parent.name == "2026-12")
        return summary

    def test_invariant_32_the_jsonl_and_csv_pass_a_small_parser_whose_totals_are_the_stores(self):
        for form in ("csv", "jsonl"):
            for folder, store in self.each(form):
                self.check_tables(folder, store, form)
                detail = read_table(folder, "usage_detail", form)
                self.assertEqual(store.requests(), len(detail))
                self.assertEqual(store.charged(), total(detail, "charge"))
                self.assertEqual(store.charged(), sum(total(detail, f"part_{k}") for k in ("platform", "site", "vendor", "referrer")))
                legs = collections.Counter()
                for leg in read_table(folder, "legs", form):
                    legs[leg["account"]] += pico(leg["debit"]) - pico(leg["credit"])
                self.assertEqual({k: v for k, v in store.legs().items() if v}, {k: v for k, v in legs.items() if v})
                self.assertEqual(0, sum(legs.values()))
                for row in detail:
                    self.assertRegex(row["request_id"], "^[0-9a-f]{32}$")
                    self.assertRegex(row["final_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+08:00$")

    def test_invariant_32_openpyxl_reads_the_workbooks_and_their_totals_are_the_stores(self):
        for folder, store in self.each("xlsx"):
            rows = self.check_tables(folder, store, "xlsx")
            self.assertEqual(rows, [
                {k: (int(v) if re.fullmatch(r"\d+", v) and isinstance(r[k], int) else v or None) for k, v in c.items()}
                for r, c in zip(rows, read_table(folder.parent / "csv", "settlement_summary", "csv"))])
            trial = read_table(folder, "ledger_trial_balance", "xlsx")
            self.assertEqual({k: v for k, v in store.legs(upto=True).items() if v},
                             {r["account"]: pico(r["debit"]) - pico(r["credit"]) for r in trial if r["debit"] != r["credit"]})

    def test_the_manifest_has_every_file_with_its_hash_and_sums(self):
        for path in BOOKS.rglob("manifest.json"):
            manifest = json.loads(path.read_text())
            self.assertEqual({f.name for f in path.parent.iterdir()}, {f["name"] for f in manifest["files"]} | {"manifest.json"})
            for f in manifest["files"]:
                self.assertEqual(f["sha256"], hashlib.sha256((path.parent / f["name"]).read_bytes()).hexdigest())
            self.assertEqual(manifest["provisional"], manifest["period"] == "2026-12", path)

    def check_fen(self, found, store):
        """Each account in fen as rounded from the store's pico, the rest in clearing."""
        said = {name(account): fen(value) for account, value in store.legs(upto=True).items() if account != "C150" and fen(value)}
        said = {k: v for k, v in said.items() if v}
        rest = -sum(said.values())
        if rest:
            said["Equity:C150"] = rest
        self.assertEqual(said, {k: v for k, v in found.items() if v})
        self.assertLess(abs(rest), len(said) + 1)

    @unittest.skipUnless(shutil.which("hledger"), "hledger is not installed")
    def test_invariant_32_hledger_checks_the_journal_and_its_balances_are_the_stores(self):
        for folder, store in self.each("hledger"):
            for journal in (folder, folder.parent / "hledger-dc-one", folder.parent / "hledger-nvidia"):
                checked = subprocess.run(["hledger", "-f", journal / "ledger.journal", "check", "-s"], capture_output=True, text=True, check=False)
                self.assertEqual((0, ""), (checked.returncode, checked.stderr))
            text = subprocess.run(["hledger", "-f", folder / "ledger.journal", "bal", "-O", "csv", "--no-total", "--flat"], capture_output=True, text=True, check=True).stdout
            found = {r["account"]: pico(r["balance"].split()[0]) // 10 ** 10 for r in parse_csv(text)}
            self.check_fen(found, store)
            pico_sums = collections.Counter()
            for account, value in re.findall(r"^    (\S+)  \S+ CNY  ; pico:(\S+)$", (folder / "ledger.journal").read_text(), re.M):
                pico_sums[account] += pico(value)
            self.assertEqual({name(k): v for k, v in store.legs(upto=True).items() if v}, {k: v for k, v in pico_sums.items() if v})

    def test_invariant_32_bean_check_takes_the_journal_and_its_balances_are_the_stores(self):
        from beancount import loader
        for folder, store in self.each("beancount"):
            checked = subprocess.run([sys.executable.replace("python", "bean-check"), folder / "ledger.beancount"], capture_output=True, text=True, check=False)
            self.assertEqual((0, ""), (checked.returncode, checked.stderr))
            for journal in (folder, folder.parent / "beancount-dc-one", folder.parent / "beancount-nvidia"):
                entries, errors, _ = loader.load_file(str(journal / "ledger.beancount"))
                self.assertEqual([], errors)
                self.assertTrue(any(type(e).__name__ == "Balance" for e in entries))
                if journal != folder:
                    continue
                found, exact = collections.Counter(), collections.Counter()
                for entry in entries:
                    for posting in getattr(entry, "postings", ()):
                        found[posting.account] += int(posting.units.number * 100)
                        exact[posting.account] += pico(posting.meta.get("pico", "0"))
                self.check_fen(found, store)
                self.assertEqual({name(k): v for k, v in store.legs(upto=True).items() if v}, {k: v for k, v in exact.items() if v})

    def test_invariant_32_vouchers_balance_and_lead_from_month_to_month(self):
        for folder, store in self.each("voucher"):
            rows = parse_csv((folder / "voucher.csv").read_text("utf-8"))
            by_voucher, codes = collections.Counter(), collections.Counter()
            for row in rows:
                amount = pico(row["借方金额"] or "0") - pico(row["贷方金额"] or "0")
                by_voucher[row["凭证号"]] += amount
                codes[row["科目代码"]] += amount
            self.assertEqual({0}, set(by_voucher.values()))
            before = collections.Counter()
            for account, value in store.legs(upto=True).items():
                before[account] = value
            for account, value in store.legs().items():
                before[account] -= value
            self.assertEqual(codes["2203"], sum(fen(v) - fen(before[k]) for k, v in store.legs(upto=True).items() if k.startswith("L200/")) * 10 ** 10)
            totals = parse_csv((folder / "voucher_totals.csv").read_text("utf-8"))[0]
            self.assertEqual((str(len(by_voucher)), total(rows, "借方金额"), total(rows, "贷方金额")),
                             (totals["NumberOfEntries"], pico(totals["TotalDebit"]), pico(totals["TotalCredit"])))

    def test_invariant_32_focus_bills_what_customers_accounts_were_charged(self):
        for folder, store in self.each("focus"):
            rows = parse_csv((folder / "focus.csv").read_text("utf-8"))
            charged = sum(mu * 10 ** 6 + pf for mu, pf in store.db.execute(
                "SELECT mu, pf FROM leg JOIN transfer ON leg.shard = transfer.shard AND leg.transfer_id = transfer.id "
                "WHERE period = ? AND account LIKE 'L200/%' AND code NOT IN (50, 51, 61)", (store.period,)))
            self.assertEqual(charged, total(rows, "BilledCost"))
            for row in rows:
                self.assertEqual(row["BilledCost"], row["EffectiveCost"])
                self.assertLess(row["ChargePeriodStart"], row["ChargePeriodEnd"])
                self.assertEqual(row["ChargeClass"] == "Correction", row["ChargePeriodStart"] < row["BillingPeriodStart"])
                if row["ChargeCategory"] == "Usage":
                    self.assertEqual(pico(row["ListCost"]) * 10 ** 12, pico(row["ListUnitPrice"]) * pico(row["PricingQuantity"]))
                    self.assertEqual(int(row["ConsumedQuantity"]) * 10 ** 6, pico(row["PricingQuantity"]))
            acme = parse_csv((folder.parent / "focus-acme" / "focus.csv").read_text("utf-8"))
            self.assertEqual([r for r in rows if r["BillingAccountId"] == "acme"], acme)

    def test_the_einvoice_sheets_say_what_the_invoices_say(self):
        book = openpyxl.load_workbook(BOOKS / "taxed" / "einvoice" / "einvoice.xlsx")
        self.assertEqual(["发票基本信息", "发票明细信息"], book.sheetnames)
        tables = []
        for sheet in book:
            rows = list(sheet.iter_rows(values_only=True))
            self.assertFalse(any(c.data_type == "f" for row in sheet.iter_rows() for c in row))
            tables.append([dict(zip(rows[0], r)) for r in rows[1:]])
        basic, details = tables
        self.assertEqual("发票流水号 发票类型 特定业务类型 是否含税".split(), list(basic[0])[:4])
        self.assertEqual("发票流水号 项目名称 商品和服务税收编码 规格型号 单位 数量 单价 金额 税率 折扣金额 是否使用优惠政策 优惠政策类型 即征即退类型".split(), list(details[0]))
        invoices = [json.loads(line) for line in (BOOKS / "taxed" / "invoices.jsonl").read_text().splitlines()]
        self.assertEqual([i["no"] for i in invoices], [r["备注"] for r in basic])
        self.assertEqual(["是"] * len(basic), [r["是否含税"] for r in basic])
        self.assertEqual(["北京爱可米科技有限公司", "=上海博特有限公司"], [r["购买方名称"] for r in basic])
        for row, invoice in zip(basic, invoices):
            mine = [r for r in details if r["发票流水号"] == row["发票流水号"]]
            self.assertEqual(pico(invoice["amount"]), total(mine, "金额"))
            self.assertTrue(all(re.fullmatch(r"\d{19}", r["商品和服务税收编码"]) and r["税率"] == "0.06" for r in mine))


def name(account):
    """As docs/exports.md says it."""
    code, _, rest = account.partition("/")
    root = {"A": "Assets", "L": "Liabilities", "R": "Income", "E": "Expenses", "C": "Equity"}[code[0]]
    rest = rest.replace(".", "-DOT-").replace("_", "-UL-").replace(":", "-OF-")
    return f"{root}:{code}" + (f":{rest[0].upper()}{rest[1:]}" if rest else "")


if __name__ == "__main__":
    unittest.main()
