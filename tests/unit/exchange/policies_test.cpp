// What a contract says of requests that do not end well: a customer who leaves, a supply that breaks off,
// an answer without a word.
#include "tests/unit/exchange/bench.h"

using namespace trib;
using namespace trib::test;
using config::OnBreak;
using config::OnCancel;
using metering::Outcome;

namespace {

struct Case {
  explicit Case(config::Policies policies, bool journal_at_once = true) {
    bench.continuations = 0;
    bench.contract_says(policies);
    bench.journal().at_once = journal_at_once;
    bench.ask(ask_text(true));
  }
  void begin() {
    bench.far().head(200, "text/event-stream");
    bench.far().body(role_chunk());
  }
  const metering::Final& leave() {
    bench.customer_leaves();
    bench.check_closed();
    return final_of(bench);
  }
  Bench bench;
};

}  // namespace

TEST_CASE("a customer who leaves is billed what had come, what had been sent, or what arrived") {
  const auto policy = GENERATE(OnCancel::received, OnCancel::delivered, OnCancel::acknowledged);
  Case c({.on_cancel = policy});
  c.begin();
  for (int i = 0; i < 8; ++i) c.bench.far().body(text_chunk());
  SECTION("all had left") {
    CHECK(c.leave().counts.output == 8);
  }
  SECTION("a half waits to be sent") {
    c.bench.unsent = c.bench.body_text.size() / 2;
    const auto& final = c.leave();
    CHECK(final.counts.output == (policy == OnCancel::received ? 8 : 4));
    CHECK(final.counts.input > 0);
    CHECK(final.source == metering::CountSource::estimate);
  }
  SECTION("nothing was sent: for him there was no output") {
    c.bench.unsent = c.bench.body_text.size() + 1000;
    const auto& final = c.leave();
    CHECK(final.counts.output == (policy == OnCancel::received ? 8 : 0));
    CHECK((final.counts.input > 0) == (policy == OnCancel::received));
  }
}

TEST_CASE("what waits for the journal has not been sent") {
  const auto policy = GENERATE(OnCancel::received, OnCancel::delivered);
  Case c({.on_cancel = policy}, false);
  c.begin();
  c.bench.far().body(text_chunk() + text_chunk());
  CHECK(c.leave().counts.output == (policy == OnCancel::received ? 2 : 0));
}

TEST_CASE("an answer that the supply broke off is billed as its contract says") {
  const auto policy = GENERATE(OnBreak::output_only, OnBreak::all, OnBreak::nothing);
  Case c({.on_break = policy});
  c.begin();
  c.bench.far().body(text_chunk() + text_chunk());
  c.bench.far().fault(FaultKind::cut);
  c.bench.check_closed();
  const auto& final = final_of(c.bench);
  CHECK(final.outcome == Outcome::partial);
  CHECK(final.counts.output == (policy == OnBreak::nothing ? 0 : 2));
  CHECK((final.counts.input > 0) == (policy == OnBreak::all));
  CHECK((c.bench.body_text.find("Nothing of it is billed.") != std::string::npos) == (policy == OnBreak::nothing));
  const auto rated = ledger::rate(final, *c.bench.book());
  CHECK(rated.quarantine.empty());
  CHECK(rated.gross == c.bench.charged);
}

TEST_CASE("an answer without a word costs nothing, unless the contract bills what was read") {
  const bool bills = GENERATE(false, true);
  Case c({.zero_output = bills ? config::ZeroOutput::input : config::ZeroOutput::nothing});
  SECTION("the customer left") {
    c.begin();
    c.leave();
  }
  SECTION("the engine said nothing and finished") {
    c.begin();
    c.bench.far().body(finish_chunk() + usage_chunk(usage_of(12, 0)) + "data: [DONE]\n\n");
    c.bench.check_closed();
  }
  const auto& final = final_of(c.bench);
  CHECK(final.counts.output == 0);
  CHECK((final.counts.input > 0) == bills);
  const auto rated = ledger::rate(final, *c.bench.book());
  CHECK(rated.quarantine.empty());
  CHECK(rated.gross == c.bench.charged);
}

TEST_CASE("a supply that breaks off before the first word is never paid for the input") {
  Case c({.on_break = OnBreak::all, .zero_output = config::ZeroOutput::input});
  for (int i = 0; i < 3 && !c.bench.over(); ++i) c.bench.far().fault(FaultKind::cut);
  c.bench.check_closed();
  CHECK(final_of(c.bench).counts.total() == 0);
}
