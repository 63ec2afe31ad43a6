"""A new engine's models are tried once: one bad request, one generation of a token; nobody pays for it."""
import json
import tempfile
import time
import unittest

from support import World, wait_until
from harness.doors import call

COMMON = {"vendor": "nvidia", "contract": "standard"}


class Trial(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="tributary-test-")
        self.addCleanup(folder.cleanup)
        self.world = World(folder.name)
        self.world.__enter__()
        self.addCleanup(self.world.__exit__)

    def serve(self, within, models):
        """Two engines that stand twice each: dialled and behind an agent. One goes on, one begins anew."""
        world = self.world
        marks = {"on": "day", "anew": "The"}
        engines = {name: world.engines(name, 2, ("--script", json.dumps({"mark": mark}))) for name, mark in marks.items()}
        sites = [{"id": f"dc-{name}", "kind": "datacenter", **COMMON, "engines": [{"url": urls[0], "models": models, "capacity": 4}]}
                 for name, urls in engines.items()]
        sites += [{"id": f"cafe-{name}", "kind": "cafe", **COMMON} for name in engines]
        world.serve(world.config(sites, models=models, gateway={"probe_generation": within}))
        for name, urls in engines.items():
            world.agent(f"cafe-{name}", urls[1], models=models, probe_generation=within)
        world.wait_offers([site["id"] for site in sites])
        return engines

    def offers(self):
        return self.world.admin.get("/admin/v1/offers")

    def asked(self, url):
        log = [json.loads(line) for line in call(url, "GET", "/fake/log?path=/v1/chat/completions").body.splitlines()]
        return log

    def test_what_is_shown(self):
        models = ["m1", "m2"]
        engines = self.serve("5s", models)
        offers = wait_until(lambda: self.all_probed(), "trials of all models", 20, 0.1)
        self.assertEqual(8, len(offers))
        for offer in offers:
            with self.subTest(offer["id"]):
                self.assertEqual("usage continuation length", offer["probed"])
                self.assertEqual("nested", offer["error_shape"])
                wanted = "token_ids continue_final raw_text" if "on" in offer["site"] else "token_ids raw_text"
                self.assertEqual(wanted, offer["goes_on"])
        time.sleep(1.5)  # the looks go on, the trials do not
        for urls in engines.values():
            log = self.asked(urls[0])  # of both
            self.assertEqual(2 * len(models), sum(one["tokens"] for one in log))
            self.assertEqual(2 * len(models), sum(one["outcome"] == "completed" for one in log))
            self.assertEqual(2, sum(one["status"] == 400 for one in log))  # an engine's errors look alike for all its models
        metrics = self.world.admin.call("GET", "/metrics")
        self.assertEqual(200, metrics.status)
        billed = [line for line in metrics.body.decode().splitlines() if line.startswith("tributary_tokens_total")]
        self.assertTrue(billed and all(line.endswith(" 0") for line in billed), billed)
        # And a request afterwards is served and billed as ever.
        answer = self.world.customer.chat("hello", model="m1", stream=True, stream_options={"include_usage": True})
        self.assertTrue(answer.done)
        self.assertEqual(16, self.world.rated(answer.request_id)["tokens"]["output"])

    def all_probed(self):
        offers = self.offers()
        return offers if all(offer["probed"] for offer in offers) else None

    def test_none_is_made_where_none_is_wanted(self):
        engines = self.serve("0s", ["m1"])
        time.sleep(1.5)
        for urls in engines.values():
            self.assertEqual([], self.asked(urls[0]))
        self.assertTrue(all(offer["probed"] == "" for offer in self.offers()))


if __name__ == "__main__":
    unittest.main()
