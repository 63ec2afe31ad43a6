"""Random books with all their exports, written by the unit tests' program, and the store's own sums by SQL."""
import atexit
import collections
import os
import pathlib
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("TRIBUTARY_BUILD", ROOT / "build" / "release"))
PICO = 10 ** 12
SEEDS = ("1", "2")
MONTHS = ("2026-11", "2026-12")


def write():
    """A folder SEED/MONTH/FORMAT[-PARTY]/ with SEED/ledger.db beside; gone when the test ends."""
    program = BUILD / "tests" / "unit" / "settlement" / "test_settlement"
    if not program.exists():
        print(f"SKIPPED: {program} is not built")
        sys.exit(77)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tributary-books-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = subprocess.run([program, "[.books]"], env=dict(os.environ, TRIB_BOOKS=str(folder)), cwd=ROOT,
                          capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise AssertionError(made.stdout[-3000:])
    return folder


def pico(text):
    """Decimal text to whole pico-CNY, digit by digit."""
    match = re.fullmatch(r"(-?)(\d+)(?:\.(\d{1,12}))?", text)
    if not match:
        raise ValueError(f"not an amount: {text!r}")
    value = int(match[2]) * PICO + int((match[3] or "").ljust(12, "0"))
    return -value if match[1] else value


class Store:
    """What the tables say, without the program."""

    def __init__(self, path, month):
        self.db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        self.period = int(month.replace("-", ""))

    def legs(self, upto=False):
        """Debit less credit by account, from the legs: of the month, or of all up to its end."""
        out = collections.Counter()
        for account, mu, pf in self.db.execute(
                "SELECT account, mu, pf FROM leg JOIN transfer ON leg.shard = transfer.shard AND leg.transfer_id = transfer.id "
                f"WHERE period {'<=' if upto else '='} ?", (self.period,)):
            out[account] += mu * 10 ** 6 + pf
        return out

    def charged(self):
        return sum(mu * 10 ** 6 + pf for mu, pf in self.db.execute(
            "SELECT gross_mu, gross_pf FROM usage WHERE period = ? AND gross_mu IS NOT NULL", (self.period,)))

    def requests(self):
        return self.db.execute("SELECT count(*) FROM usage WHERE period = ?", (self.period,)).fetchone()[0]


def fen(value):
    """Pico to fen, half away from zero."""
    half = 5 * 10 ** 9
    return (value + half) // 10 ** 10 if value >= 0 else -((-value + half) // 10 ** 10)
