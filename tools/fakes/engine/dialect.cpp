#include "tools/fakes/engine/dialect.h"

#include <algorithm>

#include "tools/fakes/engine/text.h"

namespace trib::fake {
namespace {

void member(std::string_view name, std::int64_t value, std::string& out) {
  out += '"';
  out += name;
  out += "\":";
  append_number(value, out);
}

void member(std::string_view name, std::string_view value, std::string& out) {
  out += '"';
  out += name;
  out += "\":\"";
  escape(value, out);
  out += '"';
}

constexpr std::string_view kBuild = "b6000-fake";

}  // namespace

bool dialect_of(std::string_view name, Dialect& to) {
  if (name == "generic")
    to = Dialect::generic;
  else if (name == "vllm")
    to = Dialect::vllm;
  else if (name == "llamacpp")
    to = Dialect::llamacpp;
  else
    return false;
  return true;
}

Shape::Shape(Dialect dialect, Call::Kind kind, std::string_view id, std::int64_t created_s,
             std::string_view model)
    : dialect_(dialect), chat_(kind == Call::Kind::chat), id_(id), created_s_(created_s) {
  escape(model, model_);
  open(chat_ ? "chat.completion.chunk" : "text_completion", before_);
  const bool llama = dialect_ == Dialect::llamacpp;
  if (chat_) {
    before_ += llama ? R"({"finish_reason":null,"index":0,"delta":{"content":")"
                     : R"({"index":0,"delta":{"content":")";
    after_ = llama ? R"("}})" : R"("},"logprobs":null,"finish_reason":null})";
  } else {
    before_ += R"({"index":0,"text":")";
    after_ = R"(","logprobs":null,"finish_reason":null})";
  }
  close(after_);
}

void Shape::open(std::string_view object, std::string& out) const {
  if (dialect_ != Dialect::llamacpp) {
    out += '{';
    member("id", id_, out);
    out += ',';
    member("object", object, out);
    out += ',';
    member("created", created_s_, out);
    out += ",\"model\":\"";
    out += model_;
    out += "\",\"choices\":[";
  } else {
    out += "{\"choices\":[";
  }
}

void Shape::close(std::string& out) const {
  out += ']';
  if (dialect_ == Dialect::llamacpp) {
    out += ',';
    member("created", created_s_, out);
    out += ",\"model\":\"";
    out += model_;
    out += "\",";
    member("system_fingerprint", kBuild, out);
    out += ',';
    member("object", std::string_view(chat_ ? "chat.completion.chunk" : "text_completion"), out);
    out += ',';
    member("id", id_, out);
  }
  out += '}';
}

void Shape::role(std::string& out) const {
  open("chat.completion.chunk", out);
  out +=
      dialect_ == Dialect::llamacpp
          ? R"({"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}})"
          : R"({"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null})";
  close(out);
}

void Shape::delta(std::string_view text, std::string& out) const {
  out += before_;
  escape(text, out);
  out += after_;
}

void Shape::finish(std::string_view reason, std::string& out) const {
  open(chat_ ? "chat.completion.chunk" : "text_completion", out);
  if (chat_) {
    out += dialect_ == Dialect::vllm ? R"({"index":0,"delta":{"content":""},"logprobs":null,)"
                                     : R"({"index":0,"delta":{},)";
  } else {
    out += R"({"index":0,"text":"","logprobs":null,)";
  }
  member("finish_reason", reason, out);
  if (dialect_ == Dialect::vllm) out += ",\"stop_reason\":null";
  out += '}';
  close(out);
}

void Shape::usage(std::string_view usage_text, std::string& out) const {
  open(chat_ ? "chat.completion.chunk" : "text_completion", out);
  close(out);
  out.pop_back();
  if (!usage_text.empty()) {
    out += ",\"usage\":";
    out += usage_text;
  }
  if (dialect_ == Dialect::llamacpp) {
    out += R"(,"timings":{"prompt_n":1,"prompt_ms":1.5,"predicted_n":1,"predicted_ms":2.5})";
  }
  out += '}';
}

