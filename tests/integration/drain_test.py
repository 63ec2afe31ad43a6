"""SIGTERM: running streams end whole, new requests are told, the program ends with 0. And start-up errors."""
import concurrent.futures
import json
import signal
import socket
import tempfile
import unittest

from support import MODEL, GatewayCase, World, wait_until
from harness.doors import call
from harness.processes import run


class Drain(GatewayCase):
    FLAGS = ("--tokens", "100", "--interval-ms", "20")

    def test_streams_finish(self):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            running = [pool.submit(self.world.customer.chat, "hello", stream=True) for _ in range(8)]
            busy = lambda: sum(json.loads(call(e, "GET", "/fake/state").body).get("running", 8) for e in self.engines)
            wait_until(lambda: busy() >= 8, "running streams")
            self.world.gateway.signal(signal.SIGTERM)
            wait_until(lambda: call(self.world.url, "GET", "/readyz").status == 503, "readyz to say that it drains")
            refused = self.world.customer.chat("late")
            self.error(refused, 503)
            answers = [r.result() for r in running]
        self.assertTrue(all(a.status == 200 and a.done and a.text() for a in answers))
        self.assertEqual(0, self.world.gateway.wait(30))


class StartUp(unittest.TestCase):
    """A wrong file is one line with its place, and exit code 2."""

    def refused(self, change, *words):
        with tempfile.TemporaryDirectory() as folder, World(folder) as world:
            config = world.config([{"id": "dc", "kind": "datacenter", "vendor": "nvidia", "contract": "standard",
                                    "engines": [{"url": "http://127.0.0.1:9", "models": [MODEL], "capacity": 1}]}])
            change(config)
            done = run([world.program, "gateway", "--config", world.write("gateway.yaml", config)],
                       {"TRIBUTARY_ADMIN_TOKEN": "t"}, folder, 20, check=False)
            self.assertEqual(2, done.returncode, done.stderr)
            first = done.stderr.splitlines()[0]
            for word in words:
                self.assertIn(word, first)

    def test_unknown_key(self):
        self.refused(lambda c: c["gateway"].update(listem="x"), "gateway.yaml:", "listem")

    def test_shares(self):
        self.refused(lambda c: c["contracts"][0]["shares"].update(site=1), "gateway.yaml:", "shares", "1000000")

    def test_seven_decimals(self):
        self.refused(lambda c: c["models"][0]["price"].update(input="0.1234567"), "gateway.yaml:", "input")

    def test_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            self.refused(lambda c: c["gateway"].update(listen=f"127.0.0.1:{taken.getsockname()[1]}"), "listen")

    def test_missing_certificate(self):
        self.refused(lambda c: c["gateway"].update(tls={"certificate": "no.pem", "key": "no.pem"}), "no.pem")


if __name__ == "__main__":
    unittest.main()
