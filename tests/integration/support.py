"""What the integration tests share: the harness of tools/, a gateway per class, sockets by hand."""
import pathlib
import socket
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from harness.processes import Failed, wait_until  # noqa: E402,F401
from harness.world import PRICE, SHARES, World  # noqa: E402,F401

MODEL = "smollm2-135m"


class GatewayCase(unittest.TestCase):
    """One gateway with scripted engines for the class. `shape` makes the configuration."""

    ENGINES = 1
    FLAGS = ()       # of each engine
    MODELS = {MODEL: MODEL}  # public name -> engine's own; the scripted engine reads faults from the latter
    GATEWAY = {}     # more keys of the section `gateway`

    @classmethod
    def tenants(cls, world):
        return [world.tenant()]

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="tributary-test-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.world = World(cls.folder.name)
        cls.world.__enter__()
        cls.addClassCleanup(cls.world.__exit__)
        cls.engines = [cls.world.engine(f"engine-{n}", flags=cls.FLAGS) for n in range(cls.ENGINES)]
        sites = [{"id": f"dc-{n}", "kind": "datacenter", "vendor": "nvidia", "contract": "standard",
                  "engines": [{"url": url, "models": cls.MODELS, "capacity": 8}]}
                 for n, url in enumerate(cls.engines)]
        cls.world.serve(cls.world.config(sites, models=list(cls.MODELS), tenants=cls.tenants(cls.world),
                                         gateway=cls.GATEWAY))

    def error(self, answer, status, code=None):
        """The answer is an error in OpenAI's shape with this status; gives the error object."""
        self.assertEqual(status, answer.status, answer.body[:300])
        self.assertTrue(answer.request_id, "an answer without x-request-id")
        error = answer.json()["error"]
        self.assertEqual({"message", "type", "param", "code"}, set(error))
        self.assertTrue(error["message"])
        if code is not None:
            self.assertEqual(code, error["code"])
        return error

    def raw(self, timeout_s=10.0):
        """A plain connection to the customers' door."""
        host, port = self.world.url.rsplit("/", 1)[1].rsplit(":", 1)
        connection = socket.create_connection((host, int(port)), timeout_s)
        self.addCleanup(connection.close)
        return connection

    def exchange(self, sent, timeout_s=10.0):
        """Sends bytes, reads to the end of the connection; gives the bytes. Fails if it stays open."""
        connection = self.raw(timeout_s)
        try:
            connection.sendall(sent)
        except OSError:
            pass  # closed in the middle: what it said before is still to be read
        found = b""
        try:
            while True:
                got = connection.recv(65536)
                if not got:
                    return found
                found += got
        except ConnectionResetError:
            return found

    def read_answer(self, connection):
        """One answer with Content-Length or chunks: (status, headers, body). The rest stays unread."""
        file = connection.makefile("rb")
        self.addCleanup(file.close)
        return read_answer(file)


def read_answer(file):
    line = file.readline()
    status = int(line.split()[1])
    headers = {}
    while (line := file.readline().strip()):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    body = b""
    if "content-length" in headers:
        body = file.read(int(headers["content-length"]))
    elif headers.get("transfer-encoding") == "chunked":
        while (size := int(file.readline().split(b";")[0], 16)):
            body += file.read(size)
            file.readline()
        while file.readline().strip():
            pass
    return status, headers, body


if not (World("unused").program).exists():
    print(f"SKIPPED: {World('unused').program} is not built")
    sys.exit(77)
