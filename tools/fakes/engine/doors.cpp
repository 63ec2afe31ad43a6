// What a request asks of the scripted engine: the paths, the script of a call, the answers without
// tokens.
#include <algorithm>

#include "tools/fakes/engine/server_impl.h"
#include "tools/fakes/engine/text.h"
#include "tools/fakes/engine/tokens.h"

namespace trib::fake {
namespace {

namespace json = boost::json;
constexpr std::size_t kCountersMax = 65536;
constexpr std::size_t kLoggedBody = 65536;

std::string_view parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    const std::size_t equals = pair.find('=');
    if (equals != std::string_view::npos && pair.substr(0, equals) == name) {
      return pair.substr(equals + 1);
    }
  }
  return {};
}

std::string key_of(const Call& call, const Script& script) {
  return script.key.empty() ? call.model + '\n' + call.script : script.key;
}

// Whether the script refuses the way in which the call goes on: "chat", "ids" or "text".
bool refuses(const Call& call, const Script& script) {
  if (!call.goes_on() || script.refuses.empty()) return false;
  const std::string_view way = call.kind == Call::Kind::chat ? "chat" : call.by_ids ? "ids" : "text";
  return script.refuses.find(way) != std::string::npos;
}

}  // namespace

void Server::Impl::note(Conn& conn, const Request& request) {
  conn.record = 0;
  Record* record = log.add();
  if (record == nullptr) return;
  conn.record = record->n;
  record->engine = engines[conn.engine].name;
  record->conn = conn.number;
  record->on_conn = conn.requests;
  record->method = request.method;
  record->path = request.path;
  record->started_ms = (now_us() - started_us) / 1000;
  record->fields = "{";
  for (const auto& [name, value] : request.fields) {
    if (record->fields.size() > 1) record->fields += ',';
    record->fields += '"';
    std::string lower(name);
    for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    escape(lower, record->fields);
    record->fields += "\":\"";
    escape(value, record->fields);
    record->fields += '"';
  }
  record->fields += '}';
  if (options.log_bodies && !request.body.empty()) {
    record->body = "\"";
    escape(request.body.substr(0, kLoggedBody), record->body);
    record->body += '"';
  }
}

Load Server::Impl::load_of(const Engine& engine) const {
  return {options.slots,   engine.running,       static_cast<std::int64_t>(engine.queue.size()),
          options.context, engine.prompt_tokens, engine.tokens};
}

void Server::Impl::route(Conn& conn, const Request& request) {
  if (request.path.substr(0, 6) == "/fake/") return control(conn, request);
  note(conn, request);
  const Engine& engine = engines[conn.engine];
  const std::string_view path = request.path;
  const bool llama = options.dialect == Dialect::llamacpp;
  const bool vllm = options.dialect == Dialect::vllm;
  if (path == "/health") {
    const std::string_view body =
        !llama ? std::string_view{}
        : engine.health == 200
            ? R"({"status":"ok"})"
            : R"({"error":{"code":503,"message":"Loading model","type":"unavailable_error"}})";
    return answer(conn, engine.health, "application/json", body, request.close);
  }
  if (!options.api_key.empty() && request.field("authorization") != "Bearer " + options.api_key) {
    return refuse(conn, {401, "authentication_error", "invalid_api_key", "wrong key"},
                  request.close);
  }
  if (request.method == "POST") {
    if (path == "/v1/chat/completions") return call(conn, Call::Kind::chat, request);
    if (path == "/v1/completions") return call(conn, Call::Kind::completion, request);
    if (path == "/v1/embeddings") return call(conn, Call::Kind::embedding, request);
    if (path == "/apply-template" && llama) return tokens(conn, request);
    if ((path == "/tokenize" || path == "/detokenize") && (llama || vllm)) return tokens(conn, request);
  } else if (request.method == "GET") {
    const std::string& model = options.models.front();
    if (path == "/v1/models") {
      return answer(conn, 200, "application/json",
                    models_body(options.dialect, options.models, options.context, created_s),
                    request.close);
    }
    if (path == "/version" && vllm) {
      return answer(conn, 200, "application/json", R"({"version":"0.10.1"})", request.close);
    }
    if (path == "/metrics" && options.dialect != Dialect::generic) {
      return answer(conn, 200, "text/plain; version=0.0.4",
                    metrics_body(options.dialect, load_of(engine), model), request.close);
    }
    if (path == "/props" && llama) {
      return answer(conn, 200, "application/json", props_body(load_of(engine), model),
                    request.close);
    }
    if (path == "/slots" && llama) {
      return answer(conn, 200, "application/json", slots_body(load_of(engine)), request.close);
    }
  }
  refuse(conn, {404, "not_found_error", "", "no such path"}, request.close);
}

