"""The sixteen faults and their like: what the customer sees, what is billed, who is blamed.

One table, every row on both transports (sites that the gateway dials; sites whose agents dial in), streaming
and not, with no other site and with a sound one beside. All run at once, each with a model of its own, so that
no row's site rests because of another row.
"""
import concurrent.futures
import http.client
import json
import signal
import socket
import time
import unittest

from support import GatewayCase, World, tempfile, wait_until
from harness.doors import Stream, call

TOKENS, AT = 12, 5       # of a whole answer; delivered before a fault in mid-stream
FIRST_MS, GAP_MS = 900, 700
DEADLINES = {"connect": "500ms", "first_token": f"{FIRST_MS}ms", "unary_token": "1ms", "gap": f"{GAP_MS}ms",
             "keepalive": "200ms", "total": "8s"}
SLOW_S = 4.0             # beyond it somebody was left hanging: the deadlines of two attempts, and a busy machine
DIALLED, TUNNELLED = "dialled", "tunnelled"
NOBODY = (None, None)

WHOLE = "whole"          # all tokens, a finish, [DONE]; the usage told is the one billed
BROKEN = "broken"        # the tokens before the fault, then an error event and no [DONE]


def status(code, error=None, retry_after=None):
    return {"status": code, "code": error, "retry_after": retry_after}


UPSTREAM = status(502, "upstream_error")
TIMEOUT = status(504, "upstream_timeout")


class Row:
    """`script` of the engine. `alone`: what the customer of a stream sees where no other site is; `moved`: what
    he sees where one is (the fault hits the first attempt only). `whole_alone`: of an answer that is not streamed.
    `blame`: fault and side of the attempt it hits, `whole_blame` of one not streamed. An agent tells the same kind as
    is seen of an engine that is dialled, and its own network is not in doubt: the engine is."""

    def __init__(self, name, script, alone, blame, moved=WHOLE, whole_alone=None, whole_blame=None, tokens=None, whole_tokens=None, source=None, stays=False, may_be_stale=False):
        self.name, self.script, self.alone, self.moved = name, script, alone, moved
        self.whole_alone = whole_alone or (UPSTREAM if alone == BROKEN else alone)
        self.blames = {(DIALLED, True): blame, (TUNNELLED, True): by_agent(blame),
                       (DIALLED, False): whole_blame or blame, (TUNNELLED, False): by_agent(whole_blame or blame)}
        self.tokens = {True: tokens or TOKENS, False: whole_tokens or tokens or TOKENS}
        self.source = source  # of the billed count of a whole answer; None: claimed
        self.stays = stays    # nobody else is asked
        self.may_be_stale = may_be_stale  # on a pooled connection: tried once more there, nobody's fault

    def hits(self, stream):
        """Whether the fault ends an attempt."""
        return self.blames[DIALLED, stream] != NOBODY


NETWORK, ENGINE = "site_network", "engine"


def by_agent(blame):
    kind, side = blame
    return kind, ENGINE if side == NETWORK else side


