#include <set>
#include <string>
#include <thread>

#include "gateway/base/rng.h"
#include "gateway/telemetry/telemetry.h"
#include "tests/catch.h"

using namespace trib;
using namespace trib::telemetry;

namespace {

// A reader of the text format by its own rules, apart from the renderer: comments, then
// name{label="value",...} number. Fills `values` by the series' name and labels, unescaped.
struct Exposition {
  std::map<std::string, std::string> types;
  std::map<std::pair<std::string, Labels>, std::string> values;
  bool ok = true;

  explicit Exposition(const std::string& text) {
    std::size_t at = 0;
    while (at < text.size() && ok) {
      const std::size_t end = text.find('\n', at);
      if (end == std::string::npos) ok = false;
      line(text.substr(at, end - at));
      at = end == std::string::npos ? text.size() : end + 1;
    }
  }

  void line(const std::string& l) {
    if (l.rfind("# HELP ", 0) == 0) return;
    if (l.rfind("# TYPE ", 0) == 0) {
      const std::size_t gap = l.find(' ', 7);
      ok = ok && types.emplace(l.substr(7, gap - 7), l.substr(gap + 1)).second;
      return;
    }
    std::size_t at = l.find_first_of("{ ");
    if (at == std::string::npos || at == 0) return void(ok = false);
    const std::string name = l.substr(0, at);
    Labels labels;
    if (l[at] == '{') {
      ++at;
      while (ok && l[at] != '}') label(l, at, labels);
      ++at;
    }
    ok = ok && at < l.size() && l[at] == ' ';
    if (!ok) return;
    const std::string number = l.substr(at + 1);
    ok = !number.empty() && number.find_first_not_of("-0123456789.") == std::string::npos;
    ok = ok && values.emplace(std::make_pair(name, labels), number).second;
  }

  void label(const std::string& l, std::size_t& at, Labels& labels) {
    const std::size_t equals = l.find('=', at);
    if (equals == std::string::npos || equals + 1 >= l.size() || l[equals + 1] != '"')
      return void(ok = false);
    std::string value;
    std::size_t i = equals + 2;
    for (; i < l.size() && l[i] != '"'; ++i) {
      if (l[i] != '\\') {
        value += l[i];
        continue;
      }
      ++i;
      ok = ok && i < l.size() && (l[i] == '\\' || l[i] == '"' || l[i] == 'n');
      if (ok) value += l[i] == 'n' ? '\n' : l[i];
    }
    if (i >= l.size()) return void(ok = false);
    labels.emplace_back(l.substr(at, equals - at), value);
    at = i + 1;
    if (at < l.size() && l[at] == ',') ++at;
    if (at >= l.size()) ok = false;
  }

  std::string at(const std::string& name, const Labels& labels = {}) const {
    const auto found = values.find({name, labels});
    return found == values.end() ? "absent" : found->second;
  }
};

}  // namespace

TEST_CASE("the text names help and type once and keeps the order of names") {
  Registry registry;
  registry.counter("tributary_requests_total", "Requests.", {{"site", "b"}}).add(2);
  registry.counter("tributary_requests_total", "Requests.", {{"site", "a"}}).add();
  registry.gauge("tributary_in_flight", "In flight.").set(-3);
  CHECK(registry.render() ==
        "# HELP tributary_in_flight In flight.\n"
        "# TYPE tributary_in_flight gauge\n"
        "tributary_in_flight -3\n"
        "# HELP tributary_requests_total Requests.\n"
        "# TYPE tributary_requests_total counter\n"
        "tributary_requests_total{site=\"a\"} 1\n"
        "tributary_requests_total{site=\"b\"} 2\n");
}

TEST_CASE("the same name and labels are the same series, in any order of labels") {
  Registry registry;
  Counter& one = registry.counter("c", "", {{"a", "1"}, {"b", "2"}});
  Counter& two = registry.counter("c", "", {{"b", "2"}, {"a", "1"}});
  CHECK(&one == &two);
}

