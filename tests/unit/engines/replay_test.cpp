// Every engine and version under tests/engines: recognised from an empty record, its record as expected,
// its metrics, streams and errors read whole and byte by byte.
#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "backends/engines/engines.h"
#include "gateway/http/http.h"
#include "tests/catch.h"

using namespace trib;
using namespace trib::engines;
namespace bj = boost::json;
namespace fs = std::filesystem;

namespace {

const fs::path root = "tests/engines";

std::string slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  INFO(path.string());
  REQUIRE(in.good());
  return {std::istreambuf_iterator<char>(in), {}};
}

struct Case {
  fs::path folder;
  bj::object wants;
  std::string file(const bj::value& name) const { return slurp(folder / std::string(name.as_string())); }
};

const std::vector<Case>& cases() {
  static const auto all = [] {
    std::vector<Case> out;
    for (const auto& entry : fs::recursive_directory_iterator(root))
      if (entry.path().filename() == "case.json") out.push_back({entry.path().parent_path(), bj::parse(slurp(entry.path())).as_object()});
    REQUIRE(out.size() >= 15);
    return out;
  }();
  return all;
}

std::string text(const bj::object& object, const char* key) {
  return object.contains(key) ? std::string(object.at(key).as_string()) : std::string();
}

Probe probe(const Case& one, std::vector<std::string>& asked) {
  Probe out;
  const auto& answers = one.wants.at("answers").as_object();
  for (int i = 0; i < 20 && !out.next().empty(); ++i) {
    asked.emplace_back(out.next());
    if (const auto found = answers.find(asked.back()); found != answers.end()) {
      out.answer(200, one.file(found->value()));
    } else {
      out.answer(404, "{\"detail\":\"Not Found\"}");
    }
  }
  REQUIRE(out.next().empty());
  return out;
}

// What a stream says: the texts joined, and all figures.
struct Heard {
  std::string text;
  std::uint64_t texts = 0, text_bytes = 0;
  unsigned finishes = 0;
  UsageState usage = UsageState::absent;
  metering::TokenCounts counts;
  bool done = false, valid = true;
};

void hear(std::string_view data, Heard& out) {
  if (data == "[DONE]") {
    out.done = true;
    return;
  }
  AnswerFacts facts;
  if (!read_answer(data, false, facts)) {
    out.valid = false;
    return;
  }
  out.texts += facts.texts;
  out.text_bytes += facts.text_bytes;
  out.finishes += facts.finishes;
  if (facts.usage != UsageState::absent) {
    out.usage = facts.usage;
    out.counts = facts.counts;
  }
  const auto event = bj::parse(data);
  for (const auto& choice : event.at("choices").as_array()) {
    const auto& object = choice.as_object();
    const auto& said = object.contains("delta") ? object.at("delta").as_object() : object;
    for (const char* const key : {"content", "text"})
      if (said.contains(key) && said.at(key).is_string()) out.text += std::string(said.at(key).as_string());
  }
  // To the customer: the public name, no usage of the engine's, no timings.
  std::vector<Edit> edits;
  if (facts.model_at.present()) edits.push_back({facts.model_at, "\"public\""});
  if (facts.usage_at.present()) edits.push_back({facts.usage_at, {}});
  if (facts.timings_at.present()) edits.push_back({facts.timings_at, {}});
  std::string edited;
  write_edited(data, edits, edited);
  const auto told = bj::parse(edited).as_object();
  CHECK(told.at("model").as_string() == "public");
  CHECK_FALSE(told.contains("usage"));
  CHECK_FALSE(told.contains("timings"));
}

Heard listen(std::string_view bytes, std::size_t piece, std::vector<std::size_t>* borders = nullptr) {
  http::SseScanner scanner;
  Heard out;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    std::string_view in = bytes.substr(at, piece);
    const auto size = in.size();
    for (;;) {
      http::SseEvent event;
      const auto status = scanner.next(in, event);
      if (status == http::SseScanner::Status::need_more) break;
      REQUIRE(status != http::SseScanner::Status::too_large);
      if (status != http::SseScanner::Status::event) continue;
      hear(event.data, out);
      if (borders != nullptr) borders->push_back(at + size - in.size());
    }
  }
  CHECK(scanner.held_bytes() == 0);
  return out;
}

}  // namespace

