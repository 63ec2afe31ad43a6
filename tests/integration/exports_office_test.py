"""LibreOffice, headless, opens the exports' workbooks; what it reads is what was written."""
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import exports_books
from exports_test import read_table

OFFICE = shutil.which("soffice") or shutil.which("libreoffice")
if not OFFICE:
    print("SKIPPED: LibreOffice is not installed (tools/install office)")
    sys.exit(77)


class Office(unittest.TestCase):
    def test_libreoffice_reads_what_was_written(self):
        folder = exports_books.write() / "1" / "2026-11"
        with tempfile.TemporaryDirectory(prefix="tributary-office-") as out:
            done = subprocess.run([OFFICE, f"-env:UserInstallation=file://{out}/profile", "--headless", "--convert-to",
                                   "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,false,false", "--outdir", out,
                                   *sorted((folder / "xlsx").glob("*.xlsx"))],
                                  capture_output=True, text=True, check=False, timeout=300)
            self.assertEqual(0, done.returncode, done.stderr)
            for name in ("settlement_summary", "settlement_lines", "ledger_trial_balance"):
                found = read_table(pathlib.Path(out), name, "csv")
                self.assertEqual(read_table(folder / "csv", name, "csv"), found)


if __name__ == "__main__":
    unittest.main()
