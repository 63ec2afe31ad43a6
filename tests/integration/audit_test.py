"""What partners can check: proofs of real requests against an independent implementation, checkpoints at a site
and in its way, copies of the store that are put back."""
import json
import pathlib
import random
import shutil
import signal
import tempfile
import unittest

from support import MODEL, World, wait_until

import check_proof


class Audit(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="tributary-test-")
        self.addCleanup(folder.cleanup)
        self.world = World(folder.name)
        self.world.__enter__()
        self.addCleanup(self.world.__exit__)
        self.engine = self.world.engine("engine-0")
        dialled = {"id": "dc-0", "kind": "datacenter", "vendor": "nvidia", "contract": "standard",
                   "engines": [{"url": self.engine, "models": {MODEL: MODEL}, "capacity": 8}]}
        agent = {"id": "cafe-one", "kind": "datacenter", "vendor": "nvidia", "contract": "standard"}
        self.config = self.world.write("gateway.yaml", self.world.config([dialled, agent]))
        self.world.serve(self.config)
        self.data = self.world.folder / "var"

    def ask(self, count):
        out = []
        for _ in range(count):
            answer = self.world.customer.chat("hello")
            self.assertEqual(200, answer.status, answer.body)
            out.append(answer.request_id)
        return out

    def prove(self, subject, file="proof.json"):
        self.world.command("audit", "prove", subject, "--out", file)
        return self.world.folder / file

    def stop(self):
        self.world.gateway.signal(signal.SIGTERM)
        self.assertEqual(0, self.world.gateway.wait(30))

    def batches(self):
        return self.world.admin.get("/admin/v1/audit/verify")

    def test_proof(self):
        requests = self.ask(3)
        path = self.prove(requests[1])
        proof = json.loads(path.read_text("utf-8"))
        self.assertEqual(requests[1], proof["row"]["request"])
        self.assertEqual(self.world.rated(requests[1])["charge"], proof["row"]["charge"])
        key = self.world.admin.get("/admin/v1/audit/checkpoints")["public_key"]
        check_proof.check(proof, bytes.fromhex(key))  # another implementation agrees
        wrong = bytearray(bytes.fromhex(key))
        wrong[0] ^= 1
        with self.assertRaises(AssertionError):
            check_proof.check(proof, bytes(wrong))

        found = self.world.command("audit", "check", path).stdout
        self.assertIn("not pinned", found)
        self.stop()  # offline: no gateway, no store
        found = self.world.command("audit", "check", path, "--key", key).stdout
        self.assertTrue(found.startswith("ok: ") and "not pinned" not in found, found)
        other = "00" * 32
        self.assertEqual(1, self.world.command("audit", "check", path, "--key", other, check=False).returncode)
        self.assertEqual(2, self.world.command("audit", "check", path, "--key", "x", check=False).returncode)
        whole = path.read_bytes()
        for at in random.Random(1).sample(range(len(whole) - 1), 12):
            altered = bytearray(whole)
            altered[at] ^= 1
            (self.world.folder / "altered.json").write_bytes(altered)
            result = self.world.command("audit", "check", "altered.json", "--key", key, check=False)
            self.assertEqual(1, result.returncode, f"byte {at}: {result.stdout}")
            self.assertTrue(result.stdout.startswith("wrong: "), result.stdout)

        self.world.serve(self.config)
        unknown = self.world.command("audit", "prove", "0" * 32, "--out", "none.json", check=False)
        self.assertEqual(1, unknown.returncode)

    def test_proof_of_a_transfer(self):
        self.ask(1)
        self.batches()  # posts
        export = self.world.admin.call("GET", "/admin/v1/exports/" + self.period() + "?format=jsonl&file=transfers.jsonl")
        self.assertEqual(200, export.status, export.body)
        transfer = json.loads(export.body.splitlines()[-1])
        number = transfer.get("transfer_id") or transfer["id"]
        proof = json.loads(self.prove(f"transfer:{number}").read_text("utf-8"))
        key = self.world.admin.get("/admin/v1/audit/checkpoints")["public_key"]
        check_proof.check(proof, bytes.fromhex(key))
        self.world.command("audit", "check", "proof.json", "--key", key)

    def period(self):
        return self.world.admin.get("/admin/v1/periods")[-1]["id"]

    def test_a_site_holds_the_checkpoints_and_reports_a_ledger_that_went_back(self):
        self.world.agent("cafe-one", self.engine, capacity=4)
        state = self.world.folder / "cafe-one-state"
        held = state / "checkpoints.jsonl"

        def lines():
            return held.read_text("utf-8").splitlines() if held.exists() else []

        wait_until(lambda: len(lines()) > 0, "the first checkpoint at the site")
        shutil.copytree(self.data, self.world.folder / "old")
        requests = self.ask(2)
        path = self.prove(requests[0])
        wait_until(lambda: len(lines()) > 1, "the checkpoint that the proof needed")
        served = self.world.admin.get("/admin/v1/audit/checkpoints")
        self.assertEqual(served["checkpoints"], [json.loads(line) for line in lines()])
        found = self.world.command("audit", "check", path, "--key", state / "checkpoint.pub", "--held", held).stdout
        self.assertIn("ok: ", found)
        self.world.command("audit", "check", held, "--key", state / "checkpoint.pub")
        self.world.command("audit", "checkpoints", "--out", "all.jsonl")
        self.world.command("audit", "check", "all.jsonl", "--key", served["public_key"])

        # The whole folder is put back to what it was: the site knows better.
        config = json.loads(self.config.read_text("utf-8"))
        config["gateway"]["sites"]["listen"] = self.world.sites_url.rsplit("/", 1)[1]
        self.stop()
        last = json.loads((self.data / "checkpoints.jsonl").read_text("utf-8").splitlines()[-1])
        self.assertGreater(last["number"], 1)  # one more at the end, when something was new
        shutil.rmtree(self.data)
        shutil.move(self.world.folder / "old", self.data)
        self.world.serve(self.world.write("gateway.yaml", config))
        wait_until(lambda: "checkpoints_refused" in self.world.gateway.output(), "the site's refusal", 40)
        metrics = self.world.customer.call("GET", "/metrics").body
        metrics = metrics.decode() if isinstance(metrics, bytes) else metrics
        self.assertIn("tributary_checkpoints_refused 1", metrics)
        self.assertEqual(200, self.world.customer.chat("hello").status)

    def test_backup_put_back_gives_the_same_seals(self):
        self.ask(3)
        made = self.world.command("backup", "--out", "copy").stdout
        self.assertIn("LSN", made)
        manifest = json.loads((self.world.folder / "copy" / "manifest.json").read_text("utf-8"))
        again = self.world.command("backup", "--out", "copy", check=False)
        self.assertEqual(1, again.returncode)
        self.assertIn("name another folder", again.stderr)
        self.ask(3)
        self.stop()
        verdict = self.verify_offline()
        self.assertGreater(verdict["batches"], manifest["batch"])
        proofs = (self.data / "checkpoints.jsonl").read_bytes()
        for ending in ("", "-wal", "-shm"):
            (self.data / f"ledger.db{ending}").unlink(missing_ok=True)
        shutil.copy(self.world.folder / "copy" / "ledger.db", self.data / "ledger.db")
        self.world.serve(self.config)
        after = self.batches()
        self.assertTrue(after["ok"], after)
        self.assertTrue((self.data / "checkpoints.jsonl").read_bytes().startswith(proofs))
        self.stop()
        self.assertTrue(self.verify_offline()["ok"])
        self.world.command("backup", "--out", "second", "--config", self.config)
        record = json.loads((self.data / "backup.json").read_text("utf-8"))
        self.assertGreater(record["lsn"], manifest["lsn"])

        # Without the later store and journal, the checkpoints say that this is an older copy.
        shutil.rmtree(self.data / "journal")
        for ending in ("", "-wal", "-shm"):
            (self.data / f"ledger.db{ending}").unlink(missing_ok=True)
        child = self.world.start("gateway", [self.world.program, "gateway", "--config", self.config],
                                 {"TRIBUTARY_ADMIN_TOKEN": self.world.token})
        self.assertEqual(1, child.wait(30))
        self.assertIn("checkpoint", child.output())

    def verify_offline(self):
        return json.loads(self.world.command("audit", "verify", "--config", self.config, "--json").stdout)


if __name__ == "__main__":
    unittest.main()
