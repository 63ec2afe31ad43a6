"""The second meter with a real gateway and real agents: what a site signs reaches the ledger, whoever is killed and
when; what a site tells otherwise is found, listed with both records, and explained."""
import json
import pathlib
import signal
import tempfile
import unittest

from support import MODEL, World, wait_until


class Receipts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="tributary-test-")
        self.addCleanup(folder.cleanup)
        self.world = World(folder.name)
        self.world.__enter__()
        self.addCleanup(self.world.__exit__)
        self.engine = self.world.engine("engine-0")
        agent = {"id": "cafe-one", "kind": "datacenter", "vendor": "nvidia", "contract": "standard"}
        self.config = self.world.write("gateway.yaml", self.world.config([agent]))
        self.world.serve(self.config)
        config = json.loads(self.config.read_text("utf-8"))
        config["gateway"]["sites"]["listen"] = self.world.sites_url.rsplit("/", 1)[1]
        self.config = self.world.write("gateway.yaml", config)  # the site finds it again after a restart
        self.agent = self.world.agent("cafe-one", self.engine, capacity=8)
        self.world.wait_offers(["cafe-one"])
        self.state = self.world.folder / "cafe-one-state"

    def ask(self, count, stream=False):
        out = []
        for _ in range(count):
            answer = self.world.customer.chat("hello", stream=stream)
            self.assertEqual(200, answer.status, answer.body)
            out.append(answer.request_id)
        return out

    def report(self, *words):
        result = self.world.command("report", *words, "--json", check=False)
        return result.returncode, json.loads(result.stdout)

    def signed(self):
        """Attempts by the gateway's count, and by what the site has signed."""
        _, report = self.report("receipts")
        row = [row for row in report["rows"] if row[2] == "attempts"]
        return (int(row[0][3]), int(row[0][4])) if row else (0, 0)

    def restart_agent(self):
        self.agent = self.world.start("cafe-one", [self.world.program, "agent", "--config", self.world.folder / "cafe-one.yaml"])
        self.agent.wait_ready()
        self.world.wait_offers(["cafe-one"])

    def verified(self):
        self.assertIn("ok", self.world.command("audit", "verify").stdout)

    def test_what_is_served_is_signed_once_whoever_is_killed(self):
        self.ask(3)
        self.ask(2, stream=True)
        wait_until(lambda: self.signed() == (5, 5), "five receipts")
        code, report = self.report("receipts")
        self.assertEqual(0, code, report)
        for row in report["rows"]:
            self.assertEqual(("cafe-one", MODEL, "0"), (row[0], row[1], row[5]), row)
        self.assertEqual("5 equal", report["rows"][0][6])

        self.ask(2)
        self.agent.signal(signal.SIGKILL)
        self.agent.wait(10)
        self.restart_agent()
        wait_until(lambda: self.signed() == (7, 7), "what was not signed yet, after the kill")

        self.world.gateway.signal(signal.SIGKILL)
        self.world.gateway.wait(10)
        self.world.serve(self.config)
        self.world.wait_offers(["cafe-one"])
        self.ask(1)
        wait_until(lambda: self.signed() == (8, 8), "what came after the gateway's kill")
        self.verified()
        self.assertEqual(0, self.report()[0])
        roots = sum(1 for _ in self.state.glob("receipts-*.log"))
        self.assertEqual(1, roots)

    def test_a_site_that_lost_its_key_is_refused_until_the_operator_pins_the_new_one(self):
        self.ask(1)
        wait_until(lambda: self.signed() == (1, 1), "the first receipt")
        self.agent.signal(signal.SIGTERM)
        self.agent.wait(40)
        for file in self.state.glob("receipts*"):
            file.unlink()
        self.restart_agent()
        self.ask(1)
        wait_until(lambda: "is signed by key" in self.world.gateway.output(), "the refusal", 20)
        self.assertEqual((2, 1), self.signed())
        key = self.world.gateway.output().split("is signed by key ", 1)[1][:64]
        self.world.command("site", "receipts-key", "cafe-one", "--key", key, "--reason", "its disk was lost")
        wait_until(lambda: self.signed() == (2, 2), "the refused receipt under the new key", 30)
        self.verified()

    def test_a_site_that_signs_other_figures_is_found_and_explained(self):
        self.ask(1)
        wait_until(lambda: self.signed() == (1, 1), "the first receipt")
        self.agent.signal(signal.SIGTERM)
        self.agent.wait(40)
        self.lie()
        self.restart_agent()
        wait_until(lambda: self.report("receipts", "--wait", "0")[1]["unexplained"] == 1, "the receipt of no request", 20)
        code, report = self.report("receipts", "--wait", "0")
        self.assertEqual(1, code)
        finding = report["findings"][0]
        self.assertEqual("no_request", finding["state"])
        self.assertIsNone(finding["gateway"])
        self.assertEqual(999999, finding["receipt"]["tokens"]["output"])
        charged = {account["account"]: account for account in self.world.admin.get("/admin/v1/ledger/trial-balance")["accounts"]}
        checklist = self.world.admin.get("/admin/v1/periods/" + self.world.admin.get("/admin/v1/periods")[-1]["id"])
        self.assertTrue(checklist)
        self.world.command("period", "explain", finding["subject"], "--reason", "a test lied", "--evidence", "receipts_test.py")
        self.assertEqual(0, self.report("receipts", "--wait", "0")[0])
        after = {account["account"]: account for account in self.world.admin.get("/admin/v1/ledger/trial-balance")["accounts"]}
        self.assertEqual(charged, after)  # nothing moved
        self.verified()

    def lie(self):
        """A receipt of a request that nobody sent, as an agent that lies would write it into its journal; the agent
        itself then signs it with its own key."""
        crc = crc32c_table()
        path = sorted(self.state.glob("receipts-*.log"))[-1]
        data = path.read_bytes()
        at = data.find(b'["0')
        first = json.loads(data[at:data.index(b"]", data.index(b"]", at) + 1) + 1])
        first[0] = first[0][:-4] + "dead"
        first[3] = [1, 0, 0, 999999, 0]
        text = json.dumps(first, separators=(",", ":")).encode()
        path.write_bytes(data + len(text).to_bytes(4, "little") + crc(b"R" + text).to_bytes(4, "little") + b"R" + text)


