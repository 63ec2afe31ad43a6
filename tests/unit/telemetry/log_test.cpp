#include "gateway/base/json.h"
#include "gateway/base/rng.h"
#include "gateway/telemetry/log_line.h"
#include "tests/catch.h"

using namespace trib;
using namespace trib::telemetry;

namespace {

std::string line(bool json, std::string_view event, std::vector<LogField> fields) {
  return log_line(json, 1'767'312'245'678, Level::warning, event, fields);
}

bool is_json_line(const std::string& text) {
  if (text.empty() || text.back() != '\n' || text.find('\n') != text.size() - 1) return false;
  const std::string body = text.substr(0, text.size() - 1);
  json::Cursor cursor(body, {64, true});
  cursor.skip();
  return cursor.finish();
}

}  // namespace

TEST_CASE("times are RFC 3339 in UTC with milliseconds") {
  CHECK(time_text(0) == "1970-01-01T00:00:00.000Z");
  CHECK(time_text(1'767'312'245'678) == "2026-01-02T00:04:05.678Z");
  CHECK(time_text(-1) == "1969-12-31T23:59:59.999Z");
}

TEST_CASE("a line for programs is one JSON object, numbers bare") {
  CHECK(line(true, "attempt failed", {{"request", "00ff"}, {"n", std::int64_t{2}}}) ==
        "{\"time\":\"2026-01-02T00:04:05.678Z\",\"level\":\"warning\",\"event\":\"attempt failed\","
        "\"request\":\"00ff\",\"n\":2}\n");
}

TEST_CASE("a line for people quotes only what needs it") {
  CHECK(line(false, "attempt failed",
             {{"request", "00ff"},
              {"why", "no \"head\"\nyet"},
              {"empty", ""},
              {"n", std::int64_t{-2}}}) ==
        "2026-01-02T00:04:05.678Z warning \"attempt failed\" request=00ff why=\"no "
        "\\\"head\\\"\\u000ayet\" empty=\"\" n=-2\n");
}

TEST_CASE("any bytes make one line, and valid JSON, of bounded length") {
  SeededRng rng(3);
  for (int round = 0; round < 2000; ++round) {
    std::string value;
    for (std::uint64_t n = rng.below(40); n > 0; --n) value += static_cast<char>(rng.below(256));
    CHECK(is_json_line(line(true, value, {{"v", value}})));
    const std::string human = line(false, value, {{"v", value}});
    CHECK(human.find('\n') == human.size() - 1);
  }
  const std::string longest = line(true, "e", {{"v", std::string(1'000'000, 'x')}});
  CHECK(longest.size() < log_value_bytes_max + 200);
  CHECK(is_json_line(longest));
}
