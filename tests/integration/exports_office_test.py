"""LibreOffice, headless, opens the exports' workbooks; what it reads is what was written."""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import exports_books
from exports_books import pico
from exports_test import parse_csv, read_table

OFFICE = shutil.which("soffice") or shutil.which("libreoffice")
if not OFFICE:
    print("SKIPPED: LibreOffice is not installed (tools/install office)")
    sys.exit(77)


class Office(unittest.TestCase):
    def convert(self, out, sheets, *books):
        """To CSV with LibreOffice; `sheets` -1: each sheet to a file of its own, BOOK-SHEET.csv."""
        done = subprocess.run([OFFICE, f"-env:UserInstallation=file://{out}/profile", "--headless", "--convert-to",
                               f"csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,false,false,false,false,{sheets}", "--outdir", out, *books],
                              capture_output=True, text=True, check=False, timeout=300)
        self.assertEqual(0, done.returncode, done.stderr)

    def test_libreoffice_opens_the_einvoice_batch(self):
        """Two sheets; a buyer's name that begins with = stays a name."""
        books = exports_books.write()
        with tempfile.TemporaryDirectory(prefix="tributary-office-") as out:
            self.convert(out, -1, books / "taxed" / "einvoice" / "einvoice.xlsx")
            basic, details = (parse_csv((pathlib.Path(out) / f"einvoice-{name}.csv").read_text("utf-8")) for name in ("发票基本信息", "发票明细信息"))
        invoices = [json.loads(line) for line in (books / "taxed" / "invoices.jsonl").read_text("utf-8").splitlines()]
        self.assertEqual([one["no"] for one in invoices], [row["备注"] for row in basic])
        self.assertEqual(["北京爱可米科技有限公司", "=上海博特有限公司"], [row["购买方名称"] for row in basic])
        for row, invoice in zip(basic, invoices):
            mine = [pico(line["金额"]) for line in details if line["发票流水号"] == row["发票流水号"]]
            self.assertEqual(pico(invoice["amount"]), sum(mine))

    def test_libreoffice_reads_what_was_written(self):
        folder = exports_books.write() / "1" / "2026-11"
        with tempfile.TemporaryDirectory(prefix="tributary-office-") as out:
            self.convert(out, 0, *sorted((folder / "xlsx").glob("*.xlsx")))
            for name in ("settlement_summary", "settlement_lines", "ledger_trial_balance"):
                found = read_table(pathlib.Path(out), name, "csv")
                self.assertEqual(read_table(folder / "csv", name, "csv"), found)


if __name__ == "__main__":
    unittest.main()