void Shape::whole(std::string_view text, std::string_view reason, std::string_view usage_text,
                  std::string& out) const {
  out += '{';
  member("id", id_, out);
  out += ',';
  member("object", std::string_view(chat_ ? "chat.completion" : "text_completion"), out);
  out += ',';
  member("created", created_s_, out);
  out += ",\"model\":\"";
  out += model_;
  out += "\",\"choices\":[{\"index\":0,";
  out += chat_ ? R"("message":{"role":"assistant","content":")" : R"("text":")";
  escape(text, out);
  out += chat_ ? "\"}," : "\",";
  out += "\"logprobs\":null,";
  member("finish_reason", reason, out);
  if (dialect_ == Dialect::vllm) out += ",\"stop_reason\":null";
  out += "}]";
  if (!usage_text.empty()) {
    out += ",\"usage\":";
    out += usage_text;
  }
  if (dialect_ == Dialect::llamacpp) {
    out += ',';
    member("system_fingerprint", kBuild, out);
    out += R"(,"timings":{"prompt_n":1,"prompt_ms":1.5,"predicted_n":1,"predicted_ms":2.5})";
  }
  out += '}';
}

std::string usage_text(Dialect dialect, const Usage& usage, const Script& script) {
  std::int64_t prompt = usage.prompt;
  std::int64_t completion = usage.completion;
  switch (script.ill) {
    case Ill::usage_missing:
      return {};
    case Ill::usage_null:
      return "null";
    case Ill::usage_text:
      return R"({"prompt_tokens":"many","completion_tokens":"few","total_tokens":"some"})";
    case Ill::usage_wrong:
      completion += script.usage_delta;
      break;
    case Ill::usage_negative:
      completion = -completion - 1;
      break;
    case Ill::usage_huge:
      prompt = 4'000'000'000'000'000'000;
      completion = 4'000'000'000'000'000'000;
      break;
    case Ill::usage_zero:
      prompt = completion = 0;
      break;
    default:
      break;
  }
  std::string out = "{";
  member("prompt_tokens", prompt, out);
  out += ',';
  member("completion_tokens", completion, out);
  out += ',';
  member("total_tokens", prompt + completion, out);
  if (usage.cached > 0) {
    out += ",\"prompt_tokens_details\":{";
    member("cached_tokens", usage.cached, out);
    out += '}';
  } else if (dialect == Dialect::vllm) {
    out += ",\"prompt_tokens_details\":null";
  }
  out += '}';
  return out;
}

std::string error_body(Dialect dialect, bool flat, const Refusal& refusal) {
  std::string out;
  if (flat) {  // vLLM up to 0.10.0
    out += R"({"object":"error",)";
    member("message", refusal.message, out);
    out += R"(,"type":"BadRequestError","param":null,)";
    member("code", static_cast<std::int64_t>(refusal.status), out);
    return out + '}';
  }
  out += "{\"error\":{";
  if (dialect != Dialect::generic) {
    member("code", static_cast<std::int64_t>(refusal.status), out);
    out += ',';
  }
  member("message", refusal.message, out);
  out += ',';
  const bool length = refusal.n_ctx >= 0;
  if (dialect == Dialect::vllm && refusal.status == 400) {
    member("type", std::string_view("BadRequestError"), out);
    out += ",\"param\":null";
  } else if (dialect == Dialect::llamacpp && length) {
    member("type", std::string_view("exceed_context_size_error"), out);
    out += ',';
    member("n_prompt_tokens", refusal.n_prompt, out);
    out += ',';
    member("n_ctx", refusal.n_ctx, out);
  } else {
    member("type", refusal.type, out);
  }
  if (dialect == Dialect::generic) {
    out += ",\"param\":null,\"code\":";
    if (refusal.code.empty()) {
      out += "null";
    } else {
      out += '"';
      out += refusal.code;
      out += '"';
    }
  }
  return out + "}}";
}

