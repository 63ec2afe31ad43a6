#include "tests/catch.h"
#include "tools/bench/load/histogram.h"
#include "tools/bench/load/response.h"

using namespace trib::bench;

TEST_CASE("a stall touches the tenth of a second that it hits, not the typical one") {
  constexpr std::int64_t us = 1000, tenth = 100'000 * us;
  Tenths tenths;
  CHECK(tenths.typical().p99_ns == 0);
  const auto near = [](std::int64_t ns, std::int64_t wanted) { return ns >= wanted && ns <= wanted + wanted / 50; };
  for (std::int64_t at = 0; at < 9 * tenth; at += 100 * us) {
    const bool stalled = at >= 3 * tenth && at < 4 * tenth;
    tenths.record(at, stalled ? 9000 * us : (at / (100 * us)) % 50 == 0 ? 400 * us : 200 * us);
  }
  tenths.record(20 * tenth, 70'000 * us);  // too few to be a tenth
  const Typical typical = tenths.typical();
  CHECK(near(typical.p50_ns, 200 * us));
  CHECK(near(typical.p99_ns, 400 * us));
}

TEST_CASE("a quantile is off by two percent at most") {
  Histogram histogram;
  for (std::int64_t i = 1; i <= 100'000; ++i) histogram.record(i * 37);
  for (const double share : {0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const double want = share * 100'000 * 37;
    CHECK(static_cast<double>(histogram.quantile_ns(share)) >= want * 0.999);
    CHECK(static_cast<double>(histogram.quantile_ns(share)) <= want * 1.02);
  }
  CHECK(histogram.max_ns() == 3'700'000);
}

TEST_CASE("extreme durations have a place") {
  Histogram histogram;
  histogram.record(-5);
  CHECK(histogram.quantile_ns(1) == 0);
  histogram.record(INT64_MAX);
  CHECK(histogram.count() == 2);
  CHECK(histogram.quantile_ns(1) == histogram.max_ns());
}

TEST_CASE("a stream is counted the same however it arrives") {
  const std::string stream =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      "16\r\ndata: {\"content\":\"\"}\n\n\r\n"
      "18\r\ndata: {\"content\":\"t1\"}\n\n\r\n"
      "e\r\n: a comment\n\nd\r\n1c\r\nata: {\"content\":\" t2\"}\n\ndata\r\n"
      "a\r\n: [DONE]\n\n\r\n0\r\n\r\n";
  for (std::size_t cut = 1; cut < stream.size(); ++cut) {
    Response response;
    CHECK(response.feed(stream.substr(0, cut)) == cut);
    REQUIRE_FALSE(response.done());
    REQUIRE(response.feed(stream.substr(cut) + "HTTP") == stream.size() - cut);
    REQUIRE(response.done());
    REQUIRE(response.events() == 4);
    REQUIRE(response.tokens() == 2);
    REQUIRE(response.in_order() == 2);
    REQUIRE(response.saw_done());
  }
}

TEST_CASE("an answer that ends early is broken") {
  Response response;
  response.feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc");
  CHECK_FALSE(response.end());
  response.reset();
  response.feed("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc");
  CHECK_FALSE(response.keeps_alive());
  CHECK(response.end());
  CHECK(response.body_bytes() == 3);
}