void Server::Impl::control(Conn& conn, const Request& request) {
  conn.record = 0;
  const std::string_view path = request.path;
  Engine& engine = engines[conn.engine];
  if (path == "/fake/log" && request.method == "GET") {
    return answer(conn, 200, "application/x-ndjson",
                  log.lines(parameter(request.query, "path"), parameter(request.query, "model")),
                  request.close);
  }
  if (path == "/fake/state" && request.method == "GET") {
    std::string body = "{\"running\":" + std::to_string(engine.running) +
                       ",\"waiting\":" + std::to_string(engine.queue.size()) +
                       ",\"tokens\":" + std::to_string(engine.tokens) + ",\"connections\":";
    std::int64_t open = 0;
    for (const auto& one : conns) open += one->fd >= 0 && one->engine == conn.engine;
    return answer(conn, 200, "application/json", body + std::to_string(open) + "}", request.close);
  }
  if (request.method != "POST")
    return refuse(conn, {404, "not_found_error", "", "no such path"}, false);
  if (path == "/fake/script") return set_script(conn, request);
  if (path == "/fake/reset") {
    log.reset();
    counters.clear();
    for (Engine& one : engines) {
      one.scripts.clear();
      one.health = 200;
    }
  } else if (path == "/fake/health") {
    const bool well = request.body.empty() || request.body == "200";
    engine.health = well ? 200 : 503;
  } else if (path == "/fake/close-idle") {
    for (const auto& one : conns) {
      if (one->fd >= 0 && one->engine == conn.engine && one.get() != &conn && !one->busy()) {
        drop(*one, false);
      }
    }
  } else {
    return refuse(conn, {404, "not_found_error", "", "no such path"}, request.close);
  }
  answer(conn, 200, "application/json", "{}", request.close);
}

void Server::Impl::set_script(Conn& conn, const Request& request) {
  boost::system::error_code error;
  const json::value root = json::parse(request.body, error);
  const json::object* object = error ? nullptr : root.if_object();
  const json::value* script = object ? object->if_contains("script") : nullptr;
  const json::value* model = object ? object->if_contains("model") : nullptr;
  std::string why = "want {\"model\": name or none, \"script\": {...}}";
  Script trial;
  if (!script || !script->is_object() || (model && !model->is_string()) ||
      !apply(script->get_object(), engines[conn.engine].name, trial, why)) {
    return refuse(conn, {400, "invalid_request_error", "bad_script", why}, request.close);
  }
  const std::string key = model ? std::string(std::string_view(model->get_string())) : "";
  engines[conn.engine].scripts[key] = script->get_object();
  answer(conn, 200, "application/json", "{}", request.close);
}

// A template rendered, text made ids, or ids text; nothing is generated.
void Server::Impl::tokens(Conn& conn, const Request& request) {
  const std::string body = tokens_body(request.path, options.dialect == Dialect::vllm, options.context, request.body);
  if (body.empty()) return refuse(conn, {400, "invalid_request_error", "", "not a conversation, text or ids"}, request.close);
  answer(conn, 200, "application/json", body, request.close);
}

bool Server::Impl::build_script(const Engine& engine, const Call& call, Script& script,
                                std::string& why) {
  script = options.script;
  for (const std::string& key : {std::string{}, call.model}) {
    const auto posted = engine.scripts.find(key);
    if (posted != engine.scripts.end() && !apply(posted->second, engine.name, script, why)) {
      return false;
    }
    if (call.model.empty()) break;
  }
  apply_model(call.model, script);
  if (call.script.empty()) return true;
  boost::system::error_code error;
  const json::value root = json::parse(call.script, error);
  why = "the script is no JSON object";
  if (error || !root.is_object()) return false;
  return apply(root.get_object(), engine.name, script, why);
}

