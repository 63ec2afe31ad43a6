"""Prints the figures: medians over the rounds, and the median of the rounds' ratios to nginx."""
import os
import platform
import statistics

from parts.variants import version_of

# scenario: (title, [(key, heading, format)], keys that get a ratio)
TABLES = {
    "saturation": ("Requests at saturation, {connections} connections (not streamed)",
                   [("requests_per_s", "requests/s", ".0f"), ("cpu", "CPU µs/request", ".2f"),
                    ("user", "user", ".2f"), ("kernel", "kernel", ".2f"), ("p50", "p50 µs", ".0f"),
                    ("p99", "p99 µs", ".0f"), ("errors", "errors", ".0f")], ("requests_per_s", "cpu")),
    "rate": ("Requests at a fixed {rate:.0f}/s (not streamed; latency from the scheduled time)",
             [("requests_per_s", "requests/s", ".0f"), ("cpu", "CPU µs/request", ".2f"), ("user", "user", ".2f"),
              ("kernel", "kernel", ".2f"), ("p50", "p50 µs", ".0f"), ("p90", "p90 µs", ".0f"),
              ("p99", "p99 µs", ".0f"), ("p999", "p99.9 µs", ".0f"), ("errors", "errors", ".0f")], ("cpu",)),
    "paced": ("Paced events: {streams} streams, an event each {interval_ms} ms",
              [("events_per_s", "events/s", ".0f"), ("cpu", "CPU µs/event", ".2f"), ("user", "user", ".2f"),
               ("kernel", "kernel", ".2f"), ("reads_per_event", "reads/event", ".2f"), ("gap_p50", "gap p50 µs", ".0f"),
               ("gap_p99", "gap p99 µs", ".0f"), ("first_p50", "first p50 µs", ".0f"),
               ("first_p99", "first p99 µs", ".0f"), ("errors", "errors", ".0f")], ("cpu",)),
    "flood": ("Tokens relayed at saturation: 16 streams, 200 tokens, no pause",
              [("tokens_per_s", "tokens/s", ".0f"), ("cpu", "CPU µs/event", ".3f"), ("user", "user", ".3f"),
               ("kernel", "kernel", ".3f"), ("errors", "errors", ".0f")], ("tokens_per_s", "cpu")),
    "idle": ("Memory of an idle stream ({idle} open, one token delivered)",
             [("pss_kib", "PSS KiB", ".1f"), ("rss_kib", "RSS KiB", ".1f"), ("errors", "errors", ".0f")],
             ("pss_kib",)),
}


def introduce(chosen, field):
    model = "unknown"
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    print(f"{os.cpu_count()} x {model}, Linux {platform.release()}, load average before "
          f"{os.getloadavg()[0]:.2f} (figures are worth little when it is not near 0)")
    print(f"{version_of(['nginx', '-v'])}; {version_of(['haproxy', '-v']).split(' - ')[0]}; "
          f"{chosen.workers} worker(s) each; {chosen.rounds} round(s) of {chosen.seconds:g} s, variants taking turns")
    for note in field.notes:
        print(f"note: {note}")


def median(rounds, key):
    return statistics.median(one[key] for one in rounds)


def ratio(rounds, base, key):
    pairs = [(one[key], other[key]) for one, other in zip(rounds, base) if other[key]]
    return statistics.median(a / b for a, b in pairs) if pairs else None


def print_tables(chosen, field, results):
    for scenario, by_name in results.items():
        title, columns, compared = TABLES[scenario]
        print(f"\n{title.format(**vars(chosen))}")
        headings = [heading for _, heading, _ in columns]
        headings += [f"{heading} ÷ nginx" for key, heading, _ in columns if key in compared]
        if scenario == "rate":
            headings += ["added p50 µs", "added p99 µs"]
        rows = [["", *headings]]
        for name, rounds in by_name.items():
            row = [name] + [format(median(rounds, key), style) for key, _, style in columns]
            for key, _, _ in columns:
                if key not in compared:
                    continue
                value = ratio(rounds, by_name.get("nginx", []), key)
                row.append("" if value is None or name == "direct" else f"{value:.2f}")
            if scenario == "rate" and "direct" in by_name:
                row += added(rounds, by_name["direct"]) if name != "direct" else ["", ""]
            rows.append(row)
        widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(len(rows[0]))]
        for row in rows:
            print("  ".join(cell.rjust(width) if i else cell.ljust(width)
                            for i, (cell, width) in enumerate(zip(row, widths))))
    print("\n\"direct\" shows the engine's own CPU: the load without anything between.")


def added(rounds, direct):
    return [f"{statistics.median(one[key] - other[key] for one, other in zip(rounds, direct)):.0f}"
            for key in ("p50", "p99")]