ROWS = [
    Row("429 with Retry-After", {"fault": "rate_limit", "retry_after": 7}, status(503, "no_capacity", 7),
        ("status_busy", None)),
    Row("429 without", {"fault": "rate_limit_bare"}, status(503, "no_capacity", 1), ("status_busy", None)),
    Row("reset before the head", {"fault": "reset_before_head"}, UPSTREAM, ("reset_before_head", NETWORK),
        may_be_stale=True),
    Row("closed before the head", {"fault": "close_before_head"}, UPSTREAM, ("reset_before_head", NETWORK),
        may_be_stale=True),
    Row("silence", {"fault": "silence"}, TIMEOUT, ("head_timeout", ENGINE)),
    Row("silence after the head", {"fault": "silence_after_head"}, TIMEOUT, ("first_token_timeout", ENGINE)),
    Row("slow first token, in time", {"first_ms": FIRST_MS // 2}, WHOLE, NOBODY),
    Row("slow first token, too late", {"fault": "slow_first", "first_ms": 20_000}, TIMEOUT,
        ("first_token_timeout", ENGINE), whole_blame=("head_timeout", ENGINE)),
    Row("cut in mid-stream", {"fault": "cut"}, BROKEN, ("cut", NETWORK)),
    Row("reset in mid-stream", {"fault": "cut_reset"}, BROKEN, ("cut", NETWORK)),
    Row("cut inside an event", {"fault": "cut_inside"}, BROKEN, ("cut", NETWORK)),
    Row("long stall", {"fault": "stall"}, BROKEN, ("gap_timeout", ENGINE), whole_alone=TIMEOUT,
        whole_blame=("first_token_timeout", ENGINE)),
    Row("long stall with comments", {"fault": "pings"}, BROKEN, ("gap_timeout", ENGINE), whole_alone=TIMEOUT,
        whole_blame=("first_token_timeout", ENGINE)),
    Row("bad chunk", {"fault": "bad_chunk"}, BROKEN, ("bad_chunk", ENGINE)),
    Row("invalid JSON in an event", {"fault": "bad_json"}, BROKEN, ("bad_event", ENGINE)),
    Row("broken UTF-8 in an event", {"fault": "bad_utf8"}, BROKEN, ("bad_event", ENGINE)),
    Row("no [DONE]", {"fault": "no_done"}, WHOLE, NOBODY),
    Row("[DONE] without a finish", {"fault": "no_finish", "at": 0}, BROKEN, ("cut", ENGINE)),
    Row("neither", {"fault": "no_end"}, BROKEN, ("cut", ENGINE)),
    Row("context too long", {"fault": "context_length"}, status(400, "context_length_exceeded"),
        ("context_length", "client"), stays=True),
    Row("refused by a filter", {"fault": "filter_refusal"}, status(400), ("status_client", "client"), stays=True),
    Row("filtered in mid-stream", {"fault": "content_filter", "at": AT}, WHOLE, NOBODY, tokens=AT),
    Row("usage missing", {"fault": "usage_missing"}, WHOLE, NOBODY, source="estimate"),
    Row("usage wrong", {"fault": "usage_wrong", "usage_delta": 100_000}, WHOLE, NOBODY, source="estimate"),
    Row("usage negative", {"fault": "usage_negative"}, WHOLE, NOBODY, source="estimate"),
    Row("usage zero", {"fault": "usage_zero"}, WHOLE, NOBODY, source="estimate"),
    Row("usage that is text", {"fault": "usage_text"}, WHOLE, NOBODY, source="estimate"),
    Row("500", {"fault": "status", "status": 500}, UPSTREAM, ("status_server", ENGINE)),
    Row("503", {"fault": "status", "status": 503, "retry_after": 4}, status(503, "no_capacity", 4),
        ("status_busy", None)),
    Row("HTML in a 200", {"fault": "html"}, UPSTREAM, ("bad_content_type", ENGINE)),
    Row("an error object in a 200", {"fault": "error_event"}, BROKEN, ("engine_error", ENGINE)),
    Row("a head that is none", {"fault": "bad_head"}, UPSTREAM, ("bad_head", ENGINE)),
]


class Case:
    """A row on one transport, streamed or not, alone or with another site."""

    def __init__(self, number, row, transport, stream, alone):
        self.row, self.transport, self.stream, self.alone = row, transport, stream, alone
        self.model = f"m{number}"
        # Paced: what comes at once with its fault has not left yet, and the request moves without a word.
        script = {"tokens": TOKENS, "interval_ms": 25, **row.script}
        if script.get("fault", "none") != "none":
            script.setdefault("at", AT)
            if not alone and not row.stays and row.hits(stream):
                script["times"] = 1
        self.prompt = "#script " + json.dumps(script) + "\nGo on."

    def __str__(self):
        return (f"{self.row.name}; {self.transport}, {'streamed' if self.stream else 'whole'}, "
                f"{'alone' if self.alone else 'with another site'}")

    def seen(self):
        if not self.alone and not self.row.stays:
            return self.row.moved
        return self.row.alone if self.stream else self.row.whole_alone


def cases():
    all_of_them = [(row, transport, stream, alone) for row in ROWS for transport in (DIALLED, TUNNELLED)
                   for stream in (True, False) for alone in (True, False)]
    return [Case(number, *one) for number, one in enumerate(all_of_them)]


def text_of(tokens, first=1):
    return "".join((" " if i > 1 else "") + f"t{i}" for i in range(first, tokens + 1))


class Faults(unittest.TestCase):
    error = GatewayCase.error

    @classmethod
    def setUpClass(cls):
        cls.cases = cases()
        folder = tempfile.TemporaryDirectory(prefix="tributary-test-")
        cls.addClassCleanup(folder.cleanup)
        cls.world = world = World(folder.name)
        world.__enter__()
        cls.addClassCleanup(world.__exit__)
        cls.engines = world.engines("engine", 4, ("--context", "2048"))  # the models' own
        alone = {t: [c.model for c in cls.cases if c.transport == t and c.alone] for t in (DIALLED, TUNNELLED)}
        paired = {t: [c.model for c in cls.cases if c.transport == t and not c.alone] for t in (DIALLED, TUNNELLED)}
        extra = {"everywhere": (0, 1, 2, 3), "poison-true": (0, 1, 2, 3), "poison-false": (0, 1, 2, 3),
                 "across": (0, 2), "refused-pair": (0,), "quit-pair": (3,), "off-pair": (3,)}
        places = {("one", DIALLED): (0,), ("one", TUNNELLED): (2,), ("two", DIALLED): (0, 1), ("two", TUNNELLED): (2, 3)}
        cls.spare = {kind: [f"{'-'.join(kind)}-{n}" for n in range(16)] for kind in places}
        extra.update({model: places[kind] for kind, names in cls.spare.items() for model in names})
        served = [alone[DIALLED] + paired[DIALLED], paired[DIALLED],
                  alone[TUNNELLED] + paired[TUNNELLED], paired[TUNNELLED]]
        for model, places in extra.items():
            for place in places:
                served[place] = served[place] + [model]
        common = {"vendor": "nvidia", "contract": "standard"}
        sites = [{"id": f"site-{n}", "kind": "datacenter", **common,
                  "engines": [{"url": cls.engines[n], "models": served[n], "capacity": 256}]} for n in (0, 1)]
        sites += [{"id": f"site-{n}", "kind": "cafe", **common} for n in (2, 3)]
        closed = socket.socket()  # bound and not listened on: it refuses
        cls.addClassCleanup(closed.close)
        closed.bind(("127.0.0.1", 0))
        sites.append({"id": "closed", "kind": "datacenter", **common, "engines": [
            {"url": f"http://127.0.0.1:{closed.getsockname()[1]}", "models": ["refused", "refused-pair"]}]})
        sites += [{"id": site, "kind": "cafe", **common} for site in ("quit", "off")]
        models = sorted({model for some in served for model in some} | {"refused", "quit", "quit-pair"})
        limits = {"requests_per_minute": 0, "tokens_per_minute": 0, "in_flight": 0}
        world.serve(world.config(sites, models=models, tenants=[world.tenant(limits=limits)],
                                 gateway={"deadlines": DEADLINES, "journal": {"sync": "5ms"}}))
        for n in (2, 3):
            world.agent(f"site-{n}", cls.engines[n], models=served[n], capacity=256)
        cls.quits = world.engines("quitter", 1)
        world.agent("quit", cls.quits[0], models=["quit", "quit-pair"])
        cls.off = world.agent("off", cls.engines[2], models=["off-pair"])
        world.wait_offers(["quit", "off"] + [f"site-{n}" for n in range(4)])

    def model(self, kind, transport):
        """One that nobody has asked for yet, served by "one" site or by "two"."""
        return self.spare[kind, transport].pop()

    def ask_all(self, kind, scripts, streams=(True,)):
        """Each script on both transports, all at once: [(script, transport, stream, answer)]."""
        asked = [(script, transport, stream) for script in scripts for transport in (DIALLED, TUNNELLED) for stream in streams]
        models = [self.model(kind, transport) for _, transport, _ in asked]
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = pool.map(lambda model, one: self.ask(model, "#script " + json.dumps(one[0]), one[2]), models, asked)
            return [(*one, answer) for one, answer in zip(asked, answers)]

    def ask(self, model, prompt, stream, **fields):
        if stream:
            fields["stream_options"] = {"include_usage": True}
        began = time.monotonic()
        answer = self.world.customer.chat(prompt, model=model, stream=stream, max_tokens=64, **fields)
        answer.took_s = time.monotonic() - began
        return answer

    def life(self, answer):
        def ended():
            found = self.world.admin.call("GET", f"/admin/v1/requests/{answer.request_id}")
            return found.json() if found.status == 200 and found.json().get("state") else None
        return wait_until(ended, f"the end of {answer.request_id}", 15, 0.05)

    def upstream(self, model):
        log = call(self.engines[0], "GET", f"/fake/log?model={model}").body
        return [json.loads(line) for line in log.splitlines() if line]

    # ---- what the customer sees

    def whole(self, answer, tokens, stream=True):
        self.assertEqual(200, answer.status, answer.body[:300])
        if not stream:
            body = answer.json()
            self.assertEqual(text_of(tokens), body["choices"][0]["message"]["content"])
            self.assertTrue(body["choices"][0]["finish_reason"])
            return body["usage"]
        self.assertIsInstance(answer, Stream)
        self.assertEqual(text_of(tokens), answer.text())
        self.assertTrue(answer.done)
        self.one_answer(answer)
        self.assertEqual(1, len([f for f in finishes(answer) if f]))
        return answer.usage()

    def broken(self, answer, tokens):
        self.assertEqual(200, answer.status, answer.body[:300])
        self.assertEqual(text_of(tokens), answer.text())
        self.assertFalse(answer.done, "a broken stream ends with [DONE]")
        self.assertEqual("stream_broken", answer.events[-1]["error"]["code"])
        self.assertEqual([], [f for f in finishes(answer) if f])
        self.assertIsNone(answer.usage())
        self.one_answer(answer)

    def one_answer(self, answer):
        chunks = [e for e in answer.events if "error" not in e]
        self.assertEqual(1, len({e["id"] for e in chunks}))
        self.assertEqual(1, len({e["created"] for e in chunks}))
        self.assertEqual(1, len({e["model"] for e in chunks}))
        self.assertEqual(1, sum("role" in c["delta"] for e in chunks for c in e["choices"]))

    # ---- what is on record

    def billed(self, life, outcome, tokens):
        self.assertEqual(outcome, life["outcome"])
        self.assertEqual(tokens, life["tokens"]["output"])
        self.assertEqual(tokens, sum(a["delivered"] for a in life["attempts"]), "the parts are not the whole")
        if tokens == 0:
            self.assertEqual("voided", life["state"])
            self.assertEqual("0", life["charge"])
        else:
            self.assertEqual("billed", life["state"])

    def blamed(self, life, *wanted):
        self.assertEqual(list(wanted), [(a["fault"], a["side"]) for a in life["attempts"]])

    # ---- the table

    def test_every_fault(self):
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            answers = list(pool.map(lambda c: self.ask(c.model, c.prompt, c.stream), self.cases))
            lives = list(pool.map(self.life, answers))
        for case, answer, life in zip(self.cases, answers, lives):
            with self.subTest(str(case)):
                self.look(case, answer, life)

    def look(self, case, answer, life):
        row, seen, upstream = case.row, case.seen(), self.upstream(case.model)
        self.assertLess(answer.took_s, SLOW_S)
        blame = row.blames[case.transport, case.stream]
        moved = row.hits(case.stream) and not case.alone and not row.stays
        repeated = row.may_be_stale and len(upstream) == len(life["attempts"]) + 1
        if moved and repeated:
            moved, blame = False, NOBODY
        self.blamed(life, *([blame, NOBODY] if moved else [blame]))
        # Where it broke: what was delivered before, and what the fault did not touch.
        before = TOKENS if row.script.get("fault") in ("no_finish", "no_end") else AT
        if seen == WHOLE:
            usage = self.whole(answer, row.tokens[case.stream], case.stream)
            self.billed(life, "completed", row.tokens[case.stream])
            told = life["tokens"]
            self.assertEqual((told["input"] + told["cached_input"], told["output"]),
                             (usage["prompt_tokens"], usage["completion_tokens"]))
            if not moved:
                self.assertEqual(row.source or "claimed", life["source"])
            if moved and case.stream and row.alone == BROKEN:
                self.assertEqual([before, TOKENS - before], [a["delivered"] for a in life["attempts"]])
                self.assertIn(b"\n: the answer goes on\n", answer.body)
            elif moved:
                self.assertEqual([0, TOKENS], [a["delivered"] for a in life["attempts"]])
        elif seen == BROKEN:
            self.broken(answer, before)
            self.billed(life, "partial", before)
            self.assertEqual(0, life["tokens"]["input"])
        else:
            self.error(answer, seen["status"], seen["code"])
            after = seen["retry_after"]
            self.assertEqual(None if after is None else str(after), answer.headers.get("retry-after"))
            self.billed(life, "refused" if seen["status"] == 400 else "failed", 0)
        # And nobody was asked whom no record names; who goes on does so from what was delivered.
        self.assertEqual(len(life["attempts"]) + repeated, len(upstream))
        self.assertFalse(any(one["foreign"] for one in upstream))


    # ---- faults that need a hand of their own

    def test_refused_connection(self):
        """At once elsewhere; nobody left: 503."""
        wanted = {"refused": ("connect_refused", NETWORK), "quit": ("connect_refused", "site")}
        self.quit()
        for site, blame in wanted.items():
            for stream in (True, False):
                with self.subTest(site=site, stream=stream, alone=True):
                    answer = self.ask(site, "hello", stream)
                    self.assertIn("retry-after", answer.headers)
                    self.error(answer, 503, "no_capacity")
                    self.assertLess(answer.took_s, 1.0)
                    life = self.life(answer)
                    self.billed(life, "failed", 0)
                    # It rests then, and an agent takes its offers back: the second is told without a try.
                    self.assertIn([(a["fault"], a["side"]) for a in life["attempts"]], ([blame], []))

    def test_refused_connection_beside_another(self):
        """Whichever of the two is drawn: the answer is whole."""
        self.quit()
        for site in ("refused", "quit"):
            for stream in (True, False) * 3:
                with self.subTest(site=site, stream=stream):
                    answer = self.ask(f"{site}-pair", f'#script {{"tokens":{TOKENS}}}', stream)
                    self.whole(answer, TOKENS, stream)
                    self.billed(self.life(answer), "completed", TOKENS)

    def quit(self):
        """The engine behind one agent ends, while its offers stand."""
        for child in self.world.children.all:
            if child.name == "quitter":
                child.stop()

    def test_prefill_refused(self):
        """The site that should go on refuses to: the customer hears of the break, not of that refusal."""
        script = {"tokens": TOKENS, "interval_ms": 25, "fault": "cut", "at": AT, "continued": "prefill_refused"}
        for _, transport, _, answer in self.ask_all("two", [script]):
            with self.subTest(transport):
                self.broken(answer, AT)
                self.assertNotIn(b"must not be the assistant", answer.body)
                life = self.life(answer)
                self.billed(life, "partial", AT)
                self.blamed(life, ("cut", NETWORK if transport == DIALLED else ENGINE), ("status_client", "client"))

    def test_flapping(self):
        """Every second request to them fails: each answer is whole and billed once."""
        for transport in (DIALLED, TUNNELLED):
            model, script = self.model("two", transport), json.dumps({"tokens": TOKENS, "fault": "flap", "status": 500})
            for stream in (True, False) * 2:
                with self.subTest(transport, stream=stream):
                    answer = self.ask(model, "#script " + script, stream)
                    self.whole(answer, TOKENS, stream)
                    self.billed(self.life(answer), "completed", TOKENS)
            failed = [one for one in self.upstream(model) if one["status"] == 500]
            self.assertGreaterEqual(len(failed), 2)

    def test_longer_than_the_deadline_of_its_beginning(self):
        """That deadline is over once the answer has begun, on either end of a tunnel."""
        for _, transport, _, answer in self.ask_all("one", [{"tokens": TOKENS, "interval_ms": FIRST_MS // 8}]):
            with self.subTest(transport):
                self.assertGreater(answer.took_s, FIRST_MS / 1000)
                self.whole(answer, TOKENS)
                self.blamed(self.life(answer), NOBODY)

    def test_a_completion_is_gone_on_with(self):
        """The older door: a prompt that grows by what was said."""
        prompt = "#script " + json.dumps({"tokens": TOKENS, "interval_ms": 25, "fault": "cut", "at": AT, "times": 1}) + "\n"
        for transport in (DIALLED, TUNNELLED):
            with self.subTest(transport):
                answer = self.world.customer.call("POST", "/v1/completions", {
                    "model": self.model("two", transport), "prompt": prompt, "stream": True, "max_tokens": 64})
                self.assertEqual(text_of(TOKENS), "".join(c["text"] for e in answer.events for c in e["choices"]))
                self.assertTrue(answer.done)
                self.billed(self.life(answer), "completed", TOKENS)

    def test_switched_off_in_the_middle_of_a_sentence(self):
        """The agent of a café is killed while it answers: the other café goes on."""
        script, count = "#script " + json.dumps({"tokens": TOKENS, "interval_ms": 60}), 6
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            asked = [pool.submit(self.ask, "off-pair", script, True) for _ in range(count)]
            wait_until(lambda: len(self.upstream("off-pair")) == count, "streams that run", 5, 0.005)
            time.sleep(4 * 0.06)  # some tokens have left by then, and some have not
            self.off.signal(signal.SIGKILL)
            answers = [one.result() for one in asked]
        moved = 0
        for answer in answers:
            self.whole(answer, TOKENS)
            life = self.life(answer)
            self.billed(life, "completed", TOKENS)
            if len(life["attempts"]) > 1:
                moved += 1
                self.assertEqual(["off", "site-3"], [a["site"] for a in life["attempts"]])
                self.blamed(life, ("tunnel_lost", NETWORK), NOBODY)
                self.assertTrue(all(a["delivered"] for a in life["attempts"]))
        self.assertGreater(moved, 0)

    def test_what_was_wasted_stands_in_the_books(self):
        """A stream that went on elsewhere: what both sites produced is what was consumed, and a prompt read twice."""
        script = {"tokens": TOKENS, "interval_ms": 25, "fault": "cut", "at": AT, "times": 1}
        for transport in (DIALLED, TUNNELLED):
            with self.subTest(transport):
                model = self.model("two", transport)
                answer = self.ask(model, "#script " + json.dumps(script), True)
                self.whole(answer, TOKENS)
                life = self.life(answer)
                books = self.world.admin.call("GET", "/admin/v1/ledger/trial-balance").json()
                self.assertEqual({0}, set(books["quantity_sum"].values()))
                ours = [row for row in books["quantities"] if row["model"] == model]

                def total(account, unit):
                    return sum(row[unit] for row in ours if row["account"].startswith("Q900/" + account))
                self.assertEqual((2, TOKENS), (total("consumed", "attempts"), total("consumed", "output")))
                self.assertEqual(life["tokens"]["input"], total("consumed", "input"))
                self.assertEqual((-2, -TOKENS), (total("produced", "attempts"), total("produced", "output")))
                again = total("waste/second_prefill", "input") + total("waste/second_prefill", "cached_input")
                self.assertGreater(again, life["tokens"]["input"])  # with the text that was sent along
                self.assertEqual(-total("produced", "input") - total("produced", "cached_input"), life["tokens"]["input"] + again)

    def test_without_a_limit(self):
        """No longest answer was asked for: an engine that refuses what could pass its window is not asked for one."""
        script = {"tokens": TOKENS, "interval_ms": 25, "fault": "cut", "at": AT, "times": 1}
        for transport in (DIALLED, TUNNELLED):
            with self.subTest(transport):
                answer = self.world.customer.chat("#script " + json.dumps(script), model=self.model("two", transport),
                                                  stream=True, stream_options={"include_usage": True})
                self.whole(answer, TOKENS)

    def test_from_one_transport_to_the_other(self):
        """A site that is dialled and one that dials in go on for each other."""
        for number in range(4):
            script = {"tokens": TOKENS, "interval_ms": 10, "fault": "cut_reset", "at": AT, "times": 1, "key": f"across {number}"}
            answer = self.ask("across", "#script " + json.dumps(script), True)
            self.whole(answer, TOKENS)
            life = self.life(answer)
            self.assertEqual([AT, TOKENS - AT], [a["delivered"] for a in life["attempts"]])
            self.assertEqual({"site-0", "site-2"}, {a["site"] for a in life["attempts"]})

    # ---- what others do, and is not done here

    def test_a_truncated_stream_is_never_dressed_up(self):
        """Others end it with finish_reason "stop" and [DONE]."""
        faults = ("cut", "cut_reset", "cut_inside", "stall", "bad_chunk", "no_end")
        scripts = [{"tokens": TOKENS, "interval_ms": 25, "fault": fault, "at": AT} for fault in faults]
        for script, transport, _, answer in self.ask_all("one", scripts):
            with self.subTest(script["fault"], transport=transport):
                self.assertNotIn(b"[DONE]", answer.body)
                self.assertNotIn(b'"finish_reason":"', answer.body)
                self.assertIn(b'"code":"stream_broken"', answer.body)

    def test_an_unreadable_event_never_costs_its_token(self):
        """Others relay it and end the stream clean, one token short."""
        rubbish = {"bad_json": b'"hal', "bad_utf8": b"\xc3("}
        scripts = [{"tokens": TOKENS, "interval_ms": 25, "fault": fault, "at": AT, "times": 1} for fault in rubbish]
        for script, transport, _, answer in self.ask_all("two", scripts):
            with self.subTest(script["fault"], transport=transport):
                self.assertNotIn(rubbish[script["fault"]], answer.body)
                self.whole(answer, TOKENS)

    def test_a_bad_chunk_size_never_hangs_the_customer(self):
        """Others wait beyond every deadline."""
        script = {"tokens": TOKENS, "interval_ms": 25, "fault": "bad_chunk", "at": AT}
        for _, transport, stream, answer in self.ask_all("one", [script], (True, False)):
            with self.subTest(transport, stream=stream):
                self.assertLess(answer.took_s, TOKENS * 0.025 + GAP_MS / 1000)

    def test_when_everybody_says_429(self):
        """Others try eighteen times, for 22 seconds."""
        for stream in (True, False):
            with self.subTest(stream=stream):
                before = len(self.upstream("everywhere"))
                script = {"fault": "rate_limit", "retry_after": 1}
                answer = self.ask("everywhere", "#script " + json.dumps(script), stream)
                self.error(answer, 503, "no_capacity")
                self.assertEqual("1", answer.headers["retry-after"])
                self.assertLess(answer.took_s, 1.0)
                self.assertLessEqual(len(self.upstream("everywhere")) - before, 3)
                self.billed(self.life(answer), "failed", 0)

    def test_two_that_break_are_enough(self):
        """The request is suspect itself then, and is sent to no third site."""
        for stream in (True, False):
            with self.subTest(stream=stream):
                answer = self.ask(f"poison-{stream}".lower(), '#script {"fault":"status","status":500}', stream)
                self.error(answer, 502, "upstream_error")
                life = self.life(answer)
                self.blamed(life, ("status_server", ENGINE), ("status_server", ENGINE))
                self.billed(life, "failed", 0)

    # ---- a customer who leaves

    def test_who_leaves_frees_the_engine(self):
        """The next token is far off, so only the customer's going can tell; no deadline has passed by then."""
        for transport in (DIALLED, TUNNELLED):
            with self.subTest(transport):
                model = self.model("one", transport)
                took_ms = sorted(self.leave(model, transport) for _ in range(50))
                print(f"{transport}: engine free after a cancel, ms: p50 {took_ms[24]:.1f}, p99 {took_ms[49]:.1f}")
                self.assertLess(took_ms[-1], GAP_MS)
                ends = [one["outcome"] for one in self.upstream(model)]
                self.assertEqual(["cancelled"] * 50, ends)

    def leave(self, model, transport):
        """Milliseconds from the customer's close until the engine has seen it."""
        script = json.dumps({"tokens": 1000, "first_ms": 0, "interval_ms": 10_000})
        body = json.dumps({"model": model, "stream": True, "max_tokens": 2000,
                           "messages": [{"role": "user", "content": "#script " + script}]}).encode()
        host, port = self.world.url.rsplit("/", 1)[1].rsplit(":", 1)
        at = self.engines[0 if transport == DIALLED else 2].rsplit("/", 1)[1]
        watch = http.client.HTTPConnection(at, timeout=10)

        def running():
            watch.request("GET", "/fake/state")
            return json.loads(watch.getresponse().read())["running"]

        with socket.create_connection((host, int(port)), 10) as customer:
            customer.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " +
                             self.world.key.encode() + b"\r\nContent-Type: application/json\r\n" +
                             b"Content-Length: %d\r\n\r\n" % len(body) + body)
            got = b""
            while b'"t1"' not in got:
                got += customer.recv(65536)
            self.assertEqual(1, running())
        left = time.monotonic()
        try:
            wait_until(lambda: running() == 0, "free engine", 5, 0.0005)
        finally:
            watch.close()
        return (time.monotonic() - left) * 1000


def finishes(answer):
    return [c.get("finish_reason") for e in answer.events for c in e.get("choices") or []]


if __name__ == "__main__":
    unittest.main()
