"""The second arithmetic of the demonstration against the golden vectors of the ledger."""
import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from demo import arithmetic  # noqa: E402


class Golden(unittest.TestCase):
    GROSS = 10_339_663_898
    WEIGHTS = {"platform": 285_000, "site": 650_000, "vendor": 50_000, "referrer": 15_000}

    def test_gross(self):
        price = {"input": "2.000000", "cached_input": "0.333333", "output": "8.000001"}
        tokens = {"input": 1234, "cached_input": 10_007, "output": 567}
        self.assertEqual(self.GROSS, arithmetic.charge(tokens, price))

    def test_split(self):
        self.assertEqual({"platform": 2_946_804_211, "site": 6_720_781_534, "vendor": 516_983_195,
                          "referrer": 155_094_958}, arithmetic.split(self.GROSS, self.WEIGHTS, "any id"))

    def test_ties_turn_with_the_id(self):
        equal = dict.fromkeys("abcd", 250_000)
        winners = {next(k for k, v in arithmetic.split(1, equal, str(n)).items() if v) for n in range(64)}
        self.assertEqual(set("abcd"), winners)

    def test_text(self):
        for amount in (0, 1, -1, self.GROSS, -self.GROSS, 10**12, 5 * 10**11):
            self.assertEqual(amount, arithmetic.pico(arithmetic.cny(amount)))
        self.assertEqual("0.010339663898", arithmetic.cny(self.GROSS))
        for bad in (1, 0.5, "0.0000000000001"):
            with self.assertRaises(ValueError):
                arithmetic.pico(bad)
        with self.assertRaises(ValueError):
            arithmetic.per_token("0.0000001")


if __name__ == "__main__":
    unittest.main()