std::string models_body(Dialect dialect, const std::vector<std::string>& models,
                        std::int64_t context, std::int64_t created_s) {
  std::string out = R"({"object":"list","data":[)";
  for (const std::string& model : models) {
    if (out.back() == '}') out += ',';
    out += '{';
    member("id", model, out);
    out += R"(,"object":"model",)";
    member("created", created_s, out);
    if (dialect == Dialect::vllm) {
      out += R"(,"owned_by":"vllm",)";
      member("root", model, out);
      out += R"(,"parent":null,)";
      member("max_model_len", context, out);
    } else if (dialect == Dialect::llamacpp) {
      out += R"(,"owned_by":"llamacpp","meta":{)";
      member("n_ctx_train", context, out);
      out += '}';
    } else {
      out += R"(,"owned_by":"fake")";
    }
    out += '}';
  }
  return out + "]}";
}

std::string embeddings_body(const Call& call, const Script& script) {
  std::string out = R"({"object":"list","data":[)";
  for (std::int64_t i = 0; i < std::min<std::int64_t>(call.inputs, 4096); ++i) {
    if (i > 0) out += ',';
    out += R"({"object":"embedding",)";
    member("index", i, out);
    out += ",\"embedding\":[0.25,-0.5,0.125,";
    append_number(i, out);
    out += "]}";
  }
  out += "],";
  member("model", call.model, out);
  const std::string usage = usage_text(Dialect::generic, {call.prompt_tokens, 0, 0}, script);
  if (!usage.empty()) out += ",\"usage\":" + usage;
  return out + '}';
}

std::string props_body(const Load& load, std::string_view model) {
  std::string out = R"({"default_generation_settings":{)";
  member("n_ctx", load.context, out);
  out += "},";
  member("total_slots", load.slots, out);
  out += ',';
  member("model_alias", model, out);
  out += R"(,"model_path":"fake.gguf","chat_template":"","is_sleeping":false,)";
  member("build_info", kBuild, out);
  return out + '}';
}

std::string slots_body(const Load& load) {
  std::string out = "[";
  for (std::int64_t i = 0; i < std::min<std::int64_t>(load.slots, 1024); ++i) {
    if (i > 0) out += ',';
    out += '{';
    member("id", i, out);
    out += ',';
    member("n_ctx", load.context, out);
    out += i < load.running ? R"(,"is_processing":true})" : R"(,"is_processing":false})";
  }
  return out + ']';
}

std::string metrics_body(Dialect dialect, const Load& load, std::string_view model) {
  std::string out;
  const bool vllm = dialect == Dialect::vllm;
  const std::string label =
      vllm ? "{engine=\"0\",model_name=\"" + std::string(model) + "\"} " : " ";
  const auto line = [&](std::string_view type, std::string_view name, std::int64_t value) {
    out += "# TYPE ";
    out += name;
    out += ' ';
    out += type;
    out += '\n';
    out += name;
    out += label;
    append_number(value, out);
    out += '\n';
  };
  if (vllm) {
    line("gauge", "vllm:num_requests_running", load.running);
    line("gauge", "vllm:num_requests_waiting", load.waiting);
    line("gauge", "vllm:kv_cache_usage_perc", 0);
    line("counter", "vllm:prompt_tokens_total", load.prompt_tokens);
    line("counter", "vllm:generation_tokens_total", load.tokens);
  } else {
    line("gauge", "llamacpp:requests_processing", load.running);
    line("gauge", "llamacpp:requests_deferred", load.waiting);
    line("counter", "llamacpp:prompt_tokens_total", load.prompt_tokens);
    line("counter", "llamacpp:tokens_predicted_total", load.tokens);
  }
  return out;
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 413:
      return "Content Too Large";
    case 422:
      return "Unprocessable Entity";
    case 429:
      return "Too Many Requests";
    case 500:
      return "Internal Server Error";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Status";
  }
}

}  // namespace trib::fake
