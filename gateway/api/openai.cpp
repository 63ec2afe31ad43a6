// The customers' doors: OpenAI's paths, their refusals, and what leads to an admitted order.
#include <charconv>

#include "gateway/api/doors.h"
#include "gateway/api/holding.h"
#include "gateway/api/recorder.h"

namespace trib::api {
namespace {

constexpr std::uint64_t template_tokens_max = 1024;  // of a chat template, beyond the bytes of the body
constexpr std::size_t idempotency_key_max = 255;
constexpr std::size_t model_name_shown_max = 200;

std::uint32_t context_of(const void* who, std::string_view model) {
  const auto& contexts = static_cast<const Live*>(who)->contexts;
  const auto found = contexts.find(std::string(model));
  return found == contexts.end() ? 0 : found->second;
}

bool json_type(std::string_view content_type) {
  const auto type = content_type.substr(0, content_type.find(';'));
  return type.empty() || http::iequals(type.substr(0, type.find_last_not_of(' ') + 1), "application/json");
}

std::optional<config::Privacy> parse_privacy(std::string_view text) {
  if (text == "any") return config::Privacy::any;
  if (text == "dc") return config::Privacy::dc;
  if (text == "tee") return config::Privacy::tee;
  return std::nullopt;
}

std::string retry_after(std::int64_t seconds) {
  std::string out;
  http::write_field(out, "Retry-After", static_cast<std::uint64_t>(std::max<std::int64_t>(1, seconds)));
  return out;
}

// The ceiling a request sets on the price of any token it may be billed; why it is refused, if it is.
struct CeilingRefusal {
  std::string why;
  std::string_view code;
};
constexpr std::string_view max_price = "x-tributary-max-price";

std::optional<CeilingRefusal> above_ceiling(const http::RequestHead& head, const ledger::PriceVersion& price, bool embeddings) {
  std::optional<money::Price> ceiling;
  for (const auto& field : head.fields) {
    if (!http::iequals(field.name, max_price)) continue;
    ceiling = money::Price::parse_per_million(field.value);
    if (!ceiling)  // empty too: a ceiling that was meant must not be dropped
      return CeilingRefusal{"`x-tributary-max-price` must be a decimal number of CNY per 1M tokens with at most 6 decimals, such as 2.50.", {}};
  }
  if (!ceiling) return std::nullopt;
  auto dearest = std::max({price.input, price.cached_input, price.cache_write});
  if (!embeddings) dearest = std::max({dearest, price.output, price.reasoning});
  if (dearest <= *ceiling) return std::nullopt;
  return CeilingRefusal{"No site serves this model within `x-tributary-max-price`: its dearest token costs " +
                            dearest.per_million_text() + " CNY per 1M. Raise the ceiling or ask for another model.",
                        "no_offer_within_price"};
}

// A name is repeated to show what was read, not at any length.
std::string no_such_model(std::string_view name) {
  std::size_t end = std::min(name.size(), model_name_shown_max);
  while (end < name.size() && end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) --end;
  return "The model `" + std::string(name.substr(0, end)) + (end < name.size() ? "..." : "") +
         "` does not exist. GET /v1/models lists those that do.";
}

}  // namespace

net::SessionLimits session_limits(const config::GatewayConfig& config) {
  net::SessionLimits out;
  out.head = {config.limits.head_bytes, config.limits.headers};
  out.body_bytes = config.limits.body_bytes;
  out.head_ms = config.deadlines.head_ms;
  out.body_ms = config.deadlines.body_ms;
  out.idle_ms = config.deadlines.idle_ms;
  out.stall_ms = config.deadlines.stall_ms;
  return out;
}

std::string_view bearer(std::string_view authorization) {
  constexpr std::string_view scheme = "Bearer ";
  if (authorization.size() <= scheme.size() || !http::iequals(authorization.substr(0, scheme.size()), scheme)) return {};
  auto token = authorization.substr(scheme.size());
  while (!token.empty() && token.front() == ' ') token.remove_prefix(1);
  return token;
}

void Api::refuse(net::Responder& responder, int status, std::string_view message, std::string_view param,
                 std::string_view code, std::string_view extra_fields) {
  services_.registry.counter("tributary_refusals_total", "Requests refused before they were admitted, by status.",
                             {{"status", std::to_string(status)}}).add();
  std::string fields;
  http::write_field(fields, "Content-Type", "application/json");
  http::write_field(fields, "x-request-id", mint_request_id(services_.clock.wall_ms(), shard_, world_.rng()).text());
  fields += extra_fields;
  const std::string text = exchange::error_json(message, exchange::error_type(status), param, code);
  responder.head(status, fields, text.size());
  responder.body(text, true);
}

std::string Api::refusal(int status, std::string_view why, std::string& fields) {
  services_.registry.counter("tributary_refusals_total", "Requests refused before they were admitted, by status.",
                             {{"status", std::to_string(status)}}).add();
  http::write_field(fields, "x-request-id", mint_request_id(services_.clock.wall_ms(), shard_, world_.rng()).text());
  return exchange::error_json(why, exchange::error_type(status), {}, {});
}

std::unique_ptr<net::Operation> Api::on_request(net::Request request, net::Responder& responder) {
  const std::string_view path = request.head.path;
  const bool get = request.head.method == "GET" || request.head.method == "HEAD";
  const auto not_allowed = [&](std::string_view allowed) -> std::unique_ptr<net::Operation> {
    std::string fields;
    http::write_field(fields, "Allow", allowed);
    refuse(responder, 405, "This path takes " + std::string(allowed) + " only.", {}, "method_not_allowed", fields);
    return nullptr;
  };
  for (const auto operation : {engines::Operation::chat, engines::Operation::completions, engines::Operation::embeddings}) {
    if (path != engines::engine_path(operation)) continue;
    if (request.head.method != "POST") return not_allowed("POST");
    std::string body = std::move(request.body);
    return customer(request, responder, operation, std::move(body));
  }
  if (path == "/v1/models" || path.starts_with("/v1/models/")) {
    if (!get) return not_allowed("GET");
    models(request, responder, path.size() > 11 ? path.substr(11) : std::string_view{});
    return nullptr;
  }
  if (path.starts_with("/admin/v1/")) {
    std::string body = std::move(request.body);
    return admin(request, responder, std::move(body));
  }
  const auto text = [&](int status, std::string_view type, std::string_view content) {
    std::string fields;
    http::write_field(fields, "Content-Type", type);
    responder.head(status, fields, content.size());
    responder.body(content, true);
  };
  if (path == "/metrics" || path == "/healthz" || path == "/readyz") {
    if (!get) return not_allowed("GET");
    if (path == "/metrics") {
      text(200, "text/plain; version=0.0.4; charset=utf-8", services_.registry.render());
    } else if (path == "/healthz") {
      text(200, "text/plain; charset=utf-8", "ok\n");
    } else {
      const auto readiness = services_.readiness.load();
      const std::string reload = services_.reload_state ? services_.reload_state() : "";
      if (readiness == Readiness::ready) {
        text(200, "text/plain; charset=utf-8", reload.empty() ? "ready\n" : "ready; the last reload was refused: " + reload + "\n");
      } else {
        text(503, "text/plain; charset=utf-8", std::string(name(readiness)) + '\n');
      }
    }
    return nullptr;
  }
  refuse(responder, 404, "There is nothing at this path. The API begins at /v1.", {}, "unknown_url");
  return nullptr;
}

std::shared_ptr<tenancy::Tenant> Api::authenticate(const Live& live, const net::Request& request, Sha256& key) {
  const std::string_view token = bearer(request.head.find("Authorization"));
  if (token.empty()) return nullptr;
  key = sha256(token);
  return live.tenants->find(key);
}

void Api::models(const net::Request& request, net::Responder& responder, std::string_view one) {
  const auto live = services_.live.load();
  Sha256 key;
  if (authenticate(*live, request, key) == nullptr) {
    refuse(responder, 401, "The API key is missing or unknown. Send it as `Authorization: Bearer KEY`.", {}, "invalid_api_key");
    return;
  }
  const auto book = services_.book();
  const std::int64_t now_ms = services_.clock.wall_ms();
  std::string list;
  for (const auto& model : live->config->models) {
    const auto* const price = book->price_at(model.id, now_ms);
    if (price == nullptr || (!one.empty() && model.id != one)) continue;
    if (!list.empty()) list += ',';
    list += "{\"id\":";
    json::quote(model.id, list);
    list += ",\"object\":\"model\",\"created\":" + std::to_string(price->from_ms / 1000) +
            ",\"owned_by\":\"tributary\",\"context_length\":" + std::to_string(model.context) + "}";
  }
  if (!one.empty() && list.empty()) {
    refuse(responder, 404, no_such_model(one), "model", "model_not_found");
    return;
  }
  const std::string text = one.empty() ? "{\"object\":\"list\",\"data\":[" + list + "]}" : list;
  std::string fields;
  http::write_field(fields, "Content-Type", "application/json");
  http::write_field(fields, "x-request-id", mint_request_id(now_ms, shard_, world_.rng()).text());
  responder.head(200, fields, text.size());
  responder.body(text, true);
}

std::string_view name(Readiness readiness) {
  switch (readiness) {
    case Readiness::starting: return "starting";
    case Readiness::ready: return "ready";
    case Readiness::behind: return "behind";
    case Readiness::draining: return "draining";
  }
  return "starting";
}

std::unique_ptr<net::Operation> Api::customer(const net::Request& request, net::Responder& responder,
                                              engines::Operation operation, std::string body) {
  const auto live = services_.live.load();
  exchange::Order order;
  Sha256 key;
  order.tenant = authenticate(*live, request, key);
  if (order.tenant == nullptr) {
    refuse(responder, 401, "The API key is missing or unknown. Send it as `Authorization: Bearer KEY`.", {}, "invalid_api_key");
    return nullptr;
  }
  if (const auto readiness = services_.readiness.load(); readiness != Readiness::ready) {
    const char* const why = readiness == Readiness::starting ? "The gateway is starting. Try again."
                            : readiness == Readiness::behind ? "The gateway's books are behind. Try again in a while."
                                                             : "The gateway is going down for a moment. Try again.";
    const std::string code = readiness == Readiness::behind ? "ledger_behind" : std::string(name(readiness));
    refuse(responder, 503, why, {}, code, retry_after(readiness == Readiness::starting ? 1 : 5));
    return nullptr;
  }
  if (!json_type(request.head.find("Content-Type"))) {
    refuse(responder, 415, "Send the body as `Content-Type: application/json`.", {}, "unsupported_media_type");
    return nullptr;
  }
  if (const auto refusal = engines::read_request(body, operation, context_of, live.get(), order.facts)) {
    refuse(responder, 400, refusal->message, refusal->param, refusal->code);
    return nullptr;
  }
  order.book = services_.book();
  const std::int64_t wall_ms = services_.clock.wall_ms();
  order.context = context_of(live.get(), order.facts.model);
  order.price = order.book->price_at(order.facts.model, wall_ms);
  if (order.context == 0 || order.price == nullptr) {
    refuse(responder, 404, no_such_model(order.facts.model), "model", "model_not_found");
    return nullptr;
  }
  // The price is the model's, the same at every site, and pinned here: no choice can pass the ceiling later.
  if (const auto refusal = above_ceiling(request.head, *order.price, operation == engines::Operation::embeddings)) {
    refuse(responder, 400, refusal->why, max_price, refusal->code);
    return nullptr;
  }
  order.privacy = order.tenant->privacy();
  if (const auto asked = request.head.find("x-tributary-privacy"); !asked.empty()) {
    const auto tier = parse_privacy(asked);
    if (!tier) {
      refuse(responder, 400, "`x-tributary-privacy` must be any, dc or tee.", "x-tributary-privacy");
      return nullptr;
    }
    if (*tier < order.privacy) {
      refuse(responder, 403, "This key's privacy tier is stricter than the one asked for.", "x-tributary-privacy",
             "privacy_tier");
      return nullptr;
    }
    order.privacy = *tier;
  }

  order.terms = live->terms;
  order.body = std::move(body);
  auto& admit = order.admit;
  admit.id = mint_request_id(wall_ms, shard_, world_.rng());
  admit.wall_ms = wall_ms;
  admit.tenant = order.tenant->id();
  admit.model = order.facts.model;
  admit.key_hash = key;
  admit.body_hash = sha256(order.body);
  admit.price_version = order.price->version;
  admit.book_revision = order.book->revision();
  admit.operation = engines::name(operation);
  const std::uint64_t input_max = order.body.size() + template_tokens_max;
  const std::uint64_t output_max =
      operation == engines::Operation::embeddings
          ? 0
          : static_cast<std::uint64_t>(order.facts.tokens_max.value_or(order.context)) * order.facts.n;
  order.input_max = operation == engines::Operation::embeddings ? input_max : std::min<std::uint64_t>(input_max, order.context);
  order.output_max = output_max;
  admit.hold = hold_of(order, key);

  const std::string_view idempotency = request.head.find("Idempotency-Key");
  if (!idempotency.empty()) {
    if (idempotency.size() > idempotency_key_max) {
      refuse(responder, 400, "`Idempotency-Key` may have at most 255 bytes.", "Idempotency-Key");
      return nullptr;
    }
    admit.idempotency = to_hex(sha256(admit.tenant + "\n", idempotency));
    const auto verdict = services_.idempotency.begin(admit.idempotency, admit.body_hash, admit.id, wall_ms);
    using Found = IdempotencyTable::Found;
    if (verdict.found == Found::replay) {
      std::string fields;
      http::write_field(fields, "Content-Type", verdict.answer->content_type);
      http::write_field(fields, "x-request-id", verdict.earlier.text());
      http::write_field(fields, "x-tributary-replayed", "true");
      responder.head(verdict.answer->status, fields, verdict.answer->body.size());
      responder.body(verdict.answer->body, true);
      return nullptr;
    }
    const std::string earlier = verdict.earlier.text();
    if (verdict.found == Found::full) {
      refuse(responder, 503, "No more idempotency keys can be kept at the moment. Try again later.", {}, "no_capacity", retry_after(60));
      return nullptr;
    }
    if (verdict.found != Found::fresh) {
      const char* const why = verdict.found == Found::running      ? "is still being answered; wait for it"
                              : verdict.found == Found::other_body ? "had another body; use a new key for a new request"
                                                                   : "was answered, but its answer is not kept; use a new key to ask again";
      refuse(responder, 409, "The request " + earlier + " with this Idempotency-Key " + why + ".", "Idempotency-Key",
             verdict.found == Found::running ? "idempotency_running"
             : verdict.found == Found::other_body ? "idempotency_mismatch" : "idempotency_gone");
      return nullptr;
    }
  }

  const std::int64_t now_ns = services_.clock.mono_ns();
  auto admission = order.tenant->admit({.now_ns = now_ns,
                                        .wall_ms = wall_ms,
                                        .id = admit.id,
                                        .key = key,
                                        .tokens = order.facts.text_pieces + output_max,
                                        .hold = admit.hold,
                                        .deadline_ns = now_ns + (order.terms->deadlines.total_ms + tenancy::hold_margin_ms) * 1'000'000});
  if (admission.refused != tenancy::Refused::none) {
    if (!admit.idempotency.empty()) services_.idempotency.release(admit.idempotency);
    switch (admission.refused) {
      case tenancy::Refused::balance:
        refuse(responder, 402, "The balance does not cover the most this request can cost (" + admit.hold.text() +
                                   " CNY). Top up, or lower `max_tokens`.", {}, "insufficient_quota");
        break;
      case tenancy::Refused::budget:
        refuse(responder, 429, budget_message(admission.budget, admit.hold), {}, "budget_exceeded", retry_after(admission.retry_after_s));
        break;
      case tenancy::Refused::requests_per_minute:
        refuse(responder, 429, "The limit of requests per minute is reached. Try again after the time in Retry-After.",
               {}, "rate_limit_exceeded", retry_after(admission.retry_after_s));
        break;
      case tenancy::Refused::tokens_per_minute:
        refuse(responder, 429, "The limit of tokens per minute is reached. Try again after the time in Retry-After.", {},
               "rate_limit_exceeded", retry_after(admission.retry_after_s));
        break;
      default:
        refuse(responder, 429, "Too many requests of this tenant are in flight. Try again when one has ended.", {},
               "rate_limit_exceeded", retry_after(admission.retry_after_s));
        break;
    }
    return nullptr;
  }
  order.hold = std::move(admission.hold);

  if (admit.idempotency.empty()) {
    auto exchange = std::make_unique<exchange::Exchange>(world_, std::move(order), responder);
    exchange->start();
    return exchange;
  }
  auto recorded = std::make_unique<Recorded>(services_.idempotency, admit.idempotency,
                                             live->config->gateway.limits.idempotent_answer_bytes, responder);
  order.concluded = [tap = recorded.get()](const metering::Final& final, money::Amount charge) {
    const bool whole = final.outcome == metering::Outcome::completed;
    tap->concluded(whole || !charge.zero(), whole);
  };
  recorded->own(std::make_unique<exchange::Exchange>(world_, std::move(order), recorded->responder()));
  recorded->inner().start();
  return recorded;
}

}  // namespace trib::api
