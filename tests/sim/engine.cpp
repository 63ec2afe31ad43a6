#include "tests/sim/engine.h"

#include <deque>

namespace trib::sim {
namespace {

enum class Mood {
  whole,
  slow,           // the first token takes its time
  no_done,        // the finish was said, [DONE] is not
  usage_missing,
  usage_negative,
  usage_huge,
  usage_low,
  surplus,        // bytes after the answer
  // From here on the answer cannot be whole.
  busy,
  busy_after,
  overloaded,
  broken,
  refused,
  too_long,
  silent,
  head_only,
  cut,
  reset,
  stuck,
  bad_event,
  error_event,
  done_only,      // [DONE] without a finish
  no_finish,      // a clean end without one
  wrong_type,
  bad_chunk,
  count
};

std::string number_after(std::string_view body, std::string_view key) {
  const auto at = body.find(key);
  std::string out;
  if (at == std::string_view::npos) return out;
  for (std::size_t i = at + key.size(); i < body.size() && body[i] >= '0' && body[i] <= '9'; ++i) out += body[i];
  return out;
}

// "say 12 c3r1 please": how many tokens, and the mark.
bool read_prompt(std::string_view body, std::uint64_t& tokens, std::uint64_t& first, std::string& mark) {
  const std::string count = number_after(body, "say ");
  if (count.empty()) return false;
  tokens = std::stoull(count);
  const auto at = body.find("say ") + 4 + count.size() + 1;
  mark = body.substr(at, body.find(' ', at) - at);
  // Of an answer that is to be gone on with: the last token that was said.
  const auto end = body.find('"', body.find(" please"));
  const auto turn = body.find("\"role\":\"assistant\"");  // of chat; a completion's stands behind its prompt
  const auto text = turn != std::string_view::npos ? body.substr(turn) : body.substr(0, end);
  const auto last = text.rfind(mark + '.');
  if (last != std::string_view::npos) first = std::stoull(std::string(text.substr(last + mark.size() + 1))) + 1;
  const std::string limit = number_after(body, "\"max_tokens\":");
  if (!limit.empty()) tokens = std::min<std::uint64_t>(tokens, first + std::stoull(limit));
  return tokens > first;
}

}  // namespace

// One request under way. It acts step by step, and waits where the gateway does not read.
class Engine::Running final : public net::Operation {
 public:
  Running(Engine& engine, net::Responder& responder, PipeEnd& raw) : engine_(engine), responder_(responder), raw_(raw) {
    ++engine_.running_;
  }
  ~Running() override {
    *here_ = false;
    --engine_.running_;
  }

  void begin(std::string body, bool chat) {
    chat_ = chat;
    stream_ = body.find("\"stream\":true") != std::string::npos;
    std::string mark;
    if (!read_prompt(body, tokens_, first_, mark)) return fail(400, "{\"error\":{\"message\":\"no prompt\",\"type\":\"invalid_request_error\"}}");
    limited_ = std::to_string(tokens_ - first_) == number_after(body, "\"max_tokens\":");
    run_ = engine_.oracle_.run(engine_.terms_.site, mark, body);
    Rng& rng = engine_.rng_;
    const bool trouble = rng.below(1'000'000) < engine_.terms_.trouble_ppm;
    mood_ = trouble ? static_cast<Mood>(1 + rng.below(static_cast<std::uint64_t>(Mood::count) - 1)) : Mood::whole;
    if (trouble) ++engine_.figures_.troubled;
    run_->claims.input = 5 + mark.size() + first_;
    run_->first = first_;
    run_->claims.cached_input = rng.below(3) == 0 ? 3 : 0;
    run_->claims.output = tokens_ - first_;
    run_->lies = mood_ == Mood::usage_missing || mood_ == Mood::usage_negative || mood_ == Mood::usage_huge || mood_ == Mood::usage_low;
    cut_at_ = first_ + rng.below(tokens_ - first_ + 1);
    if (engine_.timeline_.tracing)
      engine_.timeline_.trace(mark + " reaches " + engine_.terms_.site + ": " + std::to_string(tokens_) + " tokens" + (stream_ ? ", streamed" : "") +
                              (trouble ? ", trouble " + std::to_string(static_cast<int>(mood_)) + " at token " + std::to_string(cut_at_) : ""));
    if (!refuse()) stream_ ? plan_stream() : plan_unary();
    next();
  }

  void on_drained() override {
    if (!waiting_) return;
    waiting_ = false;
    next();
  }
  void on_gone(const Fault& fault) override {
    if (run_ != nullptr && engine_.timeline_.tracing) engine_.timeline_.trace(run_->mark + " is given up at " + engine_.terms_.site + ": " + fault.detail);
    *here_ = false;
  }