TEST_CASE("histogram buckets are cumulative, bounds included, sums exact in seconds") {
  Registry registry;
  Histogram& h = registry.histogram("t_seconds", "Time.", {{"side", "site"}});
  h.observe_ns(500'000);         // exactly the first bound
  h.observe_ns(500'001);         // just above it
  h.observe_ns(-5);              // a clock that stepped counts as none
  h.observe_ns(90'000'000'000);  // above the last
  const Exposition text(registry.render());
  REQUIRE(text.ok);
  CHECK(text.types.at("t_seconds") == "histogram");
  CHECK(text.at("t_seconds_bucket", {{"side", "site"}, {"le", "0.0005"}}) == "2");
  CHECK(text.at("t_seconds_bucket", {{"side", "site"}, {"le", "0.001"}}) == "3");
  CHECK(text.at("t_seconds_bucket", {{"side", "site"}, {"le", "60"}}) == "3");
  CHECK(text.at("t_seconds_count", {{"side", "site"}}) == "4");
  CHECK(text.at("t_seconds_sum", {{"side", "site"}}) == "90.001");
  CHECK(registry.render().find("le=\"+Inf\"} 4\n") != std::string::npos);
}

TEST_CASE("a histogram of what a disk takes has bounds of its own") {
  Registry registry;
  Histogram& h = registry.histogram("t_seconds", "Time.", {}, Histogram::fine_bounds_us);
  h.observe_ns(10'000);
  h.observe_ns(10'001, 3);  // three that met the same
  h.observe_ns(2'000'000'000);
  CHECK(&registry.histogram("t_seconds", "Time.") == &h);
  const Exposition text(registry.render());
  REQUIRE(text.ok);
  CHECK(text.at("t_seconds_bucket", {{"le", "0.00001"}}) == "1");
  CHECK(text.at("t_seconds_bucket", {{"le", "0.000015"}}) == "4");
  CHECK(text.at("t_seconds_bucket", {{"le", "1"}}) == "4");
  CHECK(text.at("t_seconds_count", {}) == "5");
  CHECK(text.at("t_seconds_sum", {}) == "2.00004");
}

TEST_CASE("sampled gauges are asked at each rendering, and may use the registry") {
  Registry registry;
  std::int64_t depth = 1;
  registry.sampled_gauge("depth", "Depth.", {{"q", "1"}}, [&] {
    registry.counter("rendered_total", "Renderings.").add();
    return depth;
  });
  CHECK(Exposition(registry.render()).at("depth", {{"q", "1"}}) == "1");
  depth = 7;
  const Exposition text(registry.render());
  CHECK(text.at("depth", {{"q", "1"}}) == "7");
  CHECK(text.at("rendered_total") == "2");
}

TEST_CASE("past the cap one overflow series a name takes the rest") {
  Registry registry;
  for (int i = 0; i < 10'050; ++i) registry.counter("c", "", {{"i", std::to_string(i)}}).add();
  Counter& early = registry.counter("c", "", {{"i", "5"}});
  CHECK(early.value() == 1);
  const Exposition text(registry.render());
  REQUIRE(text.ok);
  CHECK(text.values.size() == 10'001);
  CHECK(text.at("c", {{"overflow", "true"}}) == "50");
}

TEST_CASE("whatever stands in labels, the text parses back to it") {
  SeededRng rng(7);
  static constexpr char bytes[] = "\\\"\n{}=, aZ\xC3\xA9";
  Registry registry;
  std::map<Labels, std::uint64_t> expected;
  for (int i = 0; i < 500; ++i) {
    Labels labels;
    for (const char* key : {"a", "b"}) {
      std::string value;
      for (std::uint64_t n = rng.below(8); n > 0; --n) value += bytes[rng.below(sizeof bytes - 1)];
      labels.emplace_back(key, value);
    }
    registry.counter("c_total", "Help with \\ and\nline.", labels).add(i);
    expected[labels] += static_cast<std::uint64_t>(i);
  }
  const Exposition text(registry.render());
  REQUIRE(text.ok);
  CHECK(text.values.size() == expected.size());
  for (const auto& [labels, value] : expected)
    CHECK(text.at("c_total", labels) == std::to_string(value));
}

TEST_CASE("threads may register, count and render at once") {
  Registry registry;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&registry, t] {
      for (int i = 0; i < 200; ++i) {
        registry.counter("c", "", {{"i", std::to_string(i % 10)}}).add();
        registry.histogram("h", "").observe_ns(i * 1000);
        if (i % 50 == t) registry.render();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::uint64_t sum = 0;
  for (int i = 0; i < 10; ++i) sum += registry.counter("c", "", {{"i", std::to_string(i)}}).value();
  CHECK(sum == 800);
  CHECK(Exposition(registry.render()).at("h_count") == "800");
}
