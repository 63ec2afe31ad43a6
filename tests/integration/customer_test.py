"""The customer's door: answers, refusals with their bodies, limits, balance, idempotency."""
import json
import unittest

from support import MODEL, GatewayCase
from harness.doors import Customer

BROKE, SLOW, BUSY = "sk-broke", "sk-slow", "sk-busy"


class Doors(GatewayCase):
    GATEWAY = {"limits": {"body": "64KiB"}}

    @classmethod
    def tenants(cls, world):
        return [world.tenant(),
                world.tenant("broke", BROKE, balance="0.000000000001"),
                world.tenant("slow", SLOW, limits={"requests_per_minute": 2})]

    def post(self, body, key=None, path="/v1/chat/completions", headers=None):
        return Customer(self.world.url, self.world.key if key is None else key).call("POST", path, body, headers)

    def test_whole_answer(self):
        answer = self.world.customer.chat("hello", max_tokens=8)
        self.assertEqual(200, answer.status, answer.body)
        self.assertRegex(answer.request_id, r"^[0-9a-f]{32}$")
        body = answer.json()
        self.assertEqual("chat.completion", body["object"])
        self.assertEqual(MODEL, body["model"])
        self.assertTrue(body["choices"][0]["message"]["content"])
        usage = body["usage"]
        self.assertEqual(usage["total_tokens"], usage["prompt_tokens"] + usage["completion_tokens"])

    def test_stream_and_usage(self):
        plain = self.world.customer.chat("hello", stream=True)
        asked = self.world.customer.chat("hello", stream=True, stream_options={"include_usage": True})
        for answer in (plain, asked):
            self.assertEqual(200, answer.status, answer.body)
            self.assertTrue(answer.done)
            self.assertTrue(answer.text())
        self.assertIsNone(plain.usage())  # the gateway asks always, and tells only who asked
        self.assertGreater(asked.usage()["completion_tokens"], 0)

    def test_completions_embeddings_models(self):
        answer = self.post({"model": MODEL, "prompt": "once"}, path="/v1/completions")
        self.assertEqual((200, "text_completion"), (answer.status, answer.json().get("object")), answer.body)
        answer = self.post({"model": MODEL, "input": ["a", "b"]}, path="/v1/embeddings")
        self.assertEqual(200, answer.status, answer.body)
        self.assertEqual(2, len(answer.json()["data"]))
        models = self.world.customer.call("GET", "/v1/models").json()
        self.assertEqual("list", models["object"])
        self.assertIn(MODEL, [m["id"] for m in models["data"]])

    def test_keys(self):
        self.error(self.post({"model": MODEL, "messages": [{}]}, key="sk-wrong"), 401, "invalid_api_key")
        self.error(self.post({"model": MODEL, "messages": [{}]}, key=""), 401)

    def test_balance(self):
        self.error(Customer(self.world.url, BROKE).chat("hello"), 402)

    def test_requests_a_minute(self):
        slow = Customer(self.world.url, SLOW)
        answers = [slow.chat("hello", max_tokens=4) for _ in range(3)]  # the burst is a full minute's
        self.assertEqual([200, 200], [a.status for a in answers[:2]])
        self.error(answers[2], 429)
        self.assertRegex(answers[2].headers["retry-after"], r"^[1-9]\d*$")

    def test_unknown_model_path_method_type(self):
        self.error(self.world.customer.chat("hello", model="no-such"), 404, "model_not_found")
        self.error(self.world.customer.call("GET", "/v1/nothing"), 404)
        self.error(self.world.customer.call("GET", "/v1/chat/completions"), 405)
        self.error(self.post(b"model=x", headers={"Content-Type": "application/x-www-form-urlencoded"}), 415)

    def test_too_large(self):
        self.error(self.world.customer.chat("x" * (70 << 10)), 413)

    def test_bad_bodies(self):
        message = [{"role": "user", "content": "x"}]
        for name, body in {
            "empty": b"", "no JSON": b"hello", "array": b"[]", "cut": b'{"model":"smollm2-135m"',
            "rest": b'{"model":"m","messages":[{}]}x', "bad UTF-8": b'{"model":"\xff\xfe","messages":[{}]}',
            "surrogate": b'{"model":"\\ud800","messages":[{}]}',
            "deep": b'{"model":"smollm2-135m","messages":[{"x":' + b"[" * 10_000 + b"]" * 10_000 + b"}]}",
            "twice": b'{"model":"a","model":"smollm2-135m","messages":[{}]}',
            "NaN": b'{"model":"smollm2-135m","messages":[{}],"temperature":NaN}',
            "no model": {"messages": message}, "model 7": {"model": 7, "messages": message},
            "no messages": {"model": MODEL}, "messages {}": {"model": MODEL, "messages": {}},
            "messages []": {"model": MODEL, "messages": []}, "messages [1]": {"model": MODEL, "messages": [1]},
            "max_tokens 0": {"model": MODEL, "messages": message, "max_tokens": 0},
            "max_tokens -1": {"model": MODEL, "messages": message, "max_tokens": -1},
            "max_tokens 1.5": {"model": MODEL, "messages": message, "max_tokens": 1.5},
            "max_tokens 2049": {"model": MODEL, "messages": message, "max_tokens": 2049},
            "max_completion_tokens x": {"model": MODEL, "messages": message, "max_completion_tokens": "x"},
            "stream 1": {"model": MODEL, "messages": message, "stream": 1},
            "stream_options []": {"model": MODEL, "messages": message, "stream": True, "stream_options": []},
        }.items():
            with self.subTest(body=name):
                error = self.error(self.post(body), 400)
                self.assertEqual("invalid_request_error", error["type"])

    def test_unknown_fields_pass(self):
        self.assertEqual(200, self.world.customer.chat("hello", some_new_field={"a": 1}, top_k=5).status)

    def test_idempotency(self):
        headers = {"Idempotency-Key": "order-1"}
        body = {"model": MODEL, "messages": [{"role": "user", "content": "once"}]}
        first, again = self.post(body, headers=headers), self.post(body, headers=headers)
        self.assertEqual(200, first.status, first.body)
        self.assertEqual((first.status, first.request_id, first.body), (again.status, again.request_id, again.body))
        self.error(self.post({**body, "max_tokens": 3}, headers=headers), 409)
        other = self.post(body, headers={"Idempotency-Key": "order-2"})
        self.assertNotEqual(first.request_id, other.request_id)

    def test_admin_needs_its_token(self):
        from harness.doors import Admin
        for token in ("", "wrong", self.world.key):
            with self.subTest(token=token):
                self.error(Admin(self.world.url, token).call("GET", "/admin/v1/sites"), 401)

    def test_seen_from_outside(self):
        self.assertEqual(200, self.world.customer.call("GET", "/healthz").status)
        self.assertEqual(200, self.world.customer.call("GET", "/readyz").status)
        metrics = self.world.customer.call("GET", "/metrics")
        self.assertEqual(200, metrics.status)
        self.assertIn(b"# TYPE ", metrics.body)

    def test_logs_hold_no_secret(self):
        self.world.customer.chat("a-prompt-nobody-should-log")
        text = self.world.gateway.output()
        for secret in (self.world.key, self.world.token, "a-prompt-nobody-should-log"):
            self.assertNotIn(secret, text)


class InFlight(GatewayCase):
    FLAGS = ("--tokens", "400", "--interval-ms", "20")

    @classmethod
    def tenants(cls, world):
        return [world.tenant(), world.tenant("busy", BUSY, limits={"in_flight": 1})]

    def test_second_at_once_is_refused(self):
        body = json.dumps({"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "x"}]}).encode()
        connection = self.raw()
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + BUSY.encode() +
                           b"\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        self.assertIn(b" 200 ", connection.recv(64))  # runs now, and for some seconds
        answer = Customer(self.world.url, BUSY).chat("hello")
        self.error(answer, 429)
        self.assertIn("retry-after", answer.headers)


if __name__ == "__main__":
    unittest.main()