 private:
  enum class Act { head, body, end, abort, hang, raw, reset, mark_surplus };
  struct Step {
    std::int64_t delay_ns = 0;
    Act act = Act::hang;
    std::string bytes;
    std::uint64_t tokens = 0;  // that are on the wire once it is done
    int status = 200;
    std::string fields;
    std::optional<std::uint64_t> length;
    bool finishes = false;
  };

  std::int64_t some(std::int64_t ns_max) { return static_cast<std::int64_t>(engine_.rng_.below(static_cast<std::uint64_t>(ns_max))); }
  void add(Act act, std::string bytes = {}, std::int64_t delay_ns = 0) {
    Step& step = steps_.emplace_back();
    step.act = act;
    step.bytes = std::move(bytes);
    step.delay_ns = delay_ns;
    step.tokens = said_;
  }
  void head(int status, const char* type, std::optional<std::uint64_t> length, std::int64_t delay_ns, std::string more = {}) {
    add(Act::head, {}, delay_ns);
    steps_.back().status = status;
    http::write_field(steps_.back().fields, "Content-Type", type);
    steps_.back().fields += more;
    steps_.back().length = length;
  }
  void fail(int status, std::string body, std::string more = {}) {
    head(status, "application/json", body.size(), some(5 * ms), std::move(more));
    add(Act::end, std::move(body));
    next();
  }

  // Refusals and silence, the same for streams and bodies. True: that is all.
  bool refuse() {
    const auto answer = [&](int status, const char* why, std::string more = {}) {
      const std::string body = std::string("{\"error\":{\"message\":\"") + why + "\",\"type\":\"engine\",\"param\":null,\"code\":null}}";
      head(status, "application/json", body.size(), some(20 * ms), std::move(more));
      add(Act::end, body);
      return true;
    };
    switch (mood_) {
      case Mood::busy: return answer(429, "every slot is taken");
      case Mood::busy_after: return answer(429, "every slot is taken", "Retry-After: 1\r\n");
      case Mood::overloaded: return answer(503, "loading the model");
      case Mood::broken: return answer(500, "out of memory");
      case Mood::refused: return answer(400, "unknown field");
      case Mood::too_long: return answer(400, "This model's maximum context length is 256 tokens.");
      case Mood::silent: add(Act::hang); return true;
      case Mood::wrong_type:
        head(200, "text/html", std::nullopt, some(20 * ms));
        add(Act::end, "<html>hello</html>");
        return true;
      default: return false;
    }
  }

  std::string text(std::uint64_t token) const { return run_->mark + '.' + std::to_string(token) + ' '; }
  std::string usage() const {
    if (mood_ == Mood::usage_negative) return "{\"prompt_tokens\":5,\"completion_tokens\":-7,\"total_tokens\":-2}";
    auto claims = run_->claims;
    if (mood_ == Mood::usage_huge) claims.output = 1'000'000;
    if (mood_ == Mood::usage_low) claims.output = 1;
    const auto prompt = claims.input + claims.cached_input;
    return "{\"prompt_tokens\":" + std::to_string(prompt) + ",\"completion_tokens\":" + std::to_string(claims.output) +
           ",\"total_tokens\":" + std::to_string(prompt + claims.output) +
           ",\"prompt_tokens_details\":{\"cached_tokens\":" + std::to_string(claims.cached_input) + "}}";
  }
  std::string opening() const {
    return "{\"id\":\"run-" + run_->mark + "-" + engine_.terms_.site + "\",\"object\":\"" +
           (chat_ ? (stream_ ? "chat.completion.chunk" : "chat.completion") : "text_completion") +
           "\",\"created\":1793930000,\"model\":\"engine-model\",";
  }
  std::string event(const std::string& said, const char* finish) const {
    const std::string reason = finish == nullptr ? "null" : '"' + std::string(finish) + '"';
    const std::string piece = chat_ ? (said.empty() ? "\"delta\":{}" : "\"delta\":{\"content\":\"" + said + "\"}") : "\"text\":\"" + said + '"';
    return "data: " + opening() + "\"choices\":[{\"index\":0," + piece + ",\"finish_reason\":" + reason + "}]}\n\n";
  }

