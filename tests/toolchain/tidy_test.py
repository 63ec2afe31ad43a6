"""Every rule of tools/tidy has a sample that fails and one that passes."""
import sys

sys.dont_write_bytecode = True
import importlib.machinery
import importlib.util
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
loader = importlib.machinery.SourceFileLoader("tidy", str(ROOT / "tools" / "tidy"))
tidy = importlib.util.module_from_spec(importlib.util.spec_from_loader("tidy", loader))
loader.exec_module(tidy)


def findings(files, build=None):
    """The rules found in a tree of these files: {path: text} -> [(path, line, rule)]."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder).resolve()
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        return [(path, line, rule) for path, line, rule, _ in tidy.Finder(root, build).run()]


def rules(path, text):
    """The rules found in one source file that a target names."""
    name = path.rsplit("/", 1)
    cmake = {name[0] + "/CMakeLists.txt": f"trib_room(x SOURCES {name[1]})\n"} if path.endswith(".cpp") else {}
    return [rule for _, _, rule in findings({path: text, **cmake})]


class Includes(unittest.TestCase):
    def test_up_the_floors(self):
        self.assertIn("floor", rules("gateway/http/a.h", '#include "gateway/net/net.h"\n'))
        self.assertEqual([], rules("gateway/net/a.h", '#include "gateway/http/http.h"\n'))

    def test_side_door(self):
        self.assertIn("door", rules("gateway/net/a.h", '#include "gateway/http/chunk.h"\n'))
        self.assertEqual([], rules("gateway/http/a.h", '#include "gateway/http/chunk.h"\n'))
        self.assertEqual([], rules("gateway/net/a.h", '#include "gateway/base/json.h"\n'))
        self.assertEqual([], rules("gateway/fleet/a.h", '#include "gateway/net/pki.h"\n'))

    def test_tests_may_look_into_a_room(self):
        self.assertEqual([], rules("tests/unit/http/a.cpp", '#include "gateway/http/chunk.h"\n'))

    def test_relative(self):
        self.assertIn("include", rules("gateway/http/a.h", '#include "../base/base.h"\n'))

    def test_circle(self):
        found = findings({"gateway/config/a.h": '#include "gateway/http/http.h"\n', "gateway/http/http.h": "",
                          "gateway/http/b.h": '#include "gateway/config/config.h"\n', "gateway/config/config.h": ""})
        self.assertEqual(["circle"], [rule for _, _, rule in found])

    def test_circle_of_headers_in_a_room(self):
        found = findings({"gateway/fleet/fleet.h": '#include "gateway/fleet/a.h"\n',
                          "gateway/fleet/a.h": '#include "gateway/fleet/b.h"\n',
                          "gateway/fleet/b.h": '#include "gateway/fleet/fleet.h"\n'})
        self.assertEqual(["circle"], [rule for _, _, rule in found])

    def test_line_and_excuse(self):
        text = '// one\n#include "gateway/http/chunk.h"\n'
        self.assertEqual([("gateway/net/a.h", 2, "door")], findings({"gateway/net/a.h": text}))
        self.assertEqual([], rules("gateway/net/a.h", text.replace('h"\n', 'h"  // tidy: allow door (a reason)\n')))


class Unbuilt(unittest.TestCase):
    def test_no_target(self):
        self.assertEqual([("gateway/net/a.cpp", 1, "unbuilt")], findings({"gateway/net/a.cpp": ""}))

    def test_named_from_another_folder(self):
        files = {"gateway/net/a.cpp": "", "tests/CMakeLists.txt": "x(${CMAKE_SOURCE_DIR}/gateway/net/a.cpp)"}
        self.assertEqual([], findings(files))

    def test_waiting(self):
        files = {"gateway/net/a.cpp": "", "tools/tidy.waits": "gateway/net/a.cpp comes with its room\n"}
        self.assertEqual([], findings(files))
        self.assertEqual([], findings({**files, "tools/tidy.waits": "gateway/net/ comes with its doors\n"}))
        self.assertIn("waits", [rule for _, _, rule in findings({"b/a.cpp": "", "tools/tidy.waits": "b/a.cpp\n"})])


class Words(unittest.TestCase):
    SAMPLES = [  # rule, path, refused, accepted
        ("name", "gateway/net/a.h", "class PoolManager {};", "class Pool {};  // not a class PoolManager"),
        ("random", "gateway/net/a.h", "int x = std::rand();", "int operand(int);"),
        ("clock", "gateway/net/a.h", "auto t = std::chrono::steady_clock::now();", "auto t = clock.now_ms();"),
        ("sleep", "tests/unit/net/a.h", "std::this_thread::sleep_for(x);", "clock.advance(x);"),
        ("float", "gateway/money/a.h", "double x;", "int doubled;  // no double here"),
        ("print", "gateway/net/a.h", 'printf("x");', 'std::snprintf(b, n, "x");'),
        ("format", "gateway/net/a.h", 'std::format("x");', "reformat(x);"),
        ("todo", "gateway/net/a.h", "// TO" + "DO later", "// done"),
        ("pragma", "gateway/net/a.h", "using namespace std;", "using std::string;"),
        ("path", "docs/a.md", "see /ho" + "me/me/file", "see /usr/lib/file"),
        ("conflict", "docs/a.md", "<" * 7 + " HEAD", "<<< a quote"),
        ("host", "docs/a.md", "from https://py" + "pi.org/x", "from its registry"),
    ]

    def test_each(self):
        for rule, path, refused, accepted in self.SAMPLES:
            with self.subTest(rule=rule):
                self.assertIn(rule, rules(path, refused + "\n"))
                self.assertEqual([], rules(path, accepted + "\n"))

    def test_every_rule_has_a_sample(self):
        self.assertEqual({rule for rule, *_ in tidy.BANNED}, {rule for rule, *_ in self.SAMPLES})


class Coroutines(unittest.TestCase):
    WRONG = [
        "co_await f(Agg{1, 2});",
        "co_await f({1, 2});",
        "co_await run([x] { return x; });",
        "auto r = c ? co_await a() : b;",
        "if ((co_await f()) != 7) { g(); }",
        "if (co_await f()) g();",
        "while (co_await f()) g();",
        "g(co_await f());",
        "auto r = co_await f() + 1;",
        "auto [a, b] = co_await f();",
        "for (auto x = co_await f(); x; --x) g();",
        "co_return 1 + co_await f();",
    ]
    RIGHT = [
        "co_await f();",
        "co_await f(a, b[1], std::move(c), 7, \"x\");",
        "auto r = co_await f(a);",
        "const Result r = co_await a.b->read<int>(x);",
        "r = co_await f();",
        "if (c) { r = co_await f(); }",
        "if (c) r = co_await f();",
        "if (c) co_await f(); else co_await g();",
        "while (c) co_await f();",
        "co_return co_await f();",
        "// if (co_await f()) g();",
        "const char* s = \"g(co_await f())\";",
        "auto lambda = [x] { return x; }; co_await run(std::move(lambda));",
    ]

    def test_wrong(self):
        for line in self.WRONG:
            with self.subTest(line=line):
                self.assertEqual(["co_await"], rules("gateway/net/a.h", f"task t() {{ {line} }}\n"))

    def test_right(self):
        for line in self.RIGHT:
            with self.subTest(line=line):
                self.assertEqual([], rules("gateway/net/a.h", f"task t() {{\n {line}\n }}\n"))

    def test_the_five_rows(self):
        """The forms of coroutine_wrong.h are all seen; those of coroutine_right.h are not."""
        wrong = (ROOT / "tests/toolchain/coroutine_wrong.h").read_text()
        self.assertEqual(wrong.count("// row "), len(rules("gateway/net/a.h", wrong)))
        right = (ROOT / "tests/toolchain/coroutine_right.h").read_text()
        self.assertEqual([], rules("gateway/net/a.h", right))


class Command(unittest.TestCase):
    def test_exit_code(self):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "a.cpp").write_text("")
            done = subprocess.run([ROOT / "tools/tidy", "--root", folder], capture_output=True, text=True)
            self.assertEqual(1, done.returncode)
            self.assertIn("a.cpp:1: unbuilt:", done.stdout)


if __name__ == "__main__":
    unittest.main()
