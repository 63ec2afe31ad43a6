"""HTTP/1.1 on a real socket: reuse, pipelining, framing, slow and large heads."""
import json
import unittest

from support import MODEL, GatewayCase, read_answer


class Wire(GatewayCase):
    GATEWAY = {"deadlines": {"head": "1s", "idle": "2s"}}

    def request(self, content="hello", extra=b"", framing=None):
        body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": content}]}).encode()
        framing = framing or b"Content-Length: %d\r\n" % len(body)
        return (b"POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer " +
                self.world.key.encode() + b"\r\nContent-Type: application/json\r\n" + extra + framing + b"\r\n", body)

    def test_keep_alive(self):
        connection = self.raw()
        file = connection.makefile("rb")
        ids = set()
        for _ in range(3):
            head, body = self.request()
            connection.sendall(head + body)
            status, headers, _ = read_answer(file)
            self.assertEqual(200, status)
            ids.add(headers["x-request-id"])
        self.assertEqual(3, len(ids))

    def test_pipelined_in_order(self):
        connection = self.raw()
        connection.sendall(b"".join(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % p
                                    for p in (b"/healthz", b"/v1/nothing", b"/healthz")))
        file = connection.makefile("rb")
        self.assertEqual([200, 404, 200], [read_answer(file)[0] for _ in range(3)])

    def test_close_is_heard(self):
        answer = self.exchange(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer[:80])
        answer = self.exchange(b"GET /healthz HTTP/1.0\r\nHost: x\r\n\r\n")
        self.assertRegex(answer, rb"^HTTP/1\.[01] 200 ")

    def test_chunked_body_in_pieces(self):
        head, body = self.request(framing=b"Transfer-Encoding: chunked\r\n")
        sent = head + b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 7]), body[i:i + 7])
                               for i in range(0, len(body), 7)) + b"0\r\n\r\n"
        connection = self.raw()
        for i in range(0, len(sent), 11):
            connection.sendall(sent[i:i + 11])
        self.assertEqual(200, read_answer(connection.makefile("rb"))[0])

    def test_expect_continue(self):
        head, body = self.request(extra=b"Expect: 100-continue\r\n")
        connection = self.raw()
        connection.sendall(head)
        file = connection.makefile("rb")
        self.assertTrue(file.readline().startswith(b"HTTP/1.1 100 "))
        self.assertEqual(b"\r\n", file.readline())
        connection.sendall(body)
        self.assertEqual(200, read_answer(file)[0])

    def test_head_too_large(self):
        answer = self.exchange(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (20 << 10) + b"\r\n\r\n")
        self.assertRegex(answer, rb"^HTTP/1\.1 4(00|31) ")

    def test_slow_head_ends(self):
        answer = self.exchange(b"GET /healthz HTTP/1.1\r\nHost:")  # exchange() fails if it stays open
        self.assertTrue(answer == b"" or answer.startswith(b"HTTP/1.1 408 "), answer[:80])

    def test_smuggled_request_is_never_answered(self):
        sent = (b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = self.exchange(sent)
        self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer[:80])
        self.assertEqual(1, answer.count(b"HTTP/1.1 "))


if __name__ == "__main__":
    unittest.main()
