#include "gateway/settlement/meters.h"

#include <algorithm>
#include <map>

namespace trib::settlement {
namespace {

constexpr std::string_view kind_meters = "meters";

std::string output_text(const std::optional<metering::TokenCounts>& tokens, std::uint64_t pieces) {
  if (!tokens) return std::to_string(pieces) + " pieces and no count of tokens";
  return std::to_string(tokens->input + tokens->cached_input + tokens->cache_write) + " in, " + std::to_string(tokens->output + tokens->reasoning) + " out";
}

using Model = std::pair<std::string, std::string>;  // a site and a model
using Apart = std::map<Model, ledger::Quantity>;

struct Booked {
  Apart sum;
  int next = 1;  // the number of the day's next document
};

Booked booked(ledger::Reader& reader, const std::string& prefix) {
  Booked out;
  while (const auto row = reader.command(prefix + std::to_string(out.next))) {
    ++out.next;
    const auto document = row->result == "applied" ? ledger::read_document(row->body) : std::nullopt;
    if (!document) continue;
    for (const ledger::QuantityMove& move : document->quantities)
      if (move.account == ledger::QuantityAccount::meters) ledger::add(out.sum[{move.site, move.model}], move.amount);
  }
  return out;
}

ledger::Quantity negated(ledger::Quantity amount) {
  for (auto& n : amount) n = -n;
  return amount;
}

ledger::Period booking(ledger::Reader& reader, ledger::Period period) {
  for (const ledger::PeriodRow& row : reader.periods())
    if (row.state >= ledger::PeriodState::closed && row.period >= period) period = ledger::next_period(row.period);
  return period;
}

}  // namespace

std::string meter_text(const ledger::MeterLine& line) {
  const std::string who = line.site + " ", at = " at " + ledger::time_text(line.at_ms);
  const auto ours = [&] { return output_text(ledger::counted(line.gateway->result, line.gateway->billed), line.gateway->result.pieces); };
  const auto theirs = [&] { return output_text(line.signed_->tokens, line.signed_->pieces); };
  switch (line.state) {
    case ledger::MeterState::more: return who + "signed more than the gateway counted" + at + ": " + theirs() + "; gateway: " + ours() + ". It is not paid";
    case ledger::MeterState::less: return who + "signed less than the gateway counted" + at + ": " + theirs() + "; gateway: " + ours();
    case ledger::MeterState::no_receipt: return who + "has signed no receipt of an attempt" + at + "; gateway: " + ours();
    case ledger::MeterState::no_request: return who + "signed a receipt of no attempt that was sent to it" + at + ": " + theirs() + ". It is not paid";
    case ledger::MeterState::twice: return who + "signed a second receipt of one attempt" + at + ". It is not paid";
    default: return {};
  }
}

ledger::MeterReport compare_days(ledger::Reader& reader, ledger::MeterQuestion question) {
  auto whole = ledger::compare_meters(reader, question);
  if (whole.error.empty() || (question.go_on && !question.go_on())) return whole;
  ledger::MeterReport out;  // too many for one pass
  const auto end = question.to_ms;
  for (auto from = question.from_ms; from < end && out.error.empty(); from += ledger::day_ms) {
    question.from_ms = from;
    question.to_ms = std::min(from + ledger::day_ms, end);
    auto day = ledger::compare_meters(reader, question);
    out.error = day.error;
    out.differing += day.differing;
    out.unexplained += day.unexplained;
    out.holding += day.holding;
    for (const auto& [key, sum] : day.sums) {
      auto& into = out.sums[key];
      for (std::size_t i = 0; i < ledger::meter_states; ++i) into.attempts[i] += sum.attempts[i];
      ledger::add(into.gateway, sum.gateway);
      ledger::add(into.billed, sum.billed);
      ledger::add(into.site, sum.site);
    }
    for (const auto& [key, amount] : day.apart) ledger::add(out.apart[key], amount);
    for (auto& line : day.lines)
      if (out.lines.size() < question.lines_max) out.lines.push_back(std::move(line));
  }
  return out;
}


std::vector<std::pair<std::string, ledger::Document>> meter_documents(ledger::Reader& reader, const ledger::MeterReport& found,
                                                                      std::int64_t from_ms, std::int64_t to_ms) {
  std::vector<std::pair<std::string, ledger::Document>> out;
  for (std::int64_t day = from_ms; day < to_ms; day += ledger::day_ms) {
    const std::string text = ledger::day_text(day), prefix = std::string(kind_meters) + ":" + text + ":";
    Booked before = booked(reader, prefix);
    Apart rest;
    for (const auto& [model, amount] : before.sum) rest[model] = negated(amount);
    for (auto one = found.apart.lower_bound({day, {}, {}}); one != found.apart.end() && one->first.begin_ms == day; ++one)
      ledger::add(rest[{one->first.site, one->first.model}], one->second);
    ledger::Document document;
    document.kind = kind_meters;
    document.attach = text;
    const auto finish = [&] {
      if (!document.quantities.empty()) out.emplace_back(prefix + std::to_string(before.next++), document);
      document.quantities.clear();
    };
    const ledger::Period period = booking(reader, ledger::period_of(day));
    for (const auto& [model, amount] : rest) {
      if (amount == ledger::Quantity{}) continue;
      if (document.quantities.size() + 2 > ledger::document_quantities_max) finish();
      document.quantities.push_back({period, model.first, model.second, ledger::QuantityAccount::produced, negated(amount)});
      document.quantities.push_back({period, model.first, model.second, ledger::QuantityAccount::meters, amount});
    }
    finish();
  }
  return out;
}

std::string meters_open(const ledger::MeterReport& found, ledger::Period period) {
  if (!found.error.empty()) return found.error;
  if (found.holding == 0) return {};
  const std::string count = std::to_string(found.holding) + " attempts on which the meters differ", see = "see tributary report receipts --period " + ledger::period_text(period);
  for (const auto& line : found.lines) {
    if (line.explained || !line.lower) continue;
    return count + ", the first: " + meter_text(line) + "; " + see + ", then tributary period explain " + line.subject() + " (or " + line.day_subject() +
           ") --reason TEXT --evidence DOC";
  }
  return count + "; " + see;
}

Meeting meet(ledger::Ledger& ledger, std::int64_t from_ms, std::int64_t to_ms, std::int64_t wall_ms,
             const std::function<bool(const std::string& site)>& dials_in, const std::function<bool()>& go_on) {
  Meeting out;
  out.day = ledger::day_text(from_ms);
  const auto reader = ledger.reader(out.error);
  if (reader == nullptr) return out;
  const auto book = ledger.book();
  reader->begin();
  ledger::MeterQuestion question;
  question.from_ms = from_ms;
  question.to_ms = to_ms;
  question.now_ms = wall_ms;
  question.dials_in = dials_in;
  question.book = book.get();
  question.go_on = go_on;
  out.found = compare_days(*reader, question);
  out.error = out.found.error;
  if (!out.error.empty()) return out;
  const auto documents = meter_documents(*reader, out.found, from_ms, to_ms);
  out.error = reader->error();
  reader->end();
  if (!out.error.empty()) return out;
  for (const auto& [id, document] : documents) {
    const auto posting = ledger.post(id, document, wall_ms);
    if (posting == ledger::Posting::posted || posting == ledger::Posting::repeated) {
      ++out.booked;
      continue;
    }
    const std::string why = ledger.refusal(id);
    out.error = id + ": " + (why.empty() ? "it was not posted" : why);
    return out;
  }
  return out;
}

DailyMeeting meet_daily(ledger::Ledger& ledger, std::int64_t grace_days, std::int64_t wall_ms,
                        const std::function<bool(const std::string& site)>& dials_in, const std::function<bool()>& go_on) {
  DailyMeeting out;
  const std::int64_t today = ledger::day_end_ms(wall_ms) - ledger::day_ms;
  for (std::int64_t day = today - (grace_days + 1) * ledger::day_ms; day < today && out.error.empty(); day += ledger::day_ms) {
    if (go_on && !go_on()) return out;
    const Meeting& met = out.days.emplace_back(meet(ledger, day, day + ledger::day_ms, wall_ms, dials_in, go_on));
    out.unexplained += static_cast<std::int64_t>(met.found.unexplained);
    if (!met.error.empty()) out.error = met.day + ": " + met.error;
  }
  return out;
}

std::int64_t next_meeting_in_ms(std::int64_t wall_ms, bool failed) {
  constexpr std::int64_t minute_ms = 60'000;
  return failed ? 10 * minute_ms : ledger::day_end_ms(wall_ms) + 15 * minute_ms - wall_ms;
}

}  // namespace trib::settlement
