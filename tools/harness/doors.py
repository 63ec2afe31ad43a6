"""The gateway's doors: what a customer and what an operator can ask."""
import http.client
import json
import urllib.parse


class Response:
    """A whole answer. `headers` has lower-case names."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def request_id(self):
        return self.headers.get("x-request-id", "")

    def json(self):
        return json.loads(self.body)


class Stream(Response):
    """An answer in server-sent events: `events` are the JSON objects, `done` says that [DONE] came."""

    def __init__(self, status, headers, body):
        super().__init__(status, headers, body)
        self.events, self.done = [], False
        for block in body.replace(b"\r\n", b"\n").split(b"\n\n"):
            data = b"\n".join(line[5:].strip() for line in block.split(b"\n") if line.startswith(b"data:"))
            if data == b"[DONE]":
                self.done = True
            elif data:
                self.events.append(json.loads(data))

    def text(self):
        return "".join(choice.get("delta", {}).get("content") or ""
                       for event in self.events for choice in event.get("choices") or [])

    def usage(self):
        return next((event["usage"] for event in reversed(self.events) if event.get("usage")), None)


def call(url, method, path, body=None, headers=None, timeout_s=60.0):
    """One request on its own connection. `body`: bytes, or an object that is sent as JSON."""
    at = urllib.parse.urlsplit(url)
    headers = dict(headers or {})
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    if body is not None:
        headers.setdefault("Content-Type", "application/json")
    connection = http.client.HTTPConnection(at.hostname, at.port, timeout=timeout_s)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        found = {name.lower(): value for name, value in answer.getheaders()}
        kind = Stream if found.get("content-type", "").startswith("text/event-stream") else Response
        return kind(answer.status, found, content)
    finally:
        connection.close()


class Customer:
    def __init__(self, url, key):
        self.url, self.key = url, key

    def call(self, method, path, body=None, headers=None, timeout_s=60.0):
        authorization = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        return call(self.url, method, path, body, {**authorization, **(headers or {})}, timeout_s)

    def chat(self, text, model="smollm2-135m", headers=None, **fields):
        body = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
        return self.call("POST", "/v1/chat/completions", body, headers)


class Admin:
    def __init__(self, url, token):
        self.url, self.token = url, token

    def call(self, method, path, body=None):
        return call(self.url, method, path, body, {"Authorization": f"Bearer {self.token}"})

    def get(self, path):
        answer = self.call("GET", path)
        if answer.status != 200:
            raise ValueError(f"GET {path}: {answer.status} {answer.body[:200]!r}")
        return answer.json()
