"""The documents against the project: links lead somewhere, what they name is there, and what an operator
meets (metrics, log events, admin doors) is named in them."""
import pathlib
import re
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"(?s)^```.*?^```|^(?: {4}[^\n]*\n)+", re.MULTILINE)
METRIC = re.compile(r"\btributary_[a-z0-9_]+")


def tracked():
    """Files of the project; a walk where git does not answer."""
    try:
        out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True,
                             check=True, text=True).stdout.split("\n")
        return [p for p in out if p and (ROOT / p).is_file()]
    except (OSError, subprocess.CalledProcessError):
        return [str(p.relative_to(ROOT)) for p in ROOT.rglob("*")
                if p.is_file() and p.relative_to(ROOT).parts[0] not in ("build", ".git")]


FILES = tracked()
PAGES = {p: (ROOT / p).read_text("utf-8") for p in FILES if p.endswith(".md")}
SOURCES = {p: (ROOT / p).read_text("utf-8") for p in FILES
           if re.match(r"(gateway|backends)/.*\.(h|cpp)$", p)}


def anchors(text):
    """The ids that a heading gets, as the usual renderers make them."""
    found = set()
    for heading in re.findall(r"^#{1,6} +(.+)$", CODE.sub("", text), re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower())
        found.add(plain.replace(" ", "-"))
    return found


class Documents(unittest.TestCase):
    def test_links(self):
        checked = 0
        for page, text in PAGES.items():
            for target in LINK.findall(CODE.sub("", text)):
                if re.match(r"[a-z]+:", target):
                    continue
                path, _, anchor = target.partition("#")
                at = (ROOT / page).parent / path if path else ROOT / page
                with self.subTest(page=page, link=target):
                    self.assertTrue(at.exists(), "the link leads nowhere")
                    if anchor:
                        self.assertIn(anchor, anchors(at.read_text("utf-8")), "no such heading there")
                checked += 1
        self.assertGreater(checked, 40)

    def test_named_sources(self):
        """`exchange/relay.cpp` in a document is the end of some file's path."""
        for page, text in PAGES.items():
            for name in re.findall(r"`([\w./-]+\.(?:cpp|h|py|c|cu|yaml|txt))`", text):
                if name.rsplit("/", 1)[-1] in ("gateway.yaml", "agent.yaml", "a.yaml", "COPY.yaml"):
                    continue
                with self.subTest(page=page, file=name):
                    self.assertTrue(any(p == name or p.endswith("/" + name) for p in FILES))

    def test_metrics(self):
        made = {m for text in SOURCES.values() for m in re.findall(r'"(tributary_[a-z0-9_]+)"', text)}
        self.assertGreater(len(made), 10)
        operations = set(METRIC.findall(PAGES["docs/operations.md"]))
        self.assertEqual(set(), made - operations, "not explained in docs/operations.md")
        for page, text in PAGES.items():
            # The histograms' own endings and names that are no metrics.
            named = {re.sub(r"_(bucket|sum|count)$", "", m) for m in METRIC.findall(text)} - {"tributary_device"}
            with self.subTest(page=page):
                self.assertEqual(set(), named - made, "no such metric")

    def test_log_events(self):
        operations = PAGES["docs/operations.md"]
        events = {e for text in SOURCES.values()
                  for e in re.findall(r'telemetry::log\(\s*telemetry::Level::\w+,\s*"([^"]+)"', text)}
        self.assertGreater(len(events), 10)
        for event in sorted(events):
            with self.subTest(event=event):
                self.assertIn(f"`{event}`", operations)

    def test_admin_doors(self):
        doors = PAGES["docs/http-api.md"]
        named = set(re.findall(r'is\(\d, "([a-z-]+)"', SOURCES["gateway/api/admin.cpp"]))
        self.assertGreater(len(named), 8)
        for name in sorted(named):
            with self.subTest(door=name):
                self.assertRegex(doors, rf"`(GET|POST) /{name}\b")

    def test_invariants(self):
        """Each of the ledger's invariants is in the name of a test, in the files that the page names."""
        rows = re.findall(r"^\| (\d+) \| .* \| (`.*`) \|$", PAGES["docs/invariants.md"], re.MULTILINE)
        self.assertEqual([str(n) for n in range(1, 34)], [number for number, _ in rows])
        for number, files in rows:
            for name in re.findall(r"`([^`]+)`", files):
                text = (ROOT / "tests" / name).read_text("utf-8")
                text = "\n".join(case or function for case, function in re.findall(r'TEST_CASE\(\s*"([^"]+)"|def (test_\w+)', text))
                self.assertRegex(text, rf"(?i)invariants?[ _](\d+(, | and ))*{number}\b|invariant_{number}_", f"{name}: invariant {number}")

    def test_readme_is_short(self):
        self.assertLess(len(PAGES["README.md"].splitlines()), 200)


if __name__ == "__main__":
    unittest.main()
