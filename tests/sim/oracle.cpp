#include "tests/sim/oracle.h"

#include <algorithm>
#include <utility>

#include "gateway/ledger/terms.h"

namespace trib::sim {

using metering::Lsn;
using metering::Outcome;
using money::int128;

namespace {

std::string digits(int128 value) {
  const bool negative = value < 0;
  if (negative) value = -value;
  std::string out;
  do out.insert(out.begin(), static_cast<char>('0' + static_cast<int>(value % 10)));
  while ((value /= 10) != 0);
  return (negative ? "-" : "") + out;
}

bool in(Outcome outcome, std::initializer_list<Outcome> list) { return std::find(list.begin(), list.end(), outcome) != list.end(); }

}  // namespace

Oracle::Oracle(const config::ConfigSnapshot& config, const Timeline& timeline, Violated violated)
    : timeline_(timeline), violated_(std::move(violated)) {
  for (const auto& site : config.sites) sites_[site.id] = site;
  for (const auto& contract : config.contracts) shares_[contract.id] = contract.shares;
  for (const auto& tenant : config.tenants) privacy_[tenant.id] = tenant.privacy;
}

// ---- customers and engines ---------------------------------------------------------------------

void Oracle::asked(const std::string& body, std::shared_ptr<Asked> request) { by_body_[to_hex(sha256(body))] = std::move(request); }

std::shared_ptr<Run> Oracle::run(const std::string& site, const std::string& mark, const std::string& body) {
  auto out = std::make_shared<Run>();
  out->mark = mark;
  out->site = site;
  runs_[mark].push_back(out);
  // One customer's words only: the prompt's mark stands there once, and no other.
  const auto at = body.find("say ");
  if (at == std::string::npos || body.find("say ", at + 1) != std::string::npos)
    bad("isolation", "site " + site + " was sent a body with several prompts, mark " + mark);
  return out;
}

void Oracle::head_came(const Asked& asked, const Answer& answer) {
  if (answer.status != 200 || answer.replayed) return;
  const auto id = RequestId::parse(answer.id);
  if (id && lost_.contains(*id)) return;
  const auto found = id ? requests_.find(*id) : requests_.end();
  if (found == requests_.end()) return bad("first byte", asked.mark + ": bytes came before ADMIT " + answer.id + " was released");
  if (found->second.attempts.empty()) bad("first byte", asked.mark + ": bytes came before an ATTEMPT of " + answer.id + " was released");
}

void Oracle::answered(const Asked& asked, const Answer& answer) {
  const std::string who = asked.mark + " (" + answer.id + ", status " + std::to_string(answer.status) + ")";
  if (answer.replayed) ++figures_.replays;
  if (!answer.whole) {
    ++figures_.cuts;
    // A large body whose head has left may only be cut, when it breaks: the FINAL says so.
    const auto cut = RequestId::parse(answer.id);
    const auto broken = cut ? requests_.find(*cut) : requests_.end();
    const bool told = !asked.stream && answer.status == 200 && broken != requests_.end() && broken->second.final &&
                      in(broken->second.final->outcome, {Outcome::partial, Outcome::recovered});
    if (!answer.excused && !told && !journal_failed_) bad("cut", who + ": the answer was cut, though the customer stayed and the network was well");
    if (answer.done && asked.stream && answer.tokens != asked.tokens) bad("dressed up", who + ": [DONE] after " + std::to_string(answer.tokens) + " tokens of " + std::to_string(asked.tokens));
    return;
  }
  const auto id = RequestId::parse(answer.id);
  const auto found = id ? requests_.find(*id) : requests_.end();
  if (id && (lost_.contains(*id) || (uncertain_.contains(*id) && (answer.status != 200 || answer.error)))) return;
  const bool admitted = found != requests_.end();
  const metering::Final* const final = admitted && found->second.final ? &*found->second.final : nullptr;
  if (answer.status != 200) {
    if (!admitted) {
      ++figures_.turned_away;
      return;
    }
    if (final == nullptr && !journal_failed_) return bad("last byte", who + ": an error's last byte came before its FINAL was released");
    if (final != nullptr && !in(final->outcome, {Outcome::failed, Outcome::refused, Outcome::recovered}))
      bad("outcome", who + ": an error was answered, the FINAL says " + std::string(metering::name(final->outcome)));
    return;
  }
  if (asked.stream && answer.error) {
    if (answer.done) bad("dressed up", who + ": an error event and [DONE]");
    if (final == nullptr && !journal_failed_) return bad("last byte", who + ": a broken stream's last byte came before its FINAL was released");
    if (final != nullptr && !in(final->outcome, {Outcome::partial, Outcome::recovered}))
      bad("outcome", who + ": the stream broke, the FINAL says " + std::string(metering::name(final->outcome)));
    if (final != nullptr && final->outcome == Outcome::partial && final->counts.output != answer.tokens && !answer.excused)
      bad("billed", who + ": " + std::to_string(final->counts.output) + " tokens billed, " + std::to_string(answer.tokens) + " received");
    return;
  }
  if (asked.stream && !answer.done) return bad("dressed up", who + ": a clean end without [DONE] and without an error");
  if (!answer.finish) return bad("dressed up", who + ": whole, without a finish");
  if (answer.tokens != asked.tokens) return bad("order", who + ": whole, with " + std::to_string(answer.tokens) + " tokens of " + std::to_string(asked.tokens));
  if (answer.replayed) return;
  if (final == nullptr) return bad("last byte", who + ": the last byte came before the FINAL was released");
  if (final->outcome != Outcome::completed) return bad("outcome", who + ": whole, the FINAL says " + std::string(metering::name(final->outcome)));
  if (answer.usage && (answer.usage_output != final->counts.output || answer.usage_input != final->counts.input + final->counts.cached_input))
    bad("usage", who + ": the customer was shown " + std::to_string(answer.usage_input) + "+" + std::to_string(answer.usage_output) + " tokens, others are billed");
}

// ---- the journal -------------------------------------------------------------------------------

void Oracle::appended(Lsn lsn, const metering::Record& record) {
  if (lsn != log_.size() + 1) return bad("journal", "LSN " + std::to_string(lsn) + " follows " + std::to_string(log_.size()));
  log_.push_back(record);
  if (timeline_.tracing) tell(lsn, record);
  if (const auto* const command = std::get_if<metering::Command>(&record)) learn_price(*command);
  if (const auto* const admit = std::get_if<metering::Admit>(&record)) {
    Live& live = live_[admit->tenant];
    live.hold += admit->hold.pico();
    ++live.in_flight;
    admitted_here_.insert(admit->id);
  } else if (const auto* const final = std::get_if<metering::Final>(&record)) {
    if (admitted_here_.erase(final->admit.id) == 0) return;  // recovered: never held here
    Live& live = live_[final->admit.tenant];
    live.hold -= final->admit.hold.pico();
    --live.in_flight;
    live.charged += charge_of(*final);
  }
}

// A version is what the journal's command says, whether or not whoever published it learned of it.
void Oracle::learn_price(const metering::Command& command) {
  if (command.kind != "publish_price" || !published_.insert(command.id).second) return;
  const auto p = ledger::read_price(command.body);
  if (!p) return bad("price", command.id + " cannot be read");
  auto& versions = prices_[p->model];
  if (!versions.empty() && p->from_ms <= versions.back().from_ms) return;  // refused when it is posted
  versions.push_back({p->from_ms, p->input.pico(), p->cached_input.pico(), p->cache_write.pico(), p->output.pico(), p->reasoning.pico()});
}

void Oracle::tell(Lsn lsn, const metering::Record& record) {
  const auto mark = [&](const metering::Admit& admit) {
    const auto found = by_body_.find(to_hex(admit.body_hash));
    return (found == by_body_.end() ? admit.id.text() : found->second->mark) + " ";
  };
  std::string out = "journal " + std::to_string(lsn) + ": ";
  if (const auto* const admit = std::get_if<metering::Admit>(&record)) out += "ADMIT " + mark(*admit) + admit->id.text();
  if (const auto* const final = std::get_if<metering::Final>(&record)) {
    out += "FINAL " + mark(final->admit) + std::string(metering::name(final->outcome)) + ", " + std::to_string(final->counts.output) + " tokens";
    for (std::size_t i = 0; i < final->results.size(); ++i)
      out += "; " + final->attempts[i].site + " " + final->results[i].fault + " (" + final->results[i].side + ")";
  }
  if (const auto* const command = std::get_if<metering::Command>(&record)) out += "COMMAND " + command->id;
  if (out.back() != ' ') timeline_.trace(out);
}

void Oracle::released(Lsn upto) {
  if (upto > log_.size()) return bad("journal", "LSN " + std::to_string(upto) + " is released, it was never appended");
  while (seen_ < upto) see(log_[seen_++]);
}

void Oracle::journal_failed() {
  if (std::exchange(journal_failed_, true)) return;
  for (Lsn lsn = seen_; lsn < log_.size(); ++lsn)
    if (const auto* const final = std::get_if<metering::Final>(&log_[lsn])) uncertain_.insert(final->admit.id);
}

bool Oracle::reopened(metering::Journal& journal, Lsn must_have) {
  const Lsn last = journal.last();
  if (last < must_have) bad("durable", "record " + std::to_string(must_have) + " was promised, the journal ends at " + std::to_string(last));
  if (last > log_.size()) bad("durable", "the journal has records that nobody appended");
  Lsn expected = 0;
  const auto visit = [&](Lsn lsn, const metering::Record& record) {
    if (lsn != expected++ || lsn > log_.size() || !(record == log_[lsn - 1])) {
      bad("durable", "record " + std::to_string(lsn) + " came back another");
      return false;
    }
    return true;
  };
  const auto read = [&] {
    expected = journal.first();
    return journal.read(0, visit);
  };
  if (read() && read()) return false;  // a single fault of the disk may hit one reading
  if (last < log_.size()) {
    figures_.records_lost += log_.size() - last;
    for (Lsn lsn = last; lsn < seen_; ++lsn) forget(log_[lsn]);
    log_.resize(last);
    prices_.clear();
    published_.clear();
    for (const auto& record : log_)
      if (const auto* const command = std::get_if<metering::Command>(&record)) learn_price(*command);
    if (last < seen_) see_again();
  }
  // Idempotency keys are known as far back as the journal is kept.
  for (Lsn lsn = 1; lsn < journal.first() && lsn <= log_.size(); ++lsn) {
    const auto* const final = std::get_if<metering::Final>(&log_[lsn - 1]);
    const auto asked = final == nullptr ? by_body_.end() : by_body_.find(to_hex(final->admit.body_hash));
    if (asked != by_body_.end()) asked->second->charged_finals = 0;
  }
  live_.clear();
  credits_.clear();
  admitted_here_.clear();
  journal_failed_ = false;
  released(last);
  return true;
}

// With a window, the power takes what was released and not yet synced: answers that relied on it were
// given, and nothing can be said about them any more.
void Oracle::forget(const metering::Record& record) {
  if (const auto* const admit = std::get_if<metering::Admit>(&record)) lost_.insert(admit->id);
  if (const auto* const attempt = std::get_if<metering::Attempt>(&record)) lost_.insert(attempt->id);
  if (const auto* const final = std::get_if<metering::Final>(&record)) lost_.insert(final->admit.id);
}

void Oracle::see_again() {
  const OracleFigures before = figures_;
  requests_.clear();
  open_.clear();
  charges_.clear();
  topups_.clear();
  commands_.clear();
  for (auto& [body, asked] : by_body_) asked->charged_finals = 0;
  seen_ = 0;
  released(log_.size());
  figures_ = before;
}

void Oracle::see(const metering::Record& record) {
  ++figures_.records;
  if (const auto* const admit = std::get_if<metering::Admit>(&record)) see_admit(*admit);
  if (const auto* const attempt = std::get_if<metering::Attempt>(&record)) see_attempt(*attempt);
  if (const auto* const progress = std::get_if<metering::Progress>(&record)) see_progress(*progress);
  if (const auto* const final = std::get_if<metering::Final>(&record)) see_final(*final);
  if (const auto* const command = std::get_if<metering::Command>(&record)) {
    if (command->kind != "topup" || !commands_.insert(command->id).second) return;
    if (const auto topup = ledger::read_topup(command->body)) topups_[topup->tenant] += topup->amount.pico();
  }
}

void Oracle::see_admit(const metering::Admit& admit) {
  if (!requests_.try_emplace(admit.id, Request{admit, {}, {}, {}, 0}).second) return bad("admit", admit.id.text() + " was admitted twice");
  open_.insert(admit.id);
  ++figures_.requests;
  // The version that was in force; the newest may have been journaled and not yet posted then.
  const auto& prices = prices_[admit.model];
  const auto in_force = [&](std::size_t versions) {
    std::uint32_t out = 0;
    for (std::uint32_t i = 0; i < versions; ++i)
      if (prices[i].from_ms <= admit.wall_ms) out = i + 1;
    return out;
  };
  if (prices.empty() || (admit.price_version != in_force(prices.size()) && admit.price_version != in_force(prices.size() - 1)))
    bad("price", admit.id.text() + " is pinned to version " + std::to_string(admit.price_version) + " of " + std::to_string(prices.size()));
  if (!privacy_.contains(admit.tenant)) bad("admit", admit.id.text() + ": an unknown tenant");
  const auto asked = by_body_.find(to_hex(admit.body_hash));
  if (asked == by_body_.end()) return bad("admit", admit.id.text() + ": a body that no customer sent");
  if (asked->second->tenant != admit.tenant) bad("isolation", admit.id.text() + ": a body of another tenant");
}

void Oracle::see_attempt(const metering::Attempt& attempt) {
  const auto found = requests_.find(attempt.id);
  const std::string who = "attempt " + std::to_string(attempt.n) + " of " + attempt.id.text();
  if (found == requests_.end() || found->second.final) return bad("attempt", who + ": the request is not open");
  Request& request = found->second;
  ++figures_.attempts;
  if (attempt.n > 1) ++figures_.retried;
  constexpr unsigned attempts_max = 3 + 3;  // before the first byte, and to go on after it
  if (attempt.n != request.attempts.size() + 1 || attempt.n > attempts_max) bad("attempt", who + ": out of turn");
  for (const auto& before : request.attempts)
    if (before.site == attempt.site) bad("attempt", who + ": site " + attempt.site + " is asked twice");
  const auto site = sites_.find(attempt.site);
  if (site == sites_.end()) return bad("attempt", who + ": an unknown site");
  if (site->second.kind == config::SiteKind::cafe && privacy_[request.admit.tenant] != config::Privacy::any)
    bad("tier", who + ": a prompt of tier dc at a café");
  if (attempt.contract != site->second.contract || attempt.contract_version != 1) bad("attempt", who + ": another contract than the site's");
  request.attempts.push_back(attempt);
}

void Oracle::see_progress(const metering::Progress& progress) {
  const auto found = requests_.find(progress.id);
  const std::string who = "progress of " + progress.id.text();
  if (found == requests_.end() || found->second.final) return bad("progress", who + ": the request is not open");
  if (progress.n == 0 || progress.n > found->second.attempts.size()) return bad("progress", who + ": no such attempt");
  const auto& before = found->second.marks[progress.n];
  if (progress.pieces < before.pieces || progress.bytes < before.bytes) bad("progress", who + ": it went back");
  found->second.marks[progress.n] = progress;
}

// What one attempt of it earned: what it delivered, and the prompt where it was the first that did.
int128 Oracle::charge_of(const metering::Final& final, std::uint16_t attempt) const {
  metering::Final own = final;
  bool first = true;
  for (const auto& result : final.results) {
    own.counts.output = result.delivered;
    if (!first) own.counts.input = own.counts.cached_input = own.counts.cache_write = 0;
    if (result.n == attempt) return charge_of(own);
    first = first && result.delivered == 0;
  }
  return -1;
}

int128 Oracle::charge_of(const metering::Final& final) const {
  const auto found = prices_.find(final.admit.model);
  if (found == prices_.end() || final.admit.price_version == 0 || final.admit.price_version > found->second.size()) return -1;
  const Price& p = found->second[final.admit.price_version - 1];
  const auto& c = final.counts;
  const auto of = [](std::uint64_t n, std::int64_t price) { return static_cast<int128>(n) * price; };
  return of(c.input, p.input) + of(c.cached_input, p.cached) + of(c.cache_write, p.cache_write) + of(c.output, p.output) + of(c.reasoning, p.reasoning);
}

void Oracle::see_final(const metering::Final& final) {
  const std::string who = "FINAL of " + final.admit.id.text();
  const auto found = requests_.find(final.admit.id);
  if (found == requests_.end()) return bad("one end", who + ": it was never admitted");
  Request& request = found->second;
  if (request.final) return bad("one end", who + ": the second one");
  request.final = final;
  open_.erase(final.admit.id);
  if (!(final.admit == request.admit)) bad("one end", who + ": it repeats another ADMIT");
  if (final.wall_ms < final.admit.wall_ms) bad("one end", who + ": before its ADMIT");
  if (final.attempts != request.attempts) bad("one end", who + ": other attempts than were journaled");
  if (final.results.size() != final.attempts.size()) bad("one end", who + ": results and attempts do not pair up");
  const auto asked = by_body_.find(to_hex(final.admit.body_hash));
  if (asked == by_body_.end()) return;
  check_counts(request, final, *asked->second);
  request.charge = charge_of(final);
  charges_[final.admit.tenant] += request.charge;
  if (request.charge > 0 && ++asked->second->charged_finals > 1) bad("billed twice", who + ": " + asked->second->mark + " was billed before");
  switch (final.outcome) {
    case Outcome::completed: ++figures_.completed; break;
    case Outcome::cancelled: ++figures_.cancelled; break;
    case Outcome::partial: ++figures_.partial; break;
    case Outcome::failed: ++figures_.failed; break;
    case Outcome::refused: ++figures_.refused; break;
    case Outcome::recovered: ++figures_.recovered; break;
    case Outcome::quarantined: bad("one end", who + ": quarantined"); break;
  }
}

// What is billed, against what the engines said and did.
void Oracle::check_counts(const Request& request, const metering::Final& final, const Asked& asked) {
  const std::string who = "FINAL of " + asked.mark + " (" + final.admit.id.text() + ", " + std::string(metering::name(final.outcome)) + ")";
  const auto& counts = final.counts;
  if (in(final.outcome, {Outcome::failed, Outcome::refused})) {
    if (counts.total() != 0) bad("billed", who + ": tokens are billed");
    return;
  }
  const auto runs = runs_.find(asked.mark);
  const std::string site = request.attempts.empty() ? "" : request.attempts.back().site;
  std::uint64_t most = 0;
  const Run* whole = nullptr;
  if (runs != runs_.end()) {
    for (const auto& run : runs->second) {
      most = std::max(most, run->tokens);
      if (run->site == site && run->finished) whole = run.get();
    }
  }
  if (final.outcome == Outcome::completed) {
    if (whole == nullptr) return bad("billed", who + ": site " + site + " never finished it");
    if (whole->first > 0) ++figures_.went_on;
    if (whole->lies) {
      ++figures_.lies;
      if (counts.output == 0 || counts.output > 3 * asked.tokens) bad("billed", who + ": " + std::to_string(counts.output) + " tokens on a lie");
      return;
    }
    // What an earlier site said is counted, not claimed; so is the prompt where the last one's end was lost.
    const bool claimed = whole->first == 0 && final.results.back().fault == "none";
    if ((claimed && !(counts == whole->claims)) || counts.output != asked.tokens)
      bad("billed", who + ": " + std::to_string(counts.output) + " tokens, " + std::to_string(asked.tokens) + " were made");
    if (request.admit.hold.pico() < charge_of(final)) bad("hold", who + ": the charge is above the hold");
    return;
  }
  if (counts.output > most) bad("billed", who + ": " + std::to_string(counts.output) + " tokens, at most " + std::to_string(most) + " were made");
  if (in(final.outcome, {Outcome::partial, Outcome::recovered}) && counts.input + counts.cached_input != 0) bad("billed", who + ": a prompt is billed that the supply side broke");
}

// ---- looks -------------------------------------------------------------------------------------

void Oracle::look(const tenancy::TenantBook& tenants) {
  if (journal_failed_) return;
  for (const auto& [id, tenant] : tenants.all()) {
    const auto view = tenant->view();
    const Live& live = live_[id];
    if (view.held.pico() != live.hold) bad("holds", id + " holds " + view.held.text() + ", its open requests hold " + digits(live.hold) + " pico");
    if (view.in_flight != live.in_flight) bad("holds", id + " has " + std::to_string(view.in_flight) + " requests in flight, " + std::to_string(live.in_flight) + " are open");
    if (view.balance.pico() != credits_[id] - live.charged) bad("balance", id + " has " + view.balance.text() + ", it should be " + digits(credits_[id] - live.charged) + " pico");
  }
}

void Oracle::nothing_open(const char* when) {
  if (!open_.empty()) bad("one end", std::string(when) + ": " + std::to_string(open_.size()) + " requests have no FINAL, the first " + open_.begin()->text());
}

void Oracle::audit(ledger::Ledger& ledger, const std::string& path, const std::string& vfs, metering::Journal& journal) {
  const auto verdict = ledger::verify(path, vfs, 0, &journal);
  if (!verdict.ok) return bad("ledger", verdict.place + ": " + verdict.why);
  const auto trial = ledger.trial_balance();
  if (!trial.sum.zero()) bad("ledger", "the trial balance is " + trial.sum.text());
  std::string why;
  const auto reader = ledger.reader(why);
  if (reader == nullptr) return bad("ledger", why);
  std::map<std::string, int128> parties;
  std::size_t rows = 0;
  for (ledger::Period period = 202611; period <= 202612; ++period) {
    reader->usage(period, [&](const ledger::RequestRow& row) {
      ++rows;
      check_row(row);
      for (const auto& part : row.parts) parties[part.party] += part.amount.pico();
      return true;
    });
  }
  if (!reader->error().empty()) bad("ledger", reader->error());
  if (rows != requests_.size()) bad("ledger", std::to_string(rows) + " requests are posted, " + std::to_string(requests_.size()) + " were admitted");
  int128 paid = 0, charged = 0;
  for (const auto& [party, amount] : parties) paid += amount;
  for (const auto& [tenant, amount] : charges_) charged += amount;
  if (paid != charged) bad("ledger", "parts of " + digits(paid) + " pico, charges of " + digits(charged));
  std::map<std::string, int128> accounts;
  for (const auto& row : trial.accounts) accounts[row.account] = row.credit.pico() - row.debit.pico();
  for (const auto& [party, amount] : parties) {
    const std::string account = party == "platform" ? "R300" : party == "vendor:" ? "L250/vendor" :
        (party.starts_with("site:") ? "L210/" : party.starts_with("vendor:") ? "L220/" : "L230/") + party.substr(party.find(':') + 1);
    if (accounts[account] != amount) bad("ledger", account + " stands at " + digits(accounts[account]) + ", its parts are " + digits(amount));
  }
  for (const auto& [tenant, topped] : topups_) {
    const auto balance = ledger.tenant_balance(tenant).pico();
    if (balance != topped - charges_[tenant]) bad("ledger", tenant + " has " + digits(balance) + " pico, it should be " + digits(topped - charges_[tenant]));
  }
}

void Oracle::check_row(const ledger::RequestRow& row) {
  const std::string who = "row " + row.row.id.text();
  const auto found = requests_.find(row.row.id);
  if (found == requests_.end() || !found->second.final) return bad("ledger", who + ": no FINAL of it was released");
  const Request& request = found->second;
  if (!(row.row.counts == request.final->counts) || row.row.outcome != request.final->outcome || row.row.tenant != request.admit.tenant)
    bad("ledger", who + ": it differs from its FINAL");
  if (row.row.state == ledger::State::quarantined) return bad("ledger", who + ": quarantined, " + row.quarantine);
  if (!row.row.gross || row.row.gross->pico() != request.charge) bad("ledger", who + ": charged " + (row.row.gross ? row.row.gross->text() : "nothing") + ", it should be " + digits(request.charge) + " pico");
  int128 sum = 0;
  for (const auto& part : row.parts) {
    sum += part.amount.pico();
    const auto& shares = shares_[part.contract];
    const std::string kind = part.party.substr(0, part.party.find(':'));
    const int128 ppm = kind == "platform" ? shares.platform : kind == "site" ? shares.site : kind == "vendor" ? shares.vendor : shares.referrer;
    const int128 off = part.amount.pico() * 1'000'000 - charge_of(*request.final, part.attempt) * ppm;
    if (off <= -1'000'000 || off >= 1'000'000) bad("ledger", who + ": the part of " + part.party + " is " + part.amount.text());
    if (kind == "site" && part.party.substr(5) != request.attempts.at(part.attempt - 1U).site) bad("ledger", who + ": paid to " + part.party);
  }
  if (sum != request.charge) bad("ledger", who + ": the parts sum to " + digits(sum) + " pico");
}

}  // namespace trib::sim