TEST_CASE("every engine is recognised from an empty record, and its record is right") {
  for (const auto& one : cases()) {
    INFO(one.folder.string());
    std::vector<std::string> asked;
    const auto probed = probe(one, asked);
    CHECK(probed.reachable());
    CHECK_FALSE(probed.models().empty());
    const auto& can = probed.found();
    const auto& want = one.wants.at("record").as_object();
    CHECK(can.engine == text(want, "engine"));
    CHECK(can.dialect == text(want, "dialect"));
    CHECK(can.version == text(want, "version"));
    CHECK(can.context == want.at("context").as_int64());
    if (want.contains("slots")) CHECK(can.slots == want.at("slots").as_int64());
    CHECK(name(can.continue_mode) == text(want, "continue_mode"));
    CHECK(name(can.template_access) == text(want, "template_access"));
    CHECK(name(can.token_input) == text(want, "token_input"));
    CHECK(name(can.length_field) == text(want, "length_field"));
    CHECK(name(can.unknown_fields) == text(want, "unknown_fields"));
    CHECK(name(can.cancel) == text(want, "cancel"));
    CHECK(name(can.metrics) == text(want, "metrics"));
    std::string features;
    const std::pair<const char*, bool> all[] = {{"grammar", can.grammar}, {"logprobs", can.logprobs}, {"n_gt_1", can.n_gt_1},
                                                {"seed", can.seed}, {"tools", can.tools}, {"usage_in_stream", can.usage_in_stream}};
    for (const auto& [feature, has] : all)
      if (has) features += (features.empty() ? "" : " ") + std::string(feature);
    CHECK(features == text(want, "features"));
  }
}

TEST_CASE("answers that come to nothing leave less, never another engine") {
  for (const auto& one : cases()) {
    const auto dialect = text(one.wants.at("record").as_object(), "dialect");
    for (const auto& left_out : one.wants.at("answers").as_object()) {
      Case less = one;
      less.wants["answers"].as_object().erase(left_out.key());
      if (left_out.key() == "/v1/models") less.wants["answers"].as_object()["/v1/models"] = "../../generic/openai/models.json";
      less.folder = one.folder;
      INFO(one.folder.string() << " without " << left_out.key());
      std::vector<std::string> asked;
      const auto found = probe(less, asked).found();
      CHECK((found.dialect == dialect || found.dialect == "generic"));
      if (found.dialect == "generic") CHECK(found.continue_mode == fleet::ContinueMode::none);
    }
  }
}

TEST_CASE("metrics pages are read alike, whole and byte by byte") {
  for (const auto& one : cases()) {
    const auto& answers = one.wants.at("answers").as_object();
    std::vector<std::string> asked;
    const auto kind = probe(one, asked).found().metrics;
    if (kind == fleet::MetricsKind::none) continue;
    INFO(one.folder.string());
    const auto page = one.file(answers.at("/metrics"));
    EngineFigures want;
    const auto& figures = one.wants.at("figures").as_object();
    const auto take = [&](const char* key, std::optional<std::uint32_t>& to) {
      if (figures.contains(key)) to = static_cast<std::uint32_t>(figures.at(key).as_int64());
    };
    take("running", want.running);
    take("waiting", want.waiting);
    take("kv_use_ppm", want.kv_use_ppm);
    for (const std::size_t piece : {page.size(), std::size_t{1}, std::size_t{7}}) {
      MetricsReader reader(kind);
      for (std::size_t at = 0; at < page.size(); at += piece) reader.feed(std::string_view(page).substr(at, piece));
      CHECK(reader.finish() == want);
    }
  }
}

