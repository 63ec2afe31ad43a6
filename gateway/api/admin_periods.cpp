// Months and statements: where they stand, what the next step asks for, and the step.
#include "gateway/api/admin.h"
#include "gateway/api/admin_answer.h"
#include "gateway/settlement/settlement.h"

namespace trib::api {
namespace {

namespace bj = boost::json;

bj::value time_or_null(std::int64_t wall_ms) { return wall_ms == 0 ? bj::value(nullptr) : bj::value(ledger::time_text(wall_ms)); }

bj::object period_json(const ledger::PeriodRow& row) {
  return {{"id", ledger::period_text(row.period)},     {"state", name(row.state)},
          {"grace_at", time_or_null(row.grace_ms)},    {"reconciled_at", time_or_null(row.reconciled_ms)},
          {"closed_at", time_or_null(row.closed_ms)},  {"stated_at", time_or_null(row.stated_ms)},
          {"paid_at", time_or_null(row.paid_ms)},      {"seal", text_or_null(row.seal)},
          {"signature", text_or_null(row.signature)}};
}

bj::array items_json(const settlement::Closing& closing) {
  bj::array out;
  for (const auto& item : closing.items) out.push_back(bj::object{{"item", item.name}, {"fine", item.fine}, {"why", text_or_null(item.why)}});
  return out;
}

bj::object statement_json(const settlement::Statement& one) {
  bj::object out{{"no", one.no},
                 {"version", one.version},
                 {"period", ledger::period_text(one.period)},
                 {"party", one.party},
                 {"contract", text_or_null(one.contract)},
                 {"contract_version", one.contract_version},
                 {"currency", "CNY"}};
  for (const auto& amount : settlement::statement_amounts) out[amount.name] = (one.*(amount.amount)).text();
  out["requests"] = one.requests;
  out["tokens_in"] = one.tokens_in;
  out["tokens_out"] = one.tokens_out;
  out["gpu_ms"] = nullptr;  // nobody measures it yet
  out["batch_from"] = one.batch_from;
  out["batch_to"] = one.batch_to;
  out["seal_hash"] = one.seal_hash;
  return out;
}

}  // namespace

// Every month with postings or steps, the current one last.
Answer Admin::periods() {
  while (parts_.ledger.post_once()) {
  }
  const auto now = ledger::period_of(parts_.clock.wall_ms());
  std::map<ledger::Period, ledger::PeriodRow> rows;
  std::string why;
  const auto reader = parts_.ledger.reader(why);
  if (reader == nullptr) return unreadable(why);
  reader->batches([&](const ledger::BatchRow& batch) {
    for (auto period = batch.period_from; period != 0 && period <= batch.period_to; period = ledger::next_period(period)) rows[period].period = period;
    return true;
  });
  for (const auto& row : reader->periods()) rows[row.period] = row;
  rows[now].period = now;
  bj::array out;
  for (const auto& [period, row] : rows) out.push_back(period_json(row));
  return ok(out);
}

Answer Admin::period(const std::string& text, bool close) {
  const auto period = ledger::parse_period(text);
  if (!period) return error(400, "A period is written as YYYY-MM.");
  while (parts_.ledger.post_once()) {
  }
  const settlement::CloseRules rules{parts_.live()->config->grace_days, parts_.fleet.dialling_in()};
  const auto now = parts_.clock.wall_ms();
  const auto progress = progress_of(text);
  const auto closing = close ? settlement::advance(parts_.ledger, parts_.signing, *period, now, rules, progress)
                             : settlement::look(parts_.ledger, *period, now, rules, progress);
  {
    const std::lock_guard lock(progress_mutex_);
    progress_ = {};
  }
  if (!closing.error.empty()) return error(409, closing.error, "close");
  bj::object out{{"id", text}, {"state", name(closing.state)}, {"moved", closing.moved}, {"checklist", items_json(closing)}};
  bj::array documents;
  for (const auto& id : closing.documents) documents.emplace_back(id);
  if (close) out["documents"] = std::move(documents);
  if (close && closing.moved) {
    telemetry::log(telemetry::Level::info, "period_moved", {{"period", text}, {"state", std::string(name(closing.state))}});
  }
  return ok(out);
}

settlement::Progress Admin::progress_of(const std::string& period) {
  const auto tell = [this, period](std::string_view what, std::uint64_t done) {
    const std::lock_guard lock(progress_mutex_);
    progress_ = {period, std::string(what), done};
  };
  tell("requests", 0);
  return tell;
}

std::optional<Answer> Admin::at_once(const AdminRequest& request) {
  if (request.path != "/admin/v1/periods/progress" || request.method != "GET") return std::nullopt;
  const std::lock_guard lock(progress_mutex_);
  return ok(bj::object{{"period", text_or_null(progress_.period)}, {"what", text_or_null(progress_.what)}, {"done", progress_.done}});
}

Answer Admin::explain(const AdminRequest& request) {
  boost::system::error_code ec;
  const auto body = bj::parse(request.body, ec);
  const auto text = [&](const char* key) {
    const auto* const value = !ec && body.is_object() ? body.get_object().if_contains(key) : nullptr;
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
  };
  const std::string subject = text("subject"), reason = text("reason"), evidence = text("evidence");
  if (subject.empty() || reason.empty() || evidence.empty())
    return error(400, "The body is {\"subject\": as the checklist names it, \"reason\": why it is fine, \"evidence\": the document that shows it}.");
  switch (settlement::explain(parts_.ledger, subject, reason, evidence, parts_.clock.wall_ms())) {
    case ledger::Posting::posted:
    case ledger::Posting::repeated: return ok(bj::object{{"subject", subject}, {"reason", reason}, {"evidence", evidence}});
    case ledger::Posting::conflict: return error(409, "`" + subject + "` is explained already, with other words.", "conflict");
    case ledger::Posting::failed: break;
  }
  return error(503, "The explanation was not kept. Ask again.", "ledger");
}

Answer Admin::statements(const std::string& query) {
  const auto asked = read_query(query);
  const auto period_asked = asked.find("period");
  std::optional<ledger::Period> period;
  if (period_asked != asked.end()) {
    period = ledger::parse_period(period_asked->second);
    if (!period) return error(400, "A period is written as YYYY-MM.");
  }
  std::string why;
  const auto reader = parts_.ledger.reader(why);
  if (reader == nullptr) return unreadable(why);
  bj::array out;
  for (const auto& one : settlement::statements(*reader, period)) out.push_back(statement_json(one));
  return ok(out);
}

// A number is "PERIOD/PARTY", two parts of the path.
Answer Admin::statement(const std::string& period, const std::string& party, const std::string& query) {
  const auto asked = read_query(query);
  const auto format = asked.find("format");
  if (format != asked.end() && format->second == "html") return statement_page(period + "/" + party);
  if (format != asked.end() && format->second != "json") return error(400, "`format` must be json or html.");
  std::string why;
  const auto reader = parts_.ledger.reader(why);
  if (reader == nullptr) return unreadable(why);
  const std::string no = period + "/" + party;
  for (const auto& one : settlement::statements(*reader, ledger::parse_period(period)))
    if (one.no == no) {
      auto out = statement_json(one);
      const auto book = parts_.ledger.book();
      const auto* const contract = book->contract(one.contract, one.contract_version);
      out["policies"] = contract == nullptr ? bj::value(nullptr) : bj::parse(ledger::policies_json(contract->policies));
      return ok(out);
    }
  return error(404, "There is no statement " + no + "; GET /admin/v1/statements lists those that were made.", "statement_not_found");
}

}  // namespace trib::api