  void plan_stream() {
    head(200, "text/event-stream", std::nullopt, mood_ == Mood::slow ? some(1'500 * ms) : some(30 * ms));
    if (chat_) add(Act::body, "data: " + opening() + "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n");
    if (mood_ == Mood::head_only) return add(Act::hang);
    std::string lot;
    for (std::uint64_t i = first_; i < tokens_; ++i) {
      if (i == cut_at_ && go_wrong(lot)) return;
      lot += event(text(i), nullptr);
      if (engine_.rng_.below(30) == 0) lot += ": a comment\n\n";
      said_ = i + 1;
      if (engine_.rng_.below(4) == 0 && i + 1 < tokens_) continue;
      add(Act::body, std::exchange(lot, {}), some(engine_.terms_.token_ns_max));
    }
    if (cut_at_ == tokens_ && go_wrong(lot)) return;
    if (mood_ == Mood::done_only) return add(Act::end, "data: [DONE]\n\n");
    if (mood_ == Mood::no_finish) return add(Act::end);
    std::string end = event("", limited_ ? "length" : "stop");
    if (mood_ != Mood::usage_missing) end += "data: " + opening() + "\"choices\":[],\"usage\":" + usage() + "}\n\n";
    if (mood_ != Mood::no_done) end += "data: [DONE]\n\n";
    if (engine_.rng_.below(2) == 0) {
      add(Act::body, std::move(end), some(engine_.terms_.token_ns_max));
      end.clear();
    }
    finish_with(std::move(end));
  }

  void finish_with(std::string bytes) {
    steps_.back().finishes = true;
    if (mood_ == Mood::surplus) add(Act::mark_surplus, "surplus nobody asked for\r\n\r\n");
    add(Act::end, std::move(bytes));
    steps_.back().finishes = true;
  }

  bool go_wrong(std::string& lot) {
    if (!lot.empty()) add(Act::body, std::exchange(lot, {}), some(engine_.terms_.token_ns_max));
    switch (mood_) {
      case Mood::cut: add(Act::abort, {}, some(5 * ms)); return true;
      case Mood::reset: add(Act::reset, {}, some(5 * ms)); return true;
      case Mood::stuck: add(Act::hang); return true;
      case Mood::bad_event: add(Act::body, "data: {\"id\":\"run\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ghost\n\n"); break;
      case Mood::error_event: add(Act::body, "data: {\"error\":{\"message\":\"the device fell off\",\"type\":\"engine\"}}\n\n"); break;
      case Mood::bad_chunk: add(Act::raw, "zz not a chunk\r\n"); break;
      default: return false;
    }
    add(Act::end, "data: [DONE]\n\n", some(5 * ms));
    return true;
  }

  void plan_unary() {
    std::string all;
    for (std::uint64_t i = 0; i < tokens_; ++i) all += text(i);
    // Of a large body the gateway does not see the whole: what is wrong with its words it cannot tell.
    if (all.size() > 6'000 && (mood_ == Mood::bad_event || mood_ == Mood::done_only || mood_ == Mood::no_finish)) mood_ = Mood::whole;
    std::string body = opening() + "\"choices\":[{\"index\":0," +
                       (chat_ ? "\"message\":{\"role\":\"assistant\",\"content\":\"" + all + "\"}" : "\"text\":\"" + all + '"') +
                       ",\"finish_reason\":" + (mood_ == Mood::done_only || mood_ == Mood::no_finish ? "null" : limited_ ? "\"length\"" : "\"stop\"") + "}]";
    body += mood_ == Mood::usage_missing ? "}" : ",\"usage\":" + usage() + "}";
    if (mood_ == Mood::bad_event) body.resize(body.size() / 2);
    if (mood_ == Mood::error_event) body = "{\"error\":{\"message\":\"the device fell off\",\"type\":\"engine\"}}";
    const bool sized = mood_ != Mood::bad_chunk && engine_.rng_.below(2) == 0;
    const auto work = static_cast<std::int64_t>(tokens_) * some(engine_.terms_.token_ns_max);
    const auto length = sized ? std::optional<std::uint64_t>(body.size()) : std::nullopt;
    head(200, "application/json", length, mood_ == Mood::slow ? some(1'500 * ms) : work);
    if (mood_ == Mood::head_only) return add(Act::hang);
    const std::size_t half = engine_.rng_.below(body.size());
    said_ = tokens_;
    add(Act::body, body.substr(0, half), some(2 * ms));
    switch (mood_) {
      case Mood::cut: return add(Act::abort, {}, some(5 * ms));
      case Mood::reset: return add(Act::reset, {}, some(5 * ms));
      case Mood::stuck: return add(Act::hang);
      case Mood::bad_chunk: add(Act::raw, "zz not a chunk\r\n"); break;
      default: break;
    }
    if (mood_ >= Mood::busy) return add(Act::end, body.substr(half));
    finish_with(body.substr(half));
  }

  void next() {
    if (steps_.empty() || waiting_ || asleep_) return;
    asleep_ = true;
    engine_.life_->after(steps_.front().delay_ns, [this, here = here_] {
      if (*here) act();
    });
  }

  void act() {
    asleep_ = false;
    if (responder_.unsent_bytes() > 4'096) {
      waiting_ = true;
      return;
    }
    const Step step = std::move(steps_.front());
    steps_.pop_front();
    if (run_ != nullptr) {
      engine_.figures_.tokens += step.tokens - run_->tokens;
      run_->tokens = step.tokens;
      run_->finished = run_->finished || step.finishes;
    }
    if (run_ != nullptr && step.finishes && engine_.timeline_.tracing) engine_.timeline_.trace(run_->mark + " is finished by " + engine_.terms_.site);
    switch (step.act) {
      case Act::head:
        responder_.head(step.status, step.fields, step.length);
        break;
      case Act::body:
        if (!step.bytes.empty()) responder_.body(step.bytes, false);
        break;
      case Act::end: {
        PipeEnd* const raw = surplus_.empty() ? nullptr : &raw_;
        const std::string more = surplus_;
        responder_.body(step.bytes, true);  // destroys us
        if (raw == nullptr) return;
        raw->surplus_follows();
        raw->write(more);
        return;
      }
      case Act::abort:
        responder_.body(step.bytes, false);
        responder_.abort();
        return;
      case Act::hang:
        return;
      case Act::raw:
        raw_.write(step.bytes);
        break;
      case Act::reset:
        raw_.reset();
        responder_.abort();  // destroys us
        return;
      case Act::mark_surplus:
        surplus_ = step.bytes;
        break;
    }
    next();
  }

  Engine& engine_;
  net::Responder& responder_;
  PipeEnd& raw_;
  std::shared_ptr<bool> here_ = std::make_shared<bool>(true);
  bool chat_ = true, stream_ = false, limited_ = false, waiting_ = false, asleep_ = false;
  std::uint64_t tokens_ = 0, first_ = 0, said_ = 0, cut_at_ = 0;  // first_: an earlier site said those before it
  Mood mood_ = Mood::whole;
  std::shared_ptr<Run> run_;
  std::deque<Step> steps_;
  std::string surplus_;
};

Engine::Engine(Timeline& timeline, Net& net, Rng& rng, Oracle& oracle, EngineTerms terms)
    : timeline_(timeline), net_(net), rng_(rng), oracle_(oracle), terms_(std::move(terms)) {
  limits_.idle_ms = 20'000;
  limits_.stall_ms = 20'000;
}

Engine::~Engine() { die(); }

void Engine::start() {
  life_ = std::make_shared<Life>(timeline_);
  net_.listen(address(), life_, terms_.weather, [this](std::unique_ptr<PipeEnd> stream, const std::string&) { accept(std::move(stream)); });
}

void Engine::die() {
  if (life_ == nullptr) return;
  life_->end();
  net_.bury(*life_, false);
  sessions_.clear();
  life_ = nullptr;
}

void Engine::accept(std::unique_ptr<PipeEnd> stream) {
  const auto number = next_++;
  Session& made = sessions_[number];
  made.stream = stream.get();
  net::RequestHandler& handler = *this;
  made.session = std::make_unique<net::ClientSession>(std::move(stream), handler, limits_, timeline_.wheel(), [this, number](net::ClientSession&) {
    life_->after(0, [this, number] { sessions_.erase(number); });
  });
  made.session->start();
}

std::unique_ptr<net::Operation> Engine::on_request(net::Request request, net::Responder& responder) {
  if (request.head.method == "GET") {
    probe(request, responder);
    return nullptr;
  }
  ++figures_.requests;
  auto& raw = const_cast<PipeEnd&>(static_cast<const PipeEnd&>(request.stream));
  auto running = std::make_unique<Running>(*this, responder, raw);
  running->begin(std::move(request.body), request.head.path == "/v1/chat/completions");
  return running;
}

std::string Engine::refusal(int, std::string_view why, std::string&) {
  return "{\"error\":{\"message\":\"" + std::string(why) + "\"}}";
}

void Engine::probe(const net::Request& request, net::Responder& responder) {
  const std::string_view path = request.head.path;
  std::string body;
  if (path == "/v1/models") body = "{\"object\":\"list\",\"data\":[{\"id\":\"engine-model\",\"object\":\"model\",\"max_model_len\":256}]}";
  if (path == "/version" && terms_.vllm) body = "{\"version\":\"0.11.0\"}";
  if (path == "/props" && !terms_.vllm) body = "{\"total_slots\":16,\"default_generation_settings\":{\"n_ctx\":256},\"build_info\":\"b1\"}";
  std::string fields;
  http::write_field(fields, "Content-Type", "application/json");
  const int status = body.empty() ? 404 : 200;
  if (body.empty()) body = "{}";
  responder.head(status, fields, body.size());
  responder.body(body, true);
}

}  // namespace trib::sim
