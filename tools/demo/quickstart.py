"""The running part of tools/quickstart: starts everything, asks, shows the split and checks it."""
import argparse
import concurrent.futures
import csv
import datetime
import fcntl
import hashlib
import json
import pathlib
import shutil
import signal
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import demo.arithmetic as arithmetic
from demo.arithmetic import cny, pico
from harness.processes import Failed
from harness.world import PRICE, ROOT, SHARES, World

MODEL = "smollm2-135m"
VENDORS = {"dc-one": "nvidia", "cafe-one": "intel"}  # whose chips; here only said, in the configuration
QUESTIONS = ["Name three rivers.", "What is a tributary?", "Write one sentence about rain.",
             "Which animals live in a river?", "Why is the sea salty?", "What flows into a lake?"]
KINDS = [  # how a request is made; the demonstration takes them in turn
    ("whole", {}),
    ("stream", {"stream": True}),
    ("stream+usage", {"stream": True, "stream_options": {"include_usage": True}}),
]


class Checks:
    """What was checked, each a line. A failed one does not stop the others."""

    def __init__(self):
        self.failed = 0

    def that(self, good, text, why=""):
        print(f"  {'ok    ' if good else 'FAILED'}  {text}" + (f": {why}" if why and not good else ""))
        self.failed += not good
        return good

    def equal(self, left, right, text):
        return self.that(left == right, text, f"{left} is not {right}")


def say(text):
    print(f"== {text}", flush=True)


def table(rows, right=()):
    """Columns as wide as their widest cell; `right`: indices of right-aligned ones."""
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    for n, row in enumerate(rows):
        cells = [str(c).rjust(w) if i in right else str(c).ljust(w) for i, (c, w) in enumerate(zip(row, widths))]
        print("  " + "  ".join(cells).rstrip())
        if n == 0:
            print("  " + "  ".join("-" * w for w in widths))


def free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def start(world, engine, once):
    """Engines, gateway, one dialled site, one site that dials in."""
    say("starting two engines" + (" (SCRIPTED: no model computes here)" if engine == "scripted" else
                                  " (llama.cpp, SmolLM2-135M-Instruct)"))
    argv = None if engine == "scripted" else [sys.executable, ROOT / "tools" / "engine.py"]
    urls = {site: world.engine(f"engine-{site}", argv) for site in VENDORS}

    config = world.config(
        models=[MODEL],
        sites=[
            {"id": "dc-one", "kind": "datacenter", "vendor": VENDORS["dc-one"], "contract": "standard",
             "engines": [{"url": urls["dc-one"], "models": [MODEL], "capacity": 4}]},
            {"id": "cafe-one", "kind": "cafe", "vendor": VENDORS["cafe-one"], "contract": "standard"},
        ])
    if not once:  # people expect the usual ports; a single run must never collide with anything
        config["gateway"]["listen"] = f"127.0.0.1:{8080 if free(8080) else 0}"
        config["gateway"]["sites"]["listen"] = f"127.0.0.1:{8443 if free(8443) else 0}"
    say("starting the gateway")
    world.serve(config)
    say("inviting, enrolling and approving the café's agent, which dials out")
    world.agent("cafe-one", urls["cafe-one"])


def ask(world, number):
    """One real chat request, made as number `number` is made; gives (kind, Response)."""
    kind, fields = KINDS[number % len(KINDS)]
    answer = world.customer.chat(QUESTIONS[number % len(QUESTIONS)], model=MODEL, max_tokens=24, **fields)
    if answer.status != 200:
        raise Failed(f"a chat request ({kind}) was answered {answer.status}: {answer.body[:200].decode(errors='replace')}")
    if not answer.request_id:
        raise Failed(f"a chat answer ({kind}) carries no x-request-id")
    return kind, answer


def ask_until_both_served(world, checks):
    """Rounds of parallel requests until each site served whole and streamed ones. Gives the lives."""
    say("sending chat requests, four at a time, streaming and not")
    lives, missing = [], {(site, mode) for site in VENDORS for mode in ("whole", "stream")}
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for turn in range(12):
            for kind, answer in pool.map(lambda n: ask(world, n), range(turn * 6, turn * 6 + 6)):
                life = world.rated(answer.request_id)
                life["kind"], life["answer"] = kind, answer
                lives.append(life)
                missing.discard((served_by(life), kind.split("+")[0]))
            if not missing:
                break
    checks.that(not missing, "both sites answered, streaming and not", f"nothing by {sorted(missing)}")
    return lives


