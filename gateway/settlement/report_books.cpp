// Reports on the books themselves: what the ledger and the journal hold, without anybody else's telling.
#include <algorithm>
#include <set>

#include "gateway/base/json.h"
#include "gateway/settlement/audit.h"
#include "gateway/settlement/report_call.h"

namespace trib::settlement {
namespace {

std::string age_text(std::int64_t ms) { return std::to_string(std::max<std::int64_t>(ms, 0) / ledger::day_ms) + " d"; }

}  // namespace

std::string quoted(std::string_view text) {
  std::string out;
  json::quote(text, out);
  return out;
}

bool ReportCall::begin() {
  std::string why;
  while (ledger_.post_once()) {
  }
  reader_ = ledger_.reader(why);
  if (reader_ == nullptr) out.error = why;
  return reader_ != nullptr;
}

void ReportCall::find(std::string subject, std::string why, std::vector<std::pair<std::string, std::string>> records) {
  Finding one;
  one.explained = !subject.empty() && explained(subject);
  one.subject = std::move(subject);
  one.why = std::move(why);
  one.records = std::move(records);
  out.finding(std::move(one));
}

void ReportCall::books() {
  const auto verdict = verify_books(*reader_, ledger_.options().shard, ask_.journal, ask_.checkpoints);
  if (!verdict.ok) find({}, verdict.place + ": " + verdict.why);
  out.columns = {"batches", "requests", "transfers", "journal_records", "checkpoints", "statements"};
  std::vector<std::string> cells;
  for (const auto n : {verdict.batches, verdict.requests, verdict.transfers, verdict.records, verdict.checkpoints, verdict.statements})
    cells.push_back(std::to_string(n));
  out.row(std::move(cells));
}

// A request that was admitted and has no FINAL holds money until it ends; none may outlive its deadline.
void ReportCall::holds() {
  out.columns = {"request", "tenant", "model", "hold", "admitted_at"};
  std::vector<metering::OpenRequest> open;
  if (ask_.journal == nullptr) return;
  if (const auto ec = metering::open_requests(*ask_.journal, open)) {
    out.error = "reading the journal: " + ec.message();
    return;
  }
  for (const auto& one : open) {
    const auto id = one.admit.id.text();
    out.row({id, one.admit.tenant, one.admit.model, one.admit.hold.text(), ledger::time_text(one.admit.wall_ms)});
    if (one.admit.wall_ms + ask_.hold_ms_max >= ask_.now_ms) continue;
    find("hold:" + id, "it holds " + one.admit.hold.text() + " of " + one.admit.tenant + " since " + ledger::time_text(one.admit.wall_ms) +
                           "; a restart of the gateway ends it");
  }
}

void ReportCall::quarantine() {
  out.columns = {"subject", "reason", "since", "age"};
  std::map<std::uint64_t, std::int64_t> booked;
  if (!reader_->quarantine([&](const ledger::QuarantineRow& row) {
        booked.emplace(row.batch, 0);
        return true;
      })) {
    out.error = reader_->error();
    return;
  }
  if (booked.empty()) return;
  reader_->batches(ledger_.options().shard, booked.begin()->first, booked.rbegin()->first, [&](const ledger::BatchRow& row) {
    if (const auto found = booked.find(row.id); found != booked.end()) found->second = row.booked_at;
    return true;
  });
  std::set<std::string> seen;
  reader_->quarantine([&](const ledger::QuarantineRow& row) {
    if (!seen.insert(row.subject).second) return true;
    const std::int64_t since = booked[row.batch];
    out.row({row.subject, row.reason, ledger::time_text(since), age_text(ask_.now_ms - since)});
    find(row.subject, row.reason + ", for " + age_text(ask_.now_ms - since));
    return true;
  });
}

// The age is that of the month since whose end the account has never been empty.
void ReportCall::suspense() {
  out.columns = {"account", "stands", "since"};
  const auto now = ledger::period_of(ask_.now_ms);
  ledger::Period first = now;
  reader_->batches(ledger_.options().shard, 1, 1, [&](const ledger::BatchRow& row) {
    if (row.booked_at > 0) first = std::min(first, ledger::period_of(row.booked_at));
    return false;
  });
  for (const auto& row : reader_->trial_balance().accounts) {
    if (row.account.rfind("L250/", 0) != 0 || (row.debit.zero() && row.credit.zero())) continue;
    auto amount = row.credit - row.debit;
    auto since = now;
    for (auto period = now; period > first; period = ledger::previous_period(period)) {
      amount -= reader_->stands(row.account, period);
      if (amount.zero()) break;
      since = ledger::previous_period(period);
    }
    const std::string stands = (row.credit - row.debit).text();
    out.row({row.account, stands, ledger::period_text(since)});
    find(row.account + ":" + ledger::period_text(now), row.account + " holds " + stands + " since " + ledger::period_text(since));
  }
}

void ReportCall::unpriced() {
  out.columns = {"model", "what"};
  const auto book = ledger_.book();
  for (const auto& model : ask_.served) {
    if (book->price_at(model, ask_.now_ms) != nullptr) continue;
    out.row({model, "offered now, answered 404"});
    find("unpriced:" + model, "sites offer it and no price is in force: tributary price publish, or take it out of the file");
  }
  std::map<std::string, std::uint64_t> requests;
  months([&](ledger::Period period) {
    reader_->usage(period, [&](const ledger::RequestRow& row) {
      if (row.row.state == ledger::State::quarantined && book->price(row.row.model, row.row.price_version) == nullptr) ++requests[row.row.model];
      return true;
    });
  });
  for (const auto& [model, count] : requests) {
    out.row({model, std::to_string(count) + " requests in quarantine"});
    find("unpriced:" + model, std::to_string(count) + " requests were served under a price version that is not in the book");
  }
}

void ReportCall::margin() {
  out.columns = {"model", "requests", "charged", "margin"};
  struct Sum {
    std::uint64_t requests = 0;
    money::Amount charged, margin;
  };
  std::map<std::string, Sum> sums;
  bool read = true;
  months([&](ledger::Period period) {
    read &= reader_->usage(period, [&](const ledger::RequestRow& row) {
      if (!row.row.gross || row.row.state != ledger::State::billed) return true;
      money::Amount others;
      for (const auto& part : row.parts)
        if (part.party != "platform") others += part.amount;
      const money::Amount margin = *row.row.gross - others;
      Sum& sum = sums[row.row.model];
      ++sum.requests;
      sum.charged += *row.row.gross;
      sum.margin += margin;
      const std::string id = row.row.id.text();
      if (margin.negative()) find("margin:" + id, "request " + id + " was charged " + row.row.gross->text() + " and costs " + others.text());
      return true;
    });
  });
  if (!read) out.error = reader_->error();
  for (const auto& [model, sum] : sums) out.row({model, std::to_string(sum.requests), sum.charged.text(), sum.margin.text()});
}

}  // namespace trib::settlement