// Whether the fault hits this request: every k-th, or the first so many, of one script.
void Server::Impl::count_fault(const Call& call, Script& script) {
  if (call.goes_on() && script.continued != Ill::none) {
    const bool hit = script.continued_times == 0 || ++counters["continued " + key_of(call, script)] <= script.continued_times;
    if (hit) {
      script.ill = script.continued;
      return;
    }
  }
  if (script.only_fresh && call.goes_on()) script.ill = Ill::none;
  if (script.every <= 1 && script.times == 0) return;
  if (counters.size() >= kCountersMax) counters.clear();
  const std::int64_t n = ++counters[key_of(call, script)];
  const bool hit = n % script.every == 0 && (script.times == 0 || n <= script.times);
  if (hit) return;
  if (script.ill == Ill::slow_first) script.first_us = -1;
  script.ill = Ill::none;
}

// Whether the dialect goes on with the assistant's last message, or a prompt's text; a status in `refusal` other than
// 200 refuses the request.
bool Server::Impl::continues(const Call& call, Refusal& refusal) const {
  refusal.status = 200;
  if (call.kind == Call::Kind::completion) return call.goes_on();
  if (options.dialect == Dialect::generic || call.kind != Call::Kind::chat) return false;
  if (call.continue_final && call.add_generation && options.dialect == Dialect::vllm) {
    refusal = {400, "invalid_request_error", "",
               "Cannot set both `continue_final_message` and `add_generation_prompt` to True."};
    return false;
  }
  if (!call.ends_with_assistant) return false;
  return options.dialect == Dialect::llamacpp || call.continue_final;
}

void Server::Impl::call(Conn& conn, Call::Kind kind, const Request& request) {
  Engine& engine = engines[conn.engine];
  Plan plan;
  std::string why;
  if (!read_call(kind, request.body, plan.call, why)) {
    return refuse(conn, {400, "invalid_request_error", "", why}, request.close);
  }
  bool known = options.any_model;
  for (const std::string& model : options.models) known = known || model == plan.call.model;
  if (!known) {
    return refuse(conn,
                  {404, "not_found_error", "model_not_found",
                   "The model `" + plan.call.model + "` does not exist."},
                  request.close);
  }
  Refusal refusal;
  plan.continues = continues(plan.call, refusal);
  if (refusal.status != 200) return refuse(conn, refusal, request.close);
  if (!build_script(engine, plan.call, plan.script, why)) {
    return refuse(conn, {400, "invalid_request_error", "bad_script", why}, request.close);
  }
  if (refuses(plan.call, plan.script)) return refuse(conn, {400, "invalid_request_error", "", "this way of going on is refused"}, request.close);
  count_fault(plan.call, plan.script);
  plan.dialect = options.dialect;
  plan.flat_errors = options.flat_errors;
  plan.close = request.close;
  plan.context = options.context;
  plan.created_s = created_s;
  plan.id = kind == Call::Kind::chat ? "chatcmpl-" : "cmpl-";
  plan.id += engine.name + '-' + std::to_string(++answers);
  if (kind == Call::Kind::embedding) plan.call.stream = false;
  // vLLM refuses what could pass its window; the others look at the prompt alone.
  const std::int64_t asked = options.dialect == Dialect::vllm ? std::max<std::int64_t>(plan.call.max_tokens, 0) : 0;
  if (plan.call.prompt_tokens + asked > options.context) plan.script.ill = Ill::context_length;
  if (Record* record = log.find(conn.record)) {
    record->model = plan.call.model;
    record->stream = plan.call.stream;
    record->prompt_tokens = plan.call.prompt_tokens;
    record->fault = name_of(plan.script.ill);
  }
  if (engine.running < options.slots) return begin(conn, std::move(plan));
  if (options.refuse_when_full) {
    return refuse(conn, {503, "unavailable_error", "", "all slots are busy"}, request.close);
  }
  conn.queued = std::move(plan);
  engine.queue.emplace_back(conn.slot, conn.generation);
  if (Record* record = log.find(conn.record)) record->outcome = "queued";
}

}  // namespace trib::fake
