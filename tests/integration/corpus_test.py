"""Every case of tests/corpus/http over a real socket: refused with its status and a closed connection, or
served exactly as many times as it has canonical requests. Nothing of it reaches the engine, as no case
carries a key."""
import concurrent.futures
import io
import re
import socket
import unittest

from support import ROOT, GatewayCase
from harness.doors import call

SENTINEL = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def unescape(text):
    text = re.sub(r"\\\{(\d+)\*([^}]*)\}", lambda m: m[2] * int(m[1]), text)
    plain = {"r": "\r", "n": "\n", "t": "\t", "\\": "\\"}
    return re.sub(r"\\(x..|.)", lambda m: plain.get(m[1]) or chr(int(m[1][1:], 16)), text).encode("latin-1")


def load():
    """[{name, send, want: [bytes], end}] of all files; the format is in tests/corpus/README.md."""
    cases = []
    for file in sorted((ROOT / "tests" / "corpus" / "http").glob("*.txt")):
        for line in file.read_text("ascii").splitlines():
            word, _, rest = line.partition(" ")
            if word == "case":
                cases.append({"name": rest, "send": b"", "want": [], "end": "open"})
            elif word == "send":
                cases[-1]["send"] += unescape(rest)
            elif word == "want":
                cases[-1]["want"].append(unescape(rest))
            elif word in ("refuse", "close", "wait"):
                cases[-1]["end"] = line.strip()
            elif line and not line.startswith("#"):
                raise ValueError(f"{file.name}: {line}")
    return cases


def statuses(answer, methods):
    """The final statuses in a connection's bytes; raises ValueError if they are no whole answers."""
    file, found = io.BytesIO(answer), []
    while (line := file.readline()):
        match = re.fullmatch(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n", line)
        if not match:
            raise ValueError(f"not a status line: {line[:60]!r}")
        headers = {}
        while (line := file.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        if match[1].startswith(b"1"):
            continue
        method = methods[len(found)] if len(found) < len(methods) else b"GET"
        if method != b"HEAD" and match[1] not in (b"204", b"304"):
            if headers.get(b"transfer-encoding") == b"chunked":
                while (size := int(file.readline(), 16)):
                    file.read(size + 2)
                file.readline()
            else:
                file.read(int(headers.get(b"content-length", b"0")))
        found.append(int(match[1]))
    return found


class Corpus(GatewayCase):
    def talk(self, case):
        """Sends a case, reads to the end. Gives a text of what is wrong, or None."""
        host, port = self.world.url.rsplit("/", 1)[1].rsplit(":", 1)
        sent = case["send"] + (SENTINEL if case["end"] == "open" else b"")
        found = b""
        with socket.create_connection((host, int(port)), 10) as connection:
            try:
                connection.sendall(sent)
                if case["end"] == "wait":
                    connection.shutdown(socket.SHUT_WR)
                while (got := connection.recv(65536)):
                    found += got
            except (ConnectionResetError, BrokenPipeError):
                try:
                    found += connection.recv(1 << 20)
                except OSError:
                    pass
            except TimeoutError:
                return f"the connection stays open after {found[:80]!r}"
        try:
            got = statuses(found, [want.split(b" ", 1)[0] for want in case["want"]])
        except ValueError as e:
            return str(e)
        served, rest = got[:len(case["want"])], got[len(case["want"]):]
        if len(served) < len(case["want"]) or 400 in served:
            return f"{len(case['want'])} requests are to be served, answered were {got}"
        kind, _, status = case["end"].partition(" ")
        right = {"refuse": rest == [int(status or 0)], "open": rest == [200], "close": rest == [],
                 "wait": rest in ([], [400], [408])}[kind]
        return None if right else f"{case['end']}: the answers are {got}"

    def test_every_case(self):
        cases = load()
        self.assertGreater(sum(c["end"].startswith("refuse") for c in cases), 200)
        self.assertGreater(sum(c["end"] == "open" for c in cases), 25)
        asked = lambda: [r for e in self.engines for r in call(e, "GET", "/fake/log").body.splitlines()
                         if b"/v1/completions" in r or b"/v1/chat" in r]
        before = len(asked())
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for case, wrong in zip(cases, pool.map(self.talk, cases)):
                with self.subTest(case=case["name"]):
                    self.assertIsNone(wrong)
        self.assertEqual(before, len(asked()))


if __name__ == "__main__":
    unittest.main()
