"""A customer that holds many streams open: one event loop, one connection a lane, times of every token."""
import asyncio
import json
import time

PATIENCE_S = 60.0  # of one answer


class Seen:
    """What one stream gave. `at`: when each token came; `seams`: indices of the token behind each seam."""

    def __init__(self, number):
        self.number, self.id, self.status = number, "", 0
        self.text, self.at, self.seams = [], [], []
        self.ids, self.roles, self.finish, self.done, self.error, self.usage = set(), 0, None, False, None, None
        self.broken = None  # what was wrong with the answer as HTTP or as events

    def event(self, block, now):
        if block.startswith(b":"):
            if b"goes on" in block:
                self.seams.append(len(self.at))
            return
        data = block[6:]
        if self.done:
            self.broken = "an event behind [DONE]"
        elif data == b"[DONE]":
            self.done = True
        else:
            self.chunk(json.loads(data), now)

    def chunk(self, chunk, now):
        if "error" in chunk:
            self.error = chunk["error"].get("code")
            return
        self.ids.add(chunk["id"])
        self.usage = chunk.get("usage") or self.usage
        for choice in chunk["choices"]:
            self.finish = choice.get("finish_reason") or self.finish
            self.roles += "role" in choice["delta"]
            content = choice["delta"].get("content")
            if content:
                self.text.append(content)
                self.at.append(now)


async def read_answer(reader, seen):
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    seen.status = int(head.split(" ", 2)[1])
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    seen.id = fields.get("x-request-id", "")
    if "content-length" in fields:
        seen.broken = (await reader.readexactly(int(fields["content-length"])))[:200].decode(errors="replace")
        return
    rest = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        rest += (await reader.readexactly(size + 2))[:-2]
        now = time.monotonic()
        *blocks, rest = rest.split(b"\n\n")
        for block in blocks:
            seen.event(block, now)
    await reader.readuntil(b"\r\n")
    if rest:
        seen.broken = "half an event at the end"


async def lane(host, port, key, numbers, body_of, all_seen):
    reader = writer = None
    for number in numbers:
        seen = Seen(number)
        all_seen.append(seen)
        body = body_of(number)
        try:
            if writer is None:
                reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: survive\r\nAuthorization: Bearer " + key.encode() +
                         b"\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await asyncio.wait_for(read_answer(reader, seen), PATIENCE_S)
        except (OSError, ValueError, KeyError, asyncio.IncompleteReadError, asyncio.TimeoutError) as why:
            seen.broken = f"{type(why).__name__}: {why}"
        if seen.broken and writer is not None:
            writer.close()
            writer = None
    if writer is not None:
        writer.close()


async def hold(url, key, count, at_once, body_of):
    host, port = url.rsplit("/", 1)[1].rsplit(":", 1)
    numbers, all_seen = iter(range(count)), []  # the lanes share them: each takes the next when it is free
    await asyncio.gather(*(lane(host, int(port), key, numbers, body_of, all_seen) for _ in range(min(at_once, count))))
    return all_seen