def served_by(life):
    """The site whose attempt brought the answer; the demonstration has no continuations."""
    attempts = [a for a in life["attempts"] if a.get("delivered")] or life["attempts"][-1:]
    return "+".join(dict.fromkeys(a["site"] for a in attempts))


def show_requests(lives):
    rows = [("request", "how", "served by", "engine", "in", "cached", "out", "charge CNY")]
    for life in lives:
        t = life["tokens"]
        rows.append((life["id"], life["kind"], served_by(life), life["attempts"][-1].get("engine", ""),
                     t["input"], t["cached_input"], t["output"], life["charge"]))
    print("\nWho served what")
    table(rows, right=(4, 5, 6, 7))


def check_requests(lives, checks):
    """Every request by itself: what the customer saw, the counts, the price, the split."""
    seen = cut = counted = priced = divided = 0
    for life in lives:
        answer, tokens = life["answer"], {k: int(v) for k, v in life["tokens"].items()}
        if life["kind"] == "whole":
            usage, text = answer.json().get("usage"), answer.json()["choices"][0]["message"]["content"]
        else:
            usage, text = answer.usage(), answer.text()
            cut += not answer.done
        seen += bool(text)
        if life["kind"] == "stream":
            counted += usage is None and tokens["output"] > 0  # not asked for, so not told
        else:
            counted += (usage is not None and usage["prompt_tokens"] == tokens["input"] + tokens["cached_input"] and
                        usage["completion_tokens"] == tokens["output"])
        gross = pico(life["charge"])
        priced += gross == arithmetic.charge(tokens, PRICE) and gross > 0
        parts = {party: pico(part) for party, part in life["parts"].items()}
        site = served_by(life)
        divided += parts == arithmetic.split(gross, arithmetic.parties(site, VENDORS[site], SHARES), life["id"])
    n = len(lives)
    checks.equal(seen, n, f"every answer has text ({n} requests)")
    checks.equal(cut, 0, "every stream ended with [DONE]")
    checks.equal(counted, n, "the usage told to the customer is what was billed")
    checks.equal(priced, n, "every charge is tokens x price, to the pico-CNY")
    checks.equal(divided, n, "every split is the contract's, and its parts sum to the charge")


def totals(lives):
    """Sum of the charges, and of the parts by party, in pico."""
    parts = {}
    for life in lives:
        for party, part in life["parts"].items():
            parts[party] = parts.get(party, 0) + pico(part)
    return sum(pico(life["charge"]) for life in lives), dict(sorted(parts.items()))


def show_and_check_ledger(world, lives, checks):
    charged, parts = totals(lives)
    balance = world.admin.get("/admin/v1/ledger/trial-balance")
    accounts = {a["account"]: pico(a["credit"]) - pico(a["debit"]) for a in balance["accounts"]}

    print("\nTrial balance, CNY")
    table([("account", "debit", "credit")] +
          [(a["account"], a["debit"], a["credit"]) for a in balance["accounts"]] +
          [("sum", balance["sum"], "")], right=(1, 2))
    print("\nRevenue split, CNY")
    rows = [("party", "part", "of the charge")]
    rows += [(party, cny(part), f"{part * 10**6 // charged / 10**4:.4f} %") for party, part in parts.items()]
    table(rows + [("charged", cny(charged), "")], right=(1, 2))
    print()

    checks.equal(sum(accounts.values()), 0, "the trial balance sums to zero")
    checks.equal(balance["sum"], "0", "the gateway says so too")
    checks.equal(sum(parts.values()), charged, "the parties' parts sum to what was charged")

    def owed(code, party=None):
        """What stands to the credit of an account: "R300", "R300/..." or "L210/dc-one"."""
        return sum(v for name, v in accounts.items()
                   if name.split("/")[0] == code and (party is None or name == f"{code}/{party}"))

    checks.equal(owed("R300"), parts["platform"], "R300 is the platform's part")
    for site, vendor in VENDORS.items():
        checks.equal(owed("L210", site), parts[f"site:{site}"], f"L210/{site} is the site's part")
        checks.equal(owed("L220", vendor), parts[f"vendor:{vendor}"], f"L220/{vendor} is the chip vendor's part")
    checks.equal(owed("L200", "acme"), pico("100.00") - charged, "the customer's balance is what is left of 100.00")


