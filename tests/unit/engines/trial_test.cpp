// What one generation shows of an engine, and what it leaves as the table has it.
#include <boost/json.hpp>
#include <functional>

#include "backends/engines/engines.h"
#include "tests/catch.h"

using namespace trib;
using namespace trib::engines;
using fleet::ContinueMode;
using fleet::ErrorShape;
using fleet::LengthField;
namespace bj = boost::json;

namespace {

struct Toy {  // an engine that is asked; what it does with a last turn of the assistant
  std::string goes_on = "day", anew = "The";
  bool flags_refused = false, flags_needed = false, turn_refused = false, ignores = false;  // ignores: begins anew
  bool usage = true, done = true, chat = true, reads_limit = true, reasons = false;
  int generations = 0, questions = 0;

  std::pair<int, std::string> answer(const std::string& text) {
    const auto body = bj::parse(text).as_object();
    ++questions;
    if (!chat) return {404, "{\"detail\":\"Not Found\"}"};
    if (!body.at("messages").is_array()) return {400, "{\"error\":{\"message\":\"messages must be a list\",\"type\":\"x\"}}"};
    CHECK(body.at("stream").as_bool());
    CHECK(body.at("max_tokens").as_int64() == 1);
    const bool turn = body.at("messages").as_array().back().at("role").as_string() == "assistant";
    const bool flags = body.contains("continue_final_message");
    CHECK((!flags || turn));
    if ((flags && flags_refused) || (turn && turn_refused)) return {400, "{\"error\":{\"message\":\"no\"}}"};
    ++generations;
    const bool on = turn && !ignores && (flags || !flags_needed);
    std::string out = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n";
    for (int i = 0; i < (reads_limit ? 1 : 40); ++i)
      out += std::string("data: {\"choices\":[{\"index\":0,\"delta\":{\"") + (reasons ? "reasoning_content" : "content") + "\":\"" + (on ? goes_on : anew) +
             "\"},\"finish_reason\":null}]}\n\n";
    out += "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}]}\n\n";
    if (usage && body.contains("stream_options"))
      out += "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1,\"total_tokens\":10}}\n\n";
    return {200, out + (done ? "data: [DONE]\n\n" : "")};
  }
};

fleet::Capabilities table(ContinueMode mode) {
  fleet::Capabilities can;
  can.continue_mode = mode;
  can.length_field = LengthField::both;
  return can;
}

fleet::Capabilities tried(Toy& toy, const fleet::Capabilities& can) {
  Trial trial("a \"m\"", can, ErrorShape::unknown);
  for (int i = 0; i < 10 && !trial.path().empty(); ++i) {
    CHECK(trial.path() == "/v1/chat/completions");
    REQUIRE(json::valid(trial.body(), {16, true}));
    const auto [status, body] = toy.answer(trial.body());
    // The caller gives the call up as soon as enough has come.
    std::size_t n = 0;
    while (n < body.size() && !(status == 200 && trial.enough(std::string_view(body).substr(0, n)))) ++n;
    trial.answer(status, std::string_view(body).substr(0, n));
  }
  REQUIRE(trial.path().empty());
  CHECK(toy.generations <= 1);
  return trial.shown().onto(can);
}

}  // namespace

TEST_CASE("what is shown is believed before the table") {
  Toy toy;
  const auto can = tried(toy, table(ContinueMode::continue_final));
  CHECK(can.continue_mode == ContinueMode::continue_final);
  CHECK(can.continue_probed);
  CHECK(can.usage_in_stream);
  CHECK(can.usage_probed);
  CHECK(can.length_field == LengthField::both);
  CHECK(can.length_probed);
  CHECK(can.error_shape == ErrorShape::nested);
  CHECK(toy.generations == 1);
  CHECK(toy.questions == 2);
}

