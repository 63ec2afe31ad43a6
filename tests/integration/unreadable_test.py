"""A store whose file is damaged under a running gateway: a door that reads it says so, and none answers as if nothing were there;
customers are served on."""
import unittest

from support import GatewayCase
from store_doors import ask_all, check_unreadable


class Damaged(GatewayCase):
    def test_a_damaged_file_is_never_answered_empty(self):
        answers = [self.world.customer.chat(f"hello {n}") for n in range(4)]
        for answer in answers:
            self.world.rated(answer.request_id)
        request = answers[0].request_id
        before = ask_all(self.world, request)
        for name in ("ledger.db", "ledger.db-wal"):
            file = self.world.folder / "var" / name
            size = file.stat().st_size
            with open(file, "r+b") as out:  # what the header says stays
                out.seek(100)
                out.write(b"\xff" * max(0, size - 100))
        check_unreadable(self, self.world, request, before)
        self.assertEqual(503, self.world.admin.call("GET", "/admin/v1/audit/verify").status)
        self.assertEqual(200, self.world.customer.chat("hello").status)


if __name__ == "__main__":
    unittest.main()
