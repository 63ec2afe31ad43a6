"""The money of real requests against the second arithmetic, and faults that must not be charged wrongly."""
import unittest

from support import MODEL, PRICE, SHARES, GatewayCase
from demo import arithmetic
from demo.arithmetic import pico

FAULTS = {f"fault-{name}": f"{MODEL}.{name}" for name in ("usage_missing", "usage_negative", "usage_zero", "cut", "html")}


class Money(GatewayCase):
    MODELS = {MODEL: MODEL, **FAULTS}

    def life(self, answer):
        life = self.world.rated(answer.request_id)
        tokens = {k: int(v) for k, v in life["tokens"].items()}
        self.assertEqual(arithmetic.charge(tokens, PRICE), pico(life["charge"]))
        parts = {k: pico(v) for k, v in life["parts"].items()}
        self.assertEqual(arithmetic.split(pico(life["charge"]), arithmetic.parties("dc-0", "nvidia", SHARES), life["id"]),
                         parts)
        return life

    def test_whole_and_stream(self):
        whole = self.world.customer.chat("hello")
        life, usage = self.life(whole), whole.json()["usage"]
        self.assertEqual(usage["prompt_tokens"], life["tokens"]["input"] + life["tokens"]["cached_input"])
        self.assertEqual(usage["completion_tokens"], life["tokens"]["output"])
        self.life(self.world.customer.chat("hello", stream=True))

    def test_missing_and_lying_usage(self):
        for name in ("usage_missing", "usage_negative", "usage_zero"):
            with self.subTest(fault=name):
                answer = self.world.customer.chat("hello", model=f"fault-{name}")
                self.assertEqual(200, answer.status, answer.body)
                life = self.life(answer)
                self.assertGreater(life["tokens"]["output"], 0)  # delivered text is never nothing
                self.assertEqual("estimate", life["source"])

    def test_cut_stream_ends_visibly(self):
        script = '#script {"tokens": 60, "interval_ms": 5, "fault": "cut", "at": 40}'
        answer = self.world.customer.chat(script, stream=True)
        self.assertEqual(200, answer.status)
        self.assertFalse(answer.done)
        self.assertIn("error", answer.events[-1])
        life = self.life(answer)
        self.assertEqual(("partial", 0), (life["outcome"], life["tokens"]["input"]))

    def test_rubbish_is_no_charge(self):
        answer = self.world.customer.chat("hello", model="fault-html")
        self.assertIn(answer.status, (502, 503))
        balance = self.world.admin.get("/admin/v1/ledger/trial-balance")
        self.assertEqual("0", balance["sum"])
        self.assertEqual(0, sum(pico(a["debit"]) - pico(a["credit"]) for a in balance["accounts"]))


if __name__ == "__main__":
    unittest.main()
