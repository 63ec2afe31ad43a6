// One engine is asked to go on with an answer that broke elsewhere: the ways that its record and the
// request allow, the best first, and what is asked for each of them. Some ways need small questions before
// the request itself (the prompt as the engine's template renders it, the ids of the text so far); a
// question that is not answered as it should be, and a request that is refused, lead to the next way, never
// to a guess. Sans-I/O. Answers are untrusted. One owner, one thread.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "backends/engines/request.h"
#include "gateway/fleet/fleet.h"

namespace trib::engines {

inline constexpr std::int64_t question_ms = 2'000;  // that an engine has for each

class GoingOn {
 public:
  struct Step {
    std::string path, body;  // to POST
    bool question = false;   // its answer is for `answered`; else this is the request itself
  };

  // `customer_body` and its `facts` outlive this. `ways`: those that may be tried (fleet::Offer::ways_left).
  // `delivered_text`, `tokens_left`: as continue_body has them.
  GoingOn(std::string_view customer_body, const RequestFacts& facts, std::string delivered_text, std::uint32_t tokens_left,
          std::string engine_model, const fleet::Capabilities& can, fleet::Ways ways);

  // The way that is being tried; none: no way is left, and step() may not be called.
  fleet::ContinueMode way() const { return way_; }
  // What to ask now. The same until `answered` or `refused` is called.
  Step step() const;
  void answered(int status, std::string_view body);  // of a question; status 0: no answer came
  void refused();                                    // the way was: the request itself, or a door that is not there
  // The most that an answer to a question may hold.
  std::size_t answer_bytes_max() const { return (64u << 10) + 16 * (customer_body_.size() + text_.size()); }
  // The answer is a completion's and is to be told as a chat's (chat_event).
  bool as_chat() const;

 private:
  enum class Ask : std::uint8_t { render, text_ids, last_prompt_id, joined_ids, prompt_text, prompt_again, request };
  bool fits(fleet::ContinueMode mode) const;
  void take_next_way();
  void prepare();
  bool take(std::string_view body);
  std::string render_body() const;
  std::string tokenize_body(std::string_view text, bool is_prompt) const;
  std::string detokenize_body(std::string_view ids) const;
  std::string completion_body(std::string_view prompt_json, std::uint32_t limit, bool no_special_tokens) const;
  std::uint32_t limit_beside(std::uint64_t prompt_ids) const;  // 0: there is no room, or how much is not known

  struct Ids {
    std::string list;  // "1,2,3"
    std::uint64_t count = 0;
  };
  static bool read_ids(std::string_view body, Ids& out);
  static bool read_text(std::string_view body, std::string_view key, std::string& out);

  const std::string_view customer_body_;
  const RequestFacts& facts_;
  const std::string text_;
  const std::uint32_t tokens_left_;
  const std::string engine_model_;
  const fleet::Capabilities can_;
  fleet::Ways ways_;
  bool chat_, plain_ = false;  // plain_: a conversation of text alone, which ids or text can stand for
  fleet::ContinueMode way_ = fleet::ContinueMode::none;
  Ask ask_ = Ask::request;
  Step step_;
  std::string rendered_;  // the prompt as text
  Ids prompt_, said_;     // as ids
  std::string before_;    // the text of the prompt's last id
};

// One event of a completion's stream as a chat's: {"choices":[{"delta":{"content":…}}]}. False: it is not
// such an event, and `out` is as it was.
bool chat_event(std::string_view completion_event, std::string& out);

}  // namespace trib::engines