TEST_CASE("streams say the same, whole, byte by byte and cut anywhere") {
  for (const auto& one : cases()) {
    for (const auto& stream : one.wants.at("streams").as_array()) {
      const auto& want = stream.as_object();
      INFO(one.folder.string());
      const auto bytes = one.file(want.at("file"));
      std::vector<std::size_t> borders;
      for (const std::size_t piece : {bytes.size(), std::size_t{1}, std::size_t{13}}) {
        borders.clear();
        const auto heard = listen(bytes, piece, &borders);
        CHECK(heard.valid);
        CHECK(heard.done);
        CHECK(heard.finishes == 1);
        CHECK(heard.text == text(want, "text"));
        CHECK(heard.text_bytes == heard.text.size());
        CHECK(heard.usage == UsageState::valid);
        CHECK(heard.counts.input + heard.counts.cached_input == static_cast<std::uint64_t>(want.at("prompt_tokens").as_int64()));
        CHECK(heard.counts.output + heard.counts.reasoning == static_cast<std::uint64_t>(want.at("completion_tokens").as_int64()));
      }
      // Cut at every border: no finish comes out of less than the events that say it, and the text is a prefix.
      for (std::size_t n = 0; n + 1 < borders.size(); ++n) {
        const auto heard = listen(std::string_view(bytes).substr(0, borders[n]), 1);
        CHECK_FALSE(heard.done);
        CHECK(text(want, "text").starts_with(heard.text));
        if (heard.text != text(want, "text")) CHECK(heard.finishes == 0);
      }
    }
  }
}

TEST_CASE("going on by ids is asked in each engine's words, and its answer is told as a chat's") {
  int seen = 0;
  for (const auto& one : cases()) {
    if (!one.wants.contains("going_on")) continue;
    INFO(one.folder.string());
    ++seen;
    const auto& want = one.wants.at("going_on").as_object();
    std::vector<std::string> asked;
    const auto can = probe(one, asked).found();
    const std::string body = "{\"model\":\"m\",\"stream\":true,\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"T\"}]}";
    RequestFacts facts;
    REQUIRE_FALSE(read_request(body, Operation::chat, [](const void*, std::string_view) { return 4096u; }, nullptr, facts));
    GoingOn way(body, facts, text(want, "text"), 6, "m", can, fleet::ways_of(can));
    for (const auto& answer : want.at("answers").as_array()) {
      const auto step = way.step();
      CHECK(step.question);
      CHECK(step.path == answer.at(0).as_string());
      way.answered(200, one.file(answer.at(1)));
    }
    CHECK(way.way() == fleet::ContinueMode::token_ids);
    const auto step = way.step();
    CHECK_FALSE(step.question);
    CHECK(step.path == "/v1/completions");
    CHECK(bj::parse(step.body).at("prompt") == want.at("prompt"));
    http::SseScanner scanner;
    http::SseEvent event;
    const auto bytes = one.file(want.at("stream"));
    std::string_view in = bytes;
    Heard heard;
    while (scanner.next(in, event) != http::SseScanner::Status::need_more) {
      std::string told;
      if (event.data != "[DONE]") REQUIRE(chat_event(event.data, told));
      hear(event.data == "[DONE]" ? event.data : std::string_view(told), heard);
    }
    CHECK(heard.valid);
    CHECK(heard.done);
    CHECK(heard.finishes == 1);
    CHECK(heard.usage == UsageState::valid);
    CHECK(heard.text == text(want, "says"));
  }
  CHECK(seen == 3);
}

TEST_CASE("errors are classed, and told without what is the site's own") {
  std::map<std::string, int> seen;
  for (const auto& one : cases()) {
    for (const auto& error : one.wants.at("errors").as_array()) {
      const auto& want = error.as_object();
      const auto facts = read_error(one.file(want.at("file")));
      INFO(one.folder.string() << ' ' << text(want, "file"));
      CHECK(facts.message == text(want, "message"));
      const auto fault = classify_status(static_cast<int>(want.at("status").as_int64()), facts);
      CHECK(name(fault.kind) == text(want, "fault"));
      ++seen[text(want, "fault")];
    }
  }
  CHECK(seen.size() == 5);  // length, request, configuration, busy, server
}