def crc32c_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)

    def crc(data):
        value = 0xFFFFFFFF
        for byte in data:
            value = table[(value ^ byte) & 255] ^ value >> 8
        return value ^ 0xFFFFFFFF
    return crc


class Dialled(unittest.TestCase):
    def test_files_of_others_beside_the_books(self):
        folder = tempfile.TemporaryDirectory(prefix="tributary-test-")
        self.addCleanup(folder.cleanup)
        world = World(folder.name)
        world.__enter__()
        self.addCleanup(world.__exit__)
        engine = world.engine("engine-0")
        site = {"id": "dc-0", "kind": "datacenter", "vendor": "nvidia", "contract": "standard",
                "engines": [{"url": engine, "models": {MODEL: MODEL}, "capacity": 8}]}
        world.serve(world.config([site]))
        answer = world.customer.chat("hello")
        self.assertEqual(200, answer.status)
        row = world.rated(answer.request_id)
        found = world.command("report", check=False)
        self.assertEqual(0, found.returncode, found.stdout)
        self.assertEqual(10, len(found.stdout.splitlines()))
        self.assertEqual(["bank", "partner", "upstream"], sorted(line.split()[1] for line in found.stdout.splitlines() if line.startswith("- ")))
        alone = world.command("report", "bank", check=False)
        self.assertEqual(2, alone.returncode)
        self.assertIn("needs a file", alone.stderr)
        found = world.command("report", "receipts").stdout
        self.assertIn("dc-0 is dialled by the gateway", found)
        self.assertIn("unsigned", found)

        world.command("tenant", "topup", "acme", "12.50", "--id", "17")
        bank = pathlib.Path(folder.name) / "bank.csv"

        def bank_report(text, *options):
            bank.write_text(text, "utf-8")
            return world.command("report", "bank", bank, *options, check=False)

        opening = {account["account"]: account for account in world.admin.get("/admin/v1/ledger/trial-balance")["accounts"]}["A100"]
        rest = f"{float(opening['debit']) - 12.5:.2f}"
        good = f"reference,amount\n17,12.50\nopening:acme,{rest}\n"
        self.assertEqual(0, bank_report(good).returncode, bank_report(good).stdout)
        wrong = bank_report(good + "99,1.00\n")
        self.assertEqual(1, wrong.returncode)
        self.assertIn("the bank has 1 under 99", wrong.stdout)
        missing = bank_report("reference,amount\n17,12.49\n")
        self.assertIn("A100 has 12.5, the bank 12.49", missing.stdout)
        self.assertIn("the bank has nothing", missing.stdout)
        broken = bank_report("reference,amount\n17,12.50\n18,\"1,00\"\n")
        self.assertEqual(1, broken.returncode)
        self.assertIn(f"{bank}:3:4: `1,00` is not an amount", broken.stderr)
        layout = pathlib.Path(folder.name) / "layout.json"
        layout.write_text('{"separator": ";", "columns": {"reference": "Zweck", "amount": "Betrag"}}', "utf-8")
        self.assertEqual(0, bank_report(f"Betrag;Zweck;x\n12.50;17;\n{rest};opening:acme;\n", "--layout", layout).returncode)
        world.command("period", "explain", "bank:99", "--reason", "a gift", "--evidence", "letter")
        self.assertEqual(0, bank_report(good + "99,1.00\n").returncode)

        upstream = pathlib.Path(folder.name) / "upstream.csv"
        tokens = row["attempts"][0]["claimed"]
        lines = "".join(f"dc-0,{MODEL},{name},{n}\n" for name, n in tokens.items())
        upstream.write_text("site,model,class,tokens\n" + lines, "utf-8")
        self.assertEqual(0, world.command("report", "upstream", upstream, check=False).returncode)
        upstream.write_text(f"site,model,class,tokens\ndc-0,{MODEL},output,5000\n", "utf-8")
        self.assertEqual(1, world.command("report", "upstream", upstream, check=False).returncode)

        partner = pathlib.Path(folder.name) / "partner.csv"
        partner.write_text("statement,amount,invoice\n2026-11/site:dc-0,1.00,\n", "utf-8")
        self.assertIn("there is no statement", world.command("report", "partner", partner, check=False).stdout)
        self.assertEqual(2, world.command("report", "nothing", check=False).returncode)
        self.assertEqual(2, world.command("report", "margin", "--day", "2026-13-01", check=False).returncode)


if __name__ == "__main__":
    unittest.main()
