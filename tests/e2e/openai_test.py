"""The official OpenAI SDK against the gateway: what works, and each refusal as the SDK's own exception."""
import asyncio
import unittest

from support import MODEL, GatewayCase

import openai

BROKE, SLOW = "sk-broke", "sk-slow"
MESSAGES = [{"role": "user", "content": "hello"}]


class Sdk(GatewayCase):
    MODELS = {MODEL: MODEL, "fails": f"{MODEL}.status-500", "cuts": f"{MODEL}.cut", "full": f"{MODEL}.rate_limit"}

    @classmethod
    def tenants(cls, world):
        return [world.tenant(),
                world.tenant("broke", BROKE, balance="0.000000000001"),
                world.tenant("slow", SLOW, limits={"requests_per_minute": 1})]

    def client(self, key=None, kind=openai.OpenAI):
        client = kind(base_url=self.world.url + "/v1", api_key=key or self.world.key, max_retries=0, timeout=20)
        if kind is openai.OpenAI:
            self.addCleanup(client.close)
        return client

    def chat(self, key=None, **fields):
        return self.client(key).chat.completions.create(**{"model": MODEL, "messages": MESSAGES, **fields})

    def refused(self, kind, status, key=None, **fields):
        with self.assertRaises(kind) as caught:
            self.chat(key, **fields)
        self.assertEqual(status, caught.exception.status_code)
        self.assertTrue(caught.exception.request_id)
        self.assertTrue(caught.exception.body["message"])
        return caught.exception

    def test_chat(self):
        answer = self.chat()
        self.assertTrue(answer.choices[0].message.content)
        self.assertEqual(MODEL, answer.model)
        self.assertTrue(answer._request_id)
        self.assertEqual(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens)

    def test_stream(self):
        chunks = list(self.chat(stream=True))
        self.assertTrue("".join(c.choices[0].delta.content or "" for c in chunks if c.choices))
        self.assertEqual("stop", [c.choices[0].finish_reason for c in chunks if c.choices][-1])
        self.assertEqual([None], sorted({c.usage for c in chunks}, key=str))
        self.assertEqual(1, len({c.id for c in chunks}))

    def test_stream_with_usage(self):
        chunks = list(self.chat(stream=True, stream_options={"include_usage": True}))
        self.assertEqual([], chunks[-1].choices)
        self.assertGreater(chunks[-1].usage.completion_tokens, 0)

    def test_async(self):
        async def both():
            async with self.client(kind=openai.AsyncOpenAI) as client:
                create = client.chat.completions.create
                whole, stream = await asyncio.gather(create(model=MODEL, messages=MESSAGES),
                                                     create(model=MODEL, messages=MESSAGES, stream=True))
                return whole, [c async for c in stream]

        whole, chunks = asyncio.run(both())
        self.assertTrue(whole.choices[0].message.content)
        self.assertGreater(len(chunks), 1)

    def test_completions_embeddings_models(self):
        client = self.client()
        self.assertTrue(client.completions.create(model=MODEL, prompt="once").choices[0].text)
        self.assertEqual(1, len(client.embeddings.create(model=MODEL, input="x", encoding_format="float").data))
        self.assertIn(MODEL, [m.id for m in client.models.list()])

    def test_refusals(self):
        self.refused(openai.AuthenticationError, 401, key="sk-wrong")
        self.refused(openai.NotFoundError, 404, model="no-such")
        self.refused(openai.BadRequestError, 400, messages=[])
        self.refused(openai.BadRequestError, 400, max_tokens=0)
        self.refused(openai.APIStatusError, 402, key=BROKE)
        self.chat(key=SLOW)
        error = self.refused(openai.RateLimitError, 429, key=SLOW)
        self.assertTrue(error.response.headers["retry-after"])
        error = self.refused(openai.InternalServerError, 503, model="full")  # every supplier refuses
        self.assertTrue(error.response.headers["retry-after"])
        with self.assertRaises(openai.InternalServerError):
            self.chat(model="fails")

    def test_not_allowed(self):
        with self.assertRaises(openai.APIStatusError) as caught:  # no site of this tier
            self.client().chat.completions.create(model=MODEL, messages=MESSAGES,
                                                  extra_headers={"x-tributary-privacy": "tee"})
        self.assertIn(caught.exception.status_code, (403, 503))

    def test_price_ceiling(self):
        headers = lambda ceiling: {"x-tributary-max-price": ceiling}
        self.assertTrue(self.chat(extra_headers=headers("1000")).choices[0].message.content)
        error = self.refused(openai.BadRequestError, 400, extra_headers=headers("0.000001"))
        self.assertEqual(("no_offer_within_price", "x-tributary-max-price"), (error.code, error.param))
        error = self.refused(openai.BadRequestError, 400, extra_headers=headers("cheap"))
        self.assertEqual((None, "x-tributary-max-price"), (error.code, error.param))

    def test_conflict(self):
        headers = {"Idempotency-Key": "sdk-1"}
        create = self.client().chat.completions.create
        first = create(model=MODEL, messages=MESSAGES, extra_headers=headers)
        self.assertEqual(first.id, create(model=MODEL, messages=MESSAGES, extra_headers=headers).id)
        with self.assertRaises(openai.ConflictError):
            create(model=MODEL, messages=MESSAGES, max_tokens=3, extra_headers=headers)

    def test_broken_stream_is_an_error(self):
        with self.assertRaises(openai.APIError):
            list(self.chat(model="cuts", stream=True))


if __name__ == "__main__":
    unittest.main()