def check_export(world, lives, checks):
    """The period's export: rows, totals and hashes, each computed again from the files."""
    charged, parts = totals(lives)
    period = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=8)).strftime("%Y-%m")
    for form in ("csv", "jsonl"):
        out = world.folder / f"export-{form}"
        world.command("export", "--period", period, "--format", form, "--out", out)
        manifest = json.loads((out / "manifest.json").read_text())
        wrong = [f["name"] for f in manifest["files"]
                 if hashlib.sha256((out / f["name"]).read_bytes()).hexdigest() != f["sha256"]]
        checks.that(not wrong, f"{form}: every file has the manifest's SHA-256", ", ".join(wrong))
        wrong = [f["name"] for f in manifest["files"]
                 if f.get("sum_debit") is not None and pico(f["sum_debit"]) != pico(f["sum_credit"])]
        checks.that(not wrong, f"{form}: debit and credit of every file agree", ", ".join(wrong))
        with open(out / f"usage_detail.{form}", encoding="utf-8", newline="") as f:
            rows = list(csv.DictReader(f)) if form == "csv" else [json.loads(line) for line in f if line.strip()]
        by_id = {row["request_id"]: row for row in rows}
        checks.equal(sorted(by_id), sorted(life["id"] for life in lives), f"{form}: one row a request")
        checks.equal(sum(pico(row["charge"]) for row in rows), charged, f"{form}: the charges sum to the ledger's")
        if form == "csv":
            for part, prefix in (("part_platform", "platform"), ("part_site", "site:"), ("part_vendor", "vendor:")):
                checks.equal(sum(pico(row[part]) for row in rows),
                             sum(v for k, v in parts.items() if k.startswith(prefix)),
                             f"csv: {part} sums to the ledger's")
        print(f"  files   {out.relative_to(ROOT)}/: " + ", ".join(sorted(f["name"] for f in manifest["files"])))
    audit = world.command("audit", "verify", check=False)
    checks.equal(audit.returncode, 0, "audit verify finds nothing that differs")


def leave_running(world):
    print(f"""
Running. The gateway:   {world.url}   (sites dial {world.sites_url})
  key of tenant acme    {world.key}
  administrator's token {world.token}
  files and logs        {world.folder.relative_to(ROOT)}/

  curl {world.url}/v1/chat/completions -H 'Authorization: Bearer {world.key}' \\
    -H 'Content-Type: application/json' -d '{{"model":"{MODEL}","messages":[{{"role":"user","content":"Hello"}}]}}'
  TRIBUTARY_URL={world.url} TRIBUTARY_ADMIN_TOKEN={world.token} {world.program.relative_to(ROOT)} request ID

Ctrl-C ends it all.""", flush=True)
    while all(child.running() for child in world.children.all):
        time.sleep(1)
    ended = next(child for child in world.children.all if not child.running())
    raise Failed(f"{ended.name} ended by itself: {ended.last_line()} (log: {ended.log})")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--engine", choices=("real", "scripted"), default="real")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))

    folder = ROOT / "build" / "quickstart"
    folder.mkdir(parents=True, exist_ok=True)
    lock = open(folder.parent / "quickstart.lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print("quickstart: another quickstart runs in this checkout; end it first", file=sys.stderr)
        return 1
    shutil.rmtree(folder)  # each run shows a new ledger
    folder.mkdir()

    checks = Checks()
    try:
        with World(folder, ROOT / "build" / "release") as world:
            start(world, args.engine, args.once)
            lives = ask_until_both_served(world, checks)
            show_requests(lives)
            print()
            check_requests(lives, checks)
            show_and_check_ledger(world, lives, checks)
            check_export(world, lives, checks)
            if args.engine == "scripted":
                print("\nNOTE: the SCRIPTED engine answered; no model computed.")
            if checks.failed == 0 and not args.once:
                leave_running(world)
            if args.once:
                code = world.gateway.stop(40)
                checks.equal(code, 0, "the gateway drained and ended with code 0")
    except KeyboardInterrupt:
        print("\nended")
        return 0
    except (Failed, ValueError, KeyError, OSError) as e:
        print(f"quickstart: FAILED: {type(e).__name__ + ': ' if not isinstance(e, Failed) else ''}{e}; "
              f"logs are in {folder.relative_to(ROOT)}/", file=sys.stderr)
        return 1
    print(f"\nquickstart: {'every check held' if not checks.failed else f'{checks.failed} checks FAILED'}")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
