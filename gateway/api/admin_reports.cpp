// Reconciliation reports, and the key under which a site signs its receipts.
#include <set>

#include "gateway/api/admin.h"
#include "gateway/api/admin_answer.h"
#include "gateway/settlement/settlement.h"

namespace trib::api {
namespace {

namespace bj = boost::json;

constexpr std::int64_t hold_margin_ms = 60'000;

// "2026-11-28": the first millisecond of the day in Asia/Shanghai.
std::optional<std::int64_t> day_begin(const std::string& text) {
  if (text.size() != 10 || text[7] != '-') return std::nullopt;
  const auto period = ledger::parse_period(std::string_view(text).substr(0, 7));
  if (!period || text[8] < '0' || text[8] > '3' || text[9] < '0' || text[9] > '9') return std::nullopt;
  const std::int64_t day = (text[8] - '0') * 10 + text[9] - '0';
  const std::int64_t begin = ledger::period_begin_ms(*period) + (day - 1) * ledger::day_ms;
  if (day == 0 || begin >= ledger::period_end_ms(*period)) return std::nullopt;
  return begin;
}

}  // namespace

// The range is `day`, `period`, or the running month.
std::string Admin::read_question(const AdminRequest& request, settlement::ReportQuestion& question) {
  const auto asked = read_query(request.query);
  const auto get = [&](const char* name) {
    const auto found = asked.find(name);
    return found == asked.end() ? std::string() : found->second;
  };
  question.now_ms = parts_.clock.wall_ms();
  auto period = ledger::period_of(question.now_ms);
  if (const auto text = get("period"); !text.empty()) {
    const auto parsed = ledger::parse_period(text);
    if (!parsed) return "A period is written as YYYY-MM.";
    period = *parsed;
  }
  question.from_ms = ledger::period_begin_ms(period);
  question.to_ms = ledger::period_end_ms(period);
  if (const auto text = get("day"); !text.empty()) {
    const auto begin = day_begin(text);
    if (!begin) return "A day is written as YYYY-MM-DD.";
    question.from_ms = *begin;
    question.to_ms = *begin + ledger::day_ms;
  }
  question.site = get("site");
  if (const auto text = get("wait"); !text.empty()) {
    if (text.size() > 6 || text.find_first_not_of("0123456789") != std::string::npos) return "`wait` is a number of seconds.";
    question.waiting_ms = std::stoll(text) * 1000;
  }
  question.dials_in = parts_.fleet.dialling_in();
  question.hold_ms_max = parts_.live()->config->gateway.deadlines.total_ms + hold_margin_ms;
  question.journal = &parts_.journal;
  std::set<std::string> served;
  for (const auto& site : parts_.fleet.sites())
    for (const auto& offer : site.offers) served.insert(offer->model);
  question.served.assign(served.begin(), served.end());
  if (request.method != "POST") return {};
  boost::system::error_code ec;
  const auto body = bj::parse(request.body, ec);
  const auto text = [&](const char* key) {
    const auto* const value = !ec && body.is_object() ? body.get_object().if_contains(key) : nullptr;
    return value != nullptr && value->is_string() ? std::optional(std::string(value->get_string())) : std::nullopt;
  };
  const auto file = text("file");
  if (!file) return R"(The body is {"name": of the file, "file": its text, "layout": as in configs/reports, or left out}.)";
  question.file = settlement::ReportFile{text("name").value_or("file"), *file, text("layout").value_or("")};
  return {};
}

// Without a name: all of them in a line each, as far as they need no file.
Answer Admin::reports(const std::string& name, const AdminRequest& request) {
  settlement::ReportQuestion question;
  if (auto why = read_question(request, question); !why.empty()) return error(400, why);
  const auto checkpoints = parts_.checkpoints.from(1, SIZE_MAX);  // before any reader's moment
  question.checkpoints = checkpoints;
  if (!name.empty()) {
    const auto report = settlement::make_report(parts_.ledger, name, question);
    if (!report) return error(404, "There is no report `" + name + "`; GET /admin/v1/reports lists them.", "unknown_url");
    return {200, settlement::report_json(*report) + "\n"};
  }
  bj::array out;
  for (const auto& kind : settlement::report_kinds()) {
    const auto report = settlement::make_report(parts_.ledger, kind.name, question);
    bj::array notes(report->notes.begin(), report->notes.end());
    out.push_back(bj::object{{"report", report->name}, {"title", report->title}, {"fine", report->compared ? bj::value(report->fine()) : bj::value(nullptr)}, {"found", report->found},
                             {"unexplained", report->unexplained}, {"notes", std::move(notes)},
                             {"first", report->findings.empty() ? bj::value(nullptr) : bj::value(report->findings.front().why)},
                             {"error", text_or_null(report->error)}});
  }
  return ok(out);
}

Answer Admin::receipts_key(const std::string& site, const AdminRequest& request) {
  boost::system::error_code ec;
  const auto body = bj::parse(request.body, ec);
  const auto text = [&](const char* key) {
    const auto* const value = !ec && body.is_object() ? body.get_object().if_contains(key) : nullptr;
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
  };
  const auto key = ledger::read_digits(text("key"), 32);
  const std::string reason = text("reason");
  if (!key || reason.empty()) return error(400, R"(The body is {"key": 64 hex digits, as the log of the refusal says, "reason": why the site has a new one}.)");
  switch (parts_.receipts.pin(site, *key, reason, parts_.clock.wall_ms())) {
    case ledger::Posting::posted: break;
    case ledger::Posting::repeated:
    case ledger::Posting::conflict: return error(409, "This key has been pinned for `" + site + "` before; the site must make another.", "conflict");
    case ledger::Posting::failed: return error(503, "The key was not pinned. Ask again.", "ledger");
  }
  parts_.close_tunnels(site);  // it dials again and sends what was refused
  telemetry::log(telemetry::Level::warning, "receipts_key_pinned", {{"site", site}, {"key", text("key")}, {"reason", reason}});
  return ok(bj::object{{"site", site}, {"key", text("key")}});
}

}  // namespace trib::api
