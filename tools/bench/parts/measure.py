"""The scenarios and their rounds. Every figure comes from tributary-load, which also reads the CPU time of
the process it watches at both ends of its window."""
import json
import pathlib
import statistics
import subprocess
import sys
import threading
import time

from parts.variants import KEY, memory_kib
from tools.harness.processes import Failed

# Memory first: a process that has been busy keeps what it once took.
SCENARIOS = ("idle", "saturation", "rate", "paced", "flood")


def load_argv(chosen, field, name, kind, *words):
    return [str(pathlib.Path(chosen.build) / "tributary-load"), kind,
            "--url", f"http://127.0.0.1:{field.ports[name]}", "--key", KEY, "--model", "fake-model",
            "--watch", ",".join(str(pid) for pid in field.pids[name]), *[str(word) for word in words]]


def load(chosen, field, name, kind, *words, at_mark=None):
    """`at_mark` is called with "warm" halfway through the warm-up, with "open" and "closed" at both ends of the window.
    What it does at "open" takes its time from what is measured; at "warm" it does not."""
    argv = load_argv(chosen, field, name, kind, *words) + (["--mark"] if at_mark else [])
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    late = threading.Timer(120, child.kill)
    late.start()
    try:
        last = ""
        for last in child.stdout:
            if at_mark and last.startswith("mark "):
                at_mark(last.split()[1])
        errors = child.stderr.read()
    finally:
        late.cancel()
        child.kill()
        child.wait()
    if child.returncode != 0:
        raise Failed(f"load on {name}: {errors.strip()[:300]}")
    seen = json.loads(last)
    if seen["errors"] > 0:
        print(f"  {name}: {seen['errors']} errors, the first: {seen['first_error']}", file=sys.stderr)
    return seen


def cost(seen, count):
    """CPU of the watched process, user and kernel, in microseconds a piece."""
    count = max(count, 1)
    watched = seen["watched"]
    return {"cpu": (watched["user_s"] + watched["system_s"]) * 1e6 / count,
            "kernel": watched["system_s"] * 1e6 / count, "user": watched["user_s"] * 1e6 / count}


def saturation(chosen, field, name):
    seen = load(chosen, field, name, "closed", "--connections", chosen.connections, "--warm", 0.3,
                "--seconds", chosen.seconds)
    return {**cost(seen, seen["requests"]), "requests_per_s": seen["requests_per_s"],
            "p50": seen["latency_us"]["p50"], "p99": seen["latency_us"]["p99"], "errors": seen["errors"]}


def rate(chosen, field, name):
    seen = load(chosen, field, name, "open", "--connections", 256, "--rate", chosen.rate, "--warm", 0.5,
                "--seconds", chosen.seconds)
    return {**cost(seen, seen["requests"]), "requests_per_s": seen["requests_per_s"],
            **{key: seen["latency_us"][key] for key in ("p50", "p90", "p99", "p999")},
            "late": seen["late"], "errors": seen["errors"]}


def paced(chosen, field, name):
    tokens = max(int(2500 / chosen.interval_ms), 2)  # a stream lives 2.5 s
    seen = load(chosen, field, name, "streams", "--connections", chosen.streams, "--tokens", tokens,
                "--interval-ms", chosen.interval_ms, "--ramp", 1, "--warm", 0.5, "--seconds", chosen.seconds)
    return {**cost(seen, seen["events"]), "events_per_s": seen["events"] / seen["window_s"],
            "reads_per_event": seen["reads"] / max(seen["events"], 1),
            "gap_p50": seen["gap_us"]["p50"], "gap_p99": seen["gap_us"]["p99"], "gap_max": seen["gap_us"]["max"],
            "first_p50": seen["first_us"]["p50"], "first_p99": seen["first_us"]["p99"],
            "errors": seen["errors"] + seen["broken_order"]}


def flood(chosen, field, name):
    seen = load(chosen, field, name, "streams", "--connections", 16, "--tokens", 200, "--interval-ms", 0,
                "--warm", 0.3, "--seconds", chosen.seconds)
    return {**cost(seen, seen["events"]), "tokens_per_s": seen["tokens_per_s"],
            "errors": seen["errors"] + seen["broken_order"]}


def idle(chosen, field, name):
    """Memory a stream that has delivered a token and waits for the next."""
    pids = field.pids[name]
    load(chosen, field, name, "closed", "--connections", 4, "--warm", 0, "--seconds", 0.3)
    pss, rss = memory_kib(pids)
    opened = []

    def at_mark(end):
        if end == "open":
            time.sleep(0.5)
            opened.extend(memory_kib(pids))

    seen = load(chosen, field, name, "streams", "--connections", chosen.idle, "--tokens", 2, "--first-ms", 0,
                "--interval-ms", 600000, "--ramp", 1, "--warm", 0.5, "--seconds", 1.5, at_mark=at_mark)
    pss_open, rss_open = opened
    time.sleep(0.5)  # the streams' ends are taken in before the next run
    return {"pss_kib": (pss_open - pss) / chosen.idle, "rss_kib": (rss_open - rss) / chosen.idle,
            "errors": seen["errors"]}


def all_rounds(chosen, field):
    """{scenario: {variant: [figures a round]}}. Within a round the variants take turns."""
    functions = {"saturation": saturation, "rate": rate, "paced": paced, "flood": flood, "idle": idle}
    names = field.running()
    results = {scenario: {name: [] for name in names} for scenario in chosen.only}
    for scenario in chosen.only:
        # Once: a second time would show none of what the process keeps for later.
        for number in range(1 if scenario == "idle" else chosen.rounds):
            turn = names[number % len(names):] + names[:number % len(names)]
            for name in turn:
                progress(f"{scenario}, round {number + 1} of {chosen.rounds}: {name}")
                if scenario == "rate" and chosen.rate <= 0:
                    chosen.rate = third_of_nginx(results, chosen, field)
                if scenario == "idle" and name == "direct":
                    continue
                results[scenario][name].append(functions[scenario](chosen, field, name))
    progress("")
    return {scenario: {name: rounds for name, rounds in by_name.items() if rounds}
            for scenario, by_name in results.items()}


def third_of_nginx(results, chosen, field):
    base = "nginx" if "nginx" in field.running() else field.running()[-1]
    rounds = results.get("saturation", {}).get(base) or [saturation(chosen, field, base)]
    return round(statistics.median(one["requests_per_s"] for one in rounds) / 3, -2)


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
