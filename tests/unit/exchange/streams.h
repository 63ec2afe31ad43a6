// Recorded streams for tests of going on: what an engine says from any piece on, and what a customer heard.
#pragma once
#include <algorithm>

#include "tests/unit/exchange/bench.h"

namespace trib::test {

// A whole answer as an engine would stream it: its pieces, and how they stand in events.
struct Script {
  const char* name;
  std::vector<std::string> pieces;  // JSON-escaped text of each piece
  bool role_event = true;           // the role alone first; else with each piece
  bool usage = true;
  bool done = true;
  bool null_content = false;        // the first delta says content null
  std::size_t in_one = 1;           // pieces an event
};

inline const std::vector<Script>& scripts() {
  static const std::vector<Script> all = {
      {"plain", {"Once", " upon", " a", " time", " there", " was", " a", " tide", "."}},
      {"a role in each delta", {"Ja", ",", " ", "ja"}, false},
      {"escapes", {"line\\n", "\\\"quoted\\\"", "tab\\t", "back\\\\slash", "\\u00e9t\\u00e9", "\\ud83d\\ude00", " end"}},
      {"many bytes a sign", {"你好", "，", "世界", "！", "😀", "é"}},
      {"no usage", {"a", "b", "c"}, true, false},
      {"no end", {"a", "b", "c"}, true, true, false},
      {"null content first", {"x", " y", " z"}, true, true, true, true},
      {"several pieces in one event", {"one ", "two ", "three ", "four ", "five "}, true, true, true, false, 2},
      {"repeats itself", {"la ", "la ", "la ", "la ", "la "}},
      {"empty pieces", {"", "a", "", "b", ""}},
  };
  return all;
}

inline std::string plain(std::string_view escaped) {
  std::string out;
  json::unescape(escaped, out);
  return out;
}
inline std::string plain(const Script& script, std::size_t pieces = SIZE_MAX) {
  std::string out;
  for (std::size_t i = 0; i < std::min(pieces, script.pieces.size()); ++i) out += plain(script.pieces[i]);
  return out;
}

// What engine `who` streams from piece `from` on, and where each byte stands: piece count after each event.
inline std::string stream_of(const Script& script, std::size_t from, const std::string& who, std::uint64_t prompt, bool completion = false) {
  const auto head_of = [&](const char* object) {
    return "data: {\"id\":\"id-" + who + "\",\"object\":\"" + object + "\",\"created\":17" + std::to_string(who.size()) + ",\"model\":\"engine-m\",\"choices\":[";
  };
  const auto chunk_by = [&](const std::string& delta, const std::string& finish) {
    return head_of("chat.completion.chunk") + "{\"index\":0,\"delta\":" + delta + ",\"finish_reason\":" + finish + "}]}\n\n";
  };
  const auto text_by = [&](const std::string& text, const std::string& finish) {
    return head_of("text_completion") + "{\"index\":0,\"text\":\"" + text + "\",\"logprobs\":null,\"finish_reason\":" + finish + ",\"stop_reason\":null}]}\n\n";
  };
  std::string out;
  if (script.role_event && !completion) out += chunk_by(script.null_content ? "{\"role\":\"assistant\",\"content\":null}" : "{\"role\":\"assistant\",\"content\":\"\"}", "null");
  std::size_t said = 0;
  for (std::size_t i = from; i < script.pieces.size(); i += script.in_one) {
    std::string text;
    for (std::size_t k = i; k < std::min(i + script.in_one, script.pieces.size()); ++k, ++said) text += script.pieces[k];
    out += completion ? text_by(text, "null") : chunk_by((script.role_event ? "{\"content\":\"" : "{\"role\":\"assistant\",\"content\":\"") + text + "\"}", "null");
  }
  out += completion ? text_by("", "\"stop\"") : chunk_by("{}", "\"stop\"");
  if (script.usage)
    out += "data: {\"id\":\"id-" + who + "\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"engine-m\",\"choices\":[],\"usage\":" +
           usage_of(static_cast<std::int64_t>(prompt), static_cast<std::int64_t>(said)) + "}\n\n";
  if (script.done) out += "data: [DONE]\n\n";
  return out;
}

struct Heard {
  std::string text;
  std::size_t roles = 0, finishes = 0, done = 0, errors = 0, usages = 0;
  std::vector<std::string> ids, models, createds;
  std::uint64_t prompt = 0, completion = 0;
};

inline Heard heard(std::string_view bytes) {
  Heard out;
  http::SseScanner scanner;
  http::SseEvent event;
  while (scanner.next(bytes, event) != http::SseScanner::Status::need_more) {
    if (event.data.empty()) continue;
    if (event.data == "[DONE]") {
      ++out.done;
      continue;
    }
    engines::AnswerFacts facts;
    facts.text = &out.text;
    REQUIRE(engines::read_answer(event.data, false, facts));
    REQUIRE(out.done == 0);
    if (facts.error) {
      ++out.errors;
      continue;
    }
    out.roles += facts.role ? 1u : 0u;
    out.finishes += facts.finishes;
    const auto once = [](std::vector<std::string>& all, std::string_view one) {
      if (std::find(all.begin(), all.end(), one) == all.end()) all.emplace_back(one);
    };
    once(out.ids, facts.id);
    once(out.models, facts.model);
    if (facts.choices) once(out.createds, facts.created);
    if (facts.usage == engines::UsageState::valid) {
      ++out.usages;
      out.prompt = facts.counts.input;
      out.completion = facts.counts.output;
    }
  }
  CHECK(scanner.held_bytes() == 0);
  return out;
}

// The assistant's text that a continuation was asked to go on from.
inline std::string asked_from(const http::CallRequest& request) {
  json::Cursor in(request.body);
  std::string text;
  std::string_view key;
  REQUIRE(in.enter_object());
  while (in.next_key(key)) {
    if (key != "messages") {
      in.skip();
      continue;
    }
    REQUIRE(in.enter_array());
    while (in.next_element()) {
      REQUIRE(in.enter_object());
      std::string_view inner;
      while (in.next_key(inner)) {
        if (inner == "content") {
          text.clear();
          in.read_string(text);
        } else {
          in.skip();
        }
      }
    }
  }
  REQUIRE(in.ok());
  return text;
}

inline void all_continue(Bench& bench, fleet::ContinueMode mode = fleet::ContinueMode::auto_prefill) {
  for (auto& offer : bench.offers) {
    offer->can.continue_mode = mode;
    offer->can.tools = true;
  }
}

// How many pieces the text is; none: it is cut within one.
inline std::optional<std::size_t> pieces_in(const Script& script, const std::string& text) {
  std::string so_far;
  for (std::size_t i = 0; i <= script.pieces.size(); i += i == 0 && script.in_one > 1 ? script.in_one : 1) {
    so_far = plain(script, i);
    if (so_far == text) {
      std::size_t last = i;  // pieces that say nothing: the furthest that fits
      while (last < script.pieces.size() && script.pieces[last].empty()) ++last;
      return last;
    }
  }
  return std::nullopt;
}

// The customer heard one whole answer, and pays for what its usage says.
inline const metering::Final& check_whole(Bench& bench, const Script& script) {
  const auto got = heard(bench.body_text);
  CHECK(got.text == plain(script));
  CHECK(got.done == 1);
  CHECK(got.errors == 0);
  CHECK(got.finishes == 1);
  CHECK(got.ids.size() == 1);
  CHECK(got.createds.size() == 1);
  CHECK(got.models == std::vector<std::string>{"m"});
  if (script.role_event) CHECK(got.roles == 1);
  REQUIRE(got.usages == 1);
  const auto& final = final_of(bench);
  CHECK(final.outcome == metering::Outcome::completed);
  CHECK(final.counts.input == got.prompt);
  CHECK(final.counts.output == got.completion);
  return final;
}

}  // namespace trib::test