TEST_CASE("how the chat route goes on is found where nothing is known of it") {
  struct Row {
    ContinueMode table;
    Toy toy;
    ContinueMode mode;
    bool probed;
  };
  using enum ContinueMode;
  const std::vector<Row> rows = {
      {none, {}, continue_final, true},
      {none, {.flags_needed = true}, continue_final, true},
      {none, {.flags_refused = true}, auto_prefill, true},
      {continue_final, {.flags_refused = true}, auto_prefill, true},
      {auto_prefill, {}, auto_prefill, true},
      {auto_prefill, {.flags_needed = true}, none, true},
      {none, {.ignores = true}, none, true},
      {continue_final, {.ignores = true}, none, true},
      {auto_prefill, {.ignores = true}, none, true},
      {auto_prefill, {.turn_refused = true}, none, true},
      {continue_final, {.turn_refused = true}, none, true},
      {continue_final, {.reasons = true}, none, true},
      {continue_final, {.goes_on = "s"}, continue_final, false},  // neither shown nor refuted: the table stands
      {none, {.goes_on = "s"}, none, false},
      {continue_final, {.goes_on = ""}, continue_final, false},
      {continue_final, {.chat = false}, continue_final, false},
      {auto_prefill, {.goes_on = "\\n\\n<|im_start|>assistant"}, none, true},
      {auto_prefill, {.goes_on = "Monday"}, none, true},
  };
  for (const auto& row : rows) {
    INFO(fleet::name(row.table) << ' ' << row.toy.goes_on << (row.toy.flags_refused ? " refuses flags" : "") << (row.toy.ignores ? " ignores" : ""));
    Toy toy = row.toy;
    const auto can = tried(toy, table(row.table));
    CHECK(can.continue_mode == row.mode);
    CHECK(can.continue_probed == row.probed);
  }
}

TEST_CASE("what the chat route cannot, ids and text may") {
  for (const auto input : {fleet::TokenInput::none, fleet::TokenInput::completions}) {
    Toy toy{.ignores = true};
    auto can = table(ContinueMode::continue_final);
    can.template_access = fleet::TemplateAccess::apply;
    can.token_input = input;
    CHECK(tried(toy, can).continue_mode == (input == fleet::TokenInput::none ? ContinueMode::raw_text : ContinueMode::token_ids));
  }
}

TEST_CASE("usage and the limit") {
  Toy none{.usage = false};
  const auto without = tried(none, table(ContinueMode::auto_prefill));
  CHECK_FALSE(without.usage_in_stream);
  CHECK(without.usage_probed);
  Toy cut{.usage = false, .done = false};
  CHECK_FALSE(tried(cut, table(ContinueMode::auto_prefill)).usage_probed);  // it might have come
  Toy endless{.reads_limit = false};
  const auto other = tried(endless, table(ContinueMode::auto_prefill));
  CHECK(other.length_field == LengthField::max_completion_tokens);
  CHECK(other.length_probed);
  auto unasked = table(ContinueMode::auto_prefill);
  unasked.usage_in_stream = false;
  Toy toy;
  CHECK_FALSE(tried(toy, unasked).usage_in_stream);
}

TEST_CASE("an error's shape is asked for once, and rubbish shows nothing") {
  Trial trial("m", table(ContinueMode::none), ErrorShape::flat);
  CHECK(trial.generates());
  CHECK(trial.shown().error_shape == ErrorShape::flat);
  for (const char* const rubbish : {"", "data: {}\n\n", "data: x\n\n", "\n\n\n", "data: {\"error\":{}}\n\n", "{\"choices\":[]}", "data: [DONE]\n\n", "<html>"}) {
    Trial one("m", table(ContinueMode::continue_final), ErrorShape::flat);
    one.answer(200, rubbish);
    CHECK(one.path().empty());
    const auto can = one.shown().onto(table(ContinueMode::continue_final));
    CHECK(can.continue_mode == ContinueMode::continue_final);
    CHECK_FALSE(can.continue_probed);
    CHECK_FALSE(can.length_probed);
  }
  for (const int status : {0, 401, 404, 500, 503}) {
    Trial one("m", table(ContinueMode::continue_final), ErrorShape::flat);
    one.answer(status, "x");
    CHECK(one.path().empty());
    auto want = table(ContinueMode::continue_final);
    want.error_shape = ErrorShape::flat;
    CHECK(one.shown().onto(table(ContinueMode::continue_final)) == want);
  }
}

TEST_CASE("the shapes of errors") {
  CHECK(error_shape_of("{\"error\":{\"message\":\"x\"}}") == ErrorShape::nested);
  CHECK(error_shape_of("{\"object\":\"error\",\"message\":\"x\",\"code\":400}") == ErrorShape::flat);
  CHECK(error_shape_of("{\"error\":\"x\",\"error_type\":\"validation\"}") == ErrorShape::tgi);
  CHECK(error_shape_of("{\"detail\":\"Not Found\"}") == ErrorShape::unknown);
  CHECK(error_shape_of("Failed to deserialize") == ErrorShape::plain);
  CHECK(error_shape_of("{\"error\":{") == ErrorShape::plain);
  CHECK(error_shape_of("") == ErrorShape::unknown);
}
