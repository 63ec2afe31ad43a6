// The metrics reader: what counts as a figure, and any bytes at all.
#include "backends/engines/engines.h"
#include "tests/catch.h"

using namespace trib;
using namespace trib::engines;
using fleet::MetricsKind;

namespace {

EngineFigures figures(std::string_view page, MetricsKind kind = MetricsKind::vllm) {
  MetricsReader reader(kind);
  reader.feed(page);
  return reader.finish();
}

}  // namespace

TEST_CASE("a figure that is none makes its name unknown, not zero") {
  CHECK(figures("vllm:num_requests_running 3").running == 3u);
  CHECK(figures("  vllm:num_requests_running\t3 1767225600000\r\n").running == 3u);
  CHECK(figures("vllm:num_requests_running{} +3e0\n").running == 3u);
  CHECK(figures("vllm:num_requests_running{a=\"}\\\"} 9\"} 4\n").running == 4u);
  for (const auto* const bad : {"NaN", "-1", "+Inf", "", "x", "1e300", "3x", "0x3"}) {
    INFO(bad);
    CHECK_FALSE(figures("vllm:num_requests_running " + std::string(bad) + "\n").running);
    CHECK_FALSE(figures("vllm:num_requests_running{e=\"0\"} 2\nvllm:num_requests_running{e=\"1\"} " + std::string(bad) + "\n").running);
  }
  CHECK_FALSE(figures("vllm:num_requests_running{a=\"1\" 3\n").running);  // labels without an end
  CHECK_FALSE(figures("# vllm:num_requests_running 3\nvllm:num_requests_running_total 4\nxvllm:num_requests_running 5\n").running);
}

TEST_CASE("the newer name wins, wherever it stands; a share above one is no share") {
  CHECK(figures("vllm:gpu_cache_usage_perc 0.9\nvllm:kv_cache_usage_perc 0.25\n").kv_use_ppm == 250'000u);
  CHECK(figures("vllm:kv_cache_usage_perc 0.25\nvllm:gpu_cache_usage_perc 0.9\n").kv_use_ppm == 250'000u);
  CHECK(figures("vllm:gpu_cache_usage_perc 0.9\n").kv_use_ppm == 900'000u);
  CHECK_FALSE(figures("vllm:kv_cache_usage_perc 25\n").kv_use_ppm);
  CHECK(figures("vllm:num_requests_waiting_by_reason{reason=\"a\"} 2\nvllm:num_requests_waiting_by_reason{reason=\"b\"} 1\n").waiting == 3u);
}

TEST_CASE("another engine's names, and none at all, are no figures") {
  const std::string page = "num_requests_running 3\nsglang:num_running_reqs 4\nllamacpp:requests_processing 5\ntgi_queue_size 6\n";
  CHECK(figures(page, MetricsKind::none) == EngineFigures{});
  CHECK(figures(page, MetricsKind::vllm) == EngineFigures{});
  CHECK(figures(page, MetricsKind::sglang).running == 4u);
  CHECK(figures(page, MetricsKind::tgi).waiting == 6u);
}

TEST_CASE("long lines and endless pages are passed over in bounded memory") {
  MetricsReader reader(MetricsKind::vllm);
  reader.feed("vllm:num_requests_running{x=\"");
  const std::string much(1 << 16, 'y');
  for (int i = 0; i < 10; ++i) reader.feed(much);
  reader.feed("\"} 3\nvllm:num_requests_waiting 2\n");
  for (int i = 0; i < 200; ++i) reader.feed(much);
  reader.feed("\nvllm:kv_cache_usage_perc 0.5\n");  // beyond the bound
  const auto out = reader.finish();
  CHECK_FALSE(out.running);
  CHECK(out.waiting == 2u);
  CHECK_FALSE(out.kv_use_ppm);
}

TEST_CASE("any bytes, cut anyhow, give the same figures as whole, and those within their bounds") {
  SeededRng rng(11);
  static const char* const pieces[] = {
      "vllm:num_requests_running", "sglang:num_running_reqs", "sglang:num_queue_reqs", "vllm:kv_cache_usage_perc", "{", "}", "\"", "\\",
      "dp_rank=\"", "1", "0.5", " ", "\n", ",", "\xff", "1e9", "-", "NaN", "#", "\r\n", "\t", "{dp_rank=\"1\",tp_rank=\"0\"} 2\n", " 3\n"};
  int some = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string page;
    for (auto n = rng.below(60); n > 0; --n) page += pieces[rng.below(std::size(pieces))];
    for (const auto kind : {MetricsKind::vllm, MetricsKind::sglang, MetricsKind::mindie}) {
      const auto whole = figures(page, kind);
      MetricsReader reader(kind);
      for (std::size_t at = 0; at < page.size();) {
        const auto n = 1 + rng.below(9);
        reader.feed(std::string_view(page).substr(at, n));
        at += n;
      }
      INFO(page);
      REQUIRE(reader.finish() == whole);
      if (whole.kv_use_ppm) REQUIRE(*whole.kv_use_ppm <= 1'000'000);
      if (whole.running) REQUIRE(*whole.running <= 1'000'000);
      some += whole != EngineFigures{} ? 1 : 0;
    }
  }
  CHECK(some > 100);
}
