// What each state asks for, and the step itself.
#include <algorithm>
#include <set>

#include "gateway/settlement/close_call.h"
#include "gateway/settlement/meters.h"

namespace trib::settlement {

Document document_of(std::string kind, ledger::DocumentTransfer transfer) {
  Document out;
  out.kind = std::move(kind);
  out.transfers.push_back(std::move(transfer));
  return out;
}

void Call::begin_reading() {
  if (reader_) reader_->end();
  reader_ = ledger_.reader(out_.error);
  if (reader_) reader_->begin();
}

ledger::PeriodRow Call::row_of(Period period) {
  for (auto& row : reader_->periods())
    if (row.period == period) return row;
  return {};
}

Closing Call::run() {
  begin_reading();
  if (!reader_) return std::move(out_);
  out_.state = row_of(period_).state;
  switch (out_.state) {
    case PeriodState::open: check_grace(); break;
    case PeriodState::grace: check_reconciled(); break;
    case PeriodState::reconciled: check_closed(); break;
    case PeriodState::closed: check_stated(); break;
    case PeriodState::stated: check_paid(); break;
    case PeriodState::paid: return std::move(out_);
  }
  if (out_.error.empty()) out_.error = reader_->error();
  if (key_ == nullptr || !out_.error.empty() || !all_fine()) return std::move(out_);
  const auto next = static_cast<PeriodState>(static_cast<int>(out_.state) + 1);
  if (post_planned() && step(next)) {
    out_.state = next;
    out_.moved = true;
  }
  return std::move(out_);
}

void Call::check_grace() {
  const std::int64_t end = ledger::period_end_ms(period_);
  item("the month is over", wall_ms_ >= end ? "" : "it runs until " + ledger::time_text(end));
}

void Call::check_reconciled() {
  const std::int64_t until = ledger::period_end_ms(period_) + rules_.grace_days * ledger::day_ms;
  item("the days of grace are over", wall_ms_ >= until ? "" : "they run until " + ledger::time_text(until));
  item("every request is posted", ledger_.failure());
  item("nothing in quarantine is unexplained", quarantine());
  item("nothing in suspense is unexplained", suspense());
  const auto meters = compare_days(*reader_, meter_question(ledger::period_begin_ms(period_)));
  item("the two meters agree, or it is explained", meters_open(meters, period_));
  const auto trial = reader_->trial_balance();
  item("the trial balance is zero", trial.sum.zero() ? "" : "it sums to " + trial.sum.text());
  if (!read_turnover(*reader_, *book_, period_, turnover_, progress_)) return;
  item("the accounts say what the requests say", differs(*reader_, period_, turnover_));
  if (!all_fine()) return;
  for (auto& [id, document] : meter_documents(*reader_, meters, ledger::period_begin_ms(period_), ledger::period_end_ms(period_)))
    plan(std::move(id), std::move(document));
}

ledger::MeterQuestion Call::meter_question(std::int64_t from_ms) const {
  ledger::MeterQuestion out;
  out.from_ms = from_ms;
  out.to_ms = ledger::period_end_ms(period_);
  out.now_ms = wall_ms_;
  out.dials_in = rules_.dials_in;
  out.book = book_.get();
  return out;
}

std::string Call::quarantine() {
  std::set<std::string> open;
  std::vector<std::pair<std::string, std::string>> rows;
  std::set<std::uint64_t> batches;
  reader_->batches([&](const ledger::BatchRow& batch) {
    if (batch.period_from <= period_) batches.insert(batch.id);
    return true;
  });
  reader_->quarantine([&](const ledger::QuarantineRow& row) {
    if (batches.contains(row.batch)) rows.emplace_back(row.subject, row.reason);
    return true;
  });
  std::string first;
  for (const auto& [subject, reason] : rows) {
    if (explained(subject) || !open.insert(subject).second) continue;
    if (first.empty()) first = subject + " (" + reason + ")";
  }
  if (open.empty()) return {};
  return std::to_string(open.size()) + " waiting, the first " + first + "; say why each is fine: tributary period explain SUBJECT --reason TEXT --evidence DOC";
}

std::string Call::suspense() {
  for (const auto& row : reader_->trial_balance_after(period_).accounts) {
    if (row.account.rfind("L250/", 0) != 0 || (row.debit.zero() && row.credit.zero())) continue;
    if (row.account == ledger::account_disputed && row.credit - row.debit == disputed(*reader_, period_)) continue;  // each has its reason
    const std::string subject = row.account + ":" + ledger::period_text(period_);
    if (explained(subject)) continue;
    return row.account + " holds " + (row.credit - row.debit).text() + "; move it where it belongs, or say why: tributary period explain " + subject +
           " --reason TEXT --evidence DOC";
  }
  return {};
}

void Call::check_closed() {
  const Period previous = ledger::previous_period(period_);
  assignments_.emplace(*reader_);
  const auto guaranteed = assignments_->in(previous);
  const bool used = !reader_->trial_balance(previous).accounts.empty() || std::any_of(guaranteed.begin(), guaranteed.end(), [&](const auto& one) {
    return !assignments_->guarantee(*book_, one.first, one.second, previous).zero();
  });
  const bool fine = !used || row_of(previous).state >= PeriodState::stated;
  item("the month before is stated", fine ? "" : "close " + ledger::period_text(previous) + " first");
  if (!read_turnover(*reader_, *book_, period_, turnover_, progress_)) return;
  item("the accounts say what the requests say", differs(*reader_, period_, turnover_));
  if (!all_fine() || !add_booked(*reader_, *book_, period_, turnover_)) return;
  add_fees();
  if (!find_confirmed()) return;
  add_trueups();
  add_guarantees();
  add_reserves();
  add_releases();
}

std::optional<std::string> Call::free_id(const std::string& id) {
  std::string free = id;
  for (int n = 2;; ++n) {
    const auto row = reader_->command(free);
    if (!row) return free;
    if (row->result.rfind("refused", 0) != 0) return std::nullopt;
    free = id + "#" + std::to_string(n);
  }
}

bool Call::post_planned() {
  std::uint64_t done = 0;
  for (auto& [id, document] : planned_) {
    if (progress_) progress_("documents", done);
    ++done;
    const auto free = free_id(id);
    if (!free) continue;  // a call before this one posted it
    const auto posting = ledger_.post(*free, document, wall_ms_);
    if (posting != ledger::Posting::posted && posting != ledger::Posting::repeated) {
      const std::string why = ledger_.refusal(*free);
      out_.error = id + ": " + (why.empty() ? "it was not posted; close again" : why);
      return false;
    }
    out_.documents.push_back(*free);
  }
  planned_.clear();
  return true;
}

bool Call::step(PeriodState to) {
  begin_reading();
  if (!reader_) return false;
  ledger::PeriodStep step{period_, to, {}, {}};
  if (to == PeriodState::closed) {
    const auto seal = reader_->seal(period_);
    if (!seal) {
      out_.error = reader_->error();
      return false;
    }
    step.seal = to_hex(*seal);
    step.signature = to_hex(key_->sign(step.seal));
  }
  const auto free = free_id(id("period", std::string(ledger::name(to))));
  if (!free) return true;
  const auto posting = ledger_.step(*free, step, wall_ms_);
  if (posting == ledger::Posting::posted || posting == ledger::Posting::repeated) return true;
  const std::string why = ledger_.refusal(*free);
  out_.error = why.empty() ? "the step was not posted; close again" : why;
  return false;
}

void Call::check_stated() {
  const Period next = ledger::next_period(period_);
  item("the month after has begun", wall_ms_ >= ledger::period_begin_ms(next) ? "" : "it begins at " + ledger::time_text(ledger::period_begin_ms(next)));
  if (!read_turnover(*reader_, *book_, period_, turnover_, progress_) || !add_booked(*reader_, *book_, period_, turnover_)) return;
  add_fees();
  planned_.clear();  // for the statements' figures: they were posted before the seal
  std::string why;
  for (const auto& [party, made] : reckon(*reader_, *book_, period_, turnover_, Whose::partners)) {
    if (!adds_up(made)) {
      why = "the statement of " + party + " does not add up to its account; tributary audit verify tells where";
      break;
    }
    Document document;
    document.kind = "statement";
    document.attach = statement_text(made);
    if (!made.net_payable.zero()) {
      auto lock = transfer(Code::statement_lock, {{ledger::party_account(party), made.net_payable}, {ledger::stated_account(party), -made.net_payable}});
      lock.period = next;  // its own is closed
      lock.doc = made.no;
      document.transfers.push_back(std::move(lock));
    }
    plan("statement:" + made.no, std::move(document));
  }
  item("every statement adds up to its account", why);
}

void Call::check_paid() {
  std::string why;
  for (const Statement& one : statements(*reader_, period_)) {
    const Amount open = one.net_payable - paid(*reader_, one);
    if (!open.zero() && why.empty()) why = one.no + " is owed " + open.text() + "; pay it, then: tributary ledger payout " + one.no;
  }
  item("every statement is paid", why);
}

Closing look(ledger::Ledger& ledger, Period period, std::int64_t wall_ms, const CloseRules& rules, const Progress& progress) {
  return Call(ledger, nullptr, period, wall_ms, rules, progress).run();
}

Closing advance(ledger::Ledger& ledger, const SigningKey& key, Period period, std::int64_t wall_ms, const CloseRules& rules,
                const Progress& progress) {
  return Call(ledger, &key, period, wall_ms, rules, progress).run();
}

ledger::Posting explain(ledger::Ledger& ledger, const std::string& subject, const std::string& reason, const std::string& evidence,
                        std::int64_t wall_ms) {
  if (subject.empty() || reason.empty() || evidence.empty()) return ledger::Posting::failed;
  Document document;
  document.kind = "explained";
  document.evidence = evidence;
  document.attach = reason;
  return ledger.post("explained:" + subject, document, wall_ms);
}

}  // namespace trib::settlement
