#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "gateway/base/json.h"
#include "gateway/settlement/manifest.h"
#include "gateway/settlement/settlement.h"
#include "gateway/settlement/sheet.h"

namespace trib::settlement {
namespace {

using ledger::AttemptRow;
using ledger::Part;
using ledger::RequestRow;
using ledger::State;
using money::Amount;

struct PartyTotal {
  Amount gross, share;  // gross: what customers paid for the attempts that it has a part of
  std::uint64_t requests = 0, tokens_in = 0, tokens_out = 0, batch_from = 0, batch_to = 0;
};
// party, day, model, site, price version, contract, contract version
using LineKey = std::tuple<std::string, std::string, std::string, std::string, std::uint32_t, std::string, std::uint32_t>;

std::uint64_t tokens_in(const metering::TokenCounts& c) { return c.input + c.cached_input + c.cache_write; }
std::uint64_t tokens_out(const metering::TokenCounts& c) { return c.output + c.reasoning; }

std::pair<std::string, std::string> type_and_id(const std::string& party) {
  const auto colon = party.find(':');
  if (colon == std::string::npos) return {party, party};
  return {party.substr(0, colon), party.substr(colon + 1)};
}

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const auto& name : names) out += (out.empty() ? "" : ";") + name;
  return out;
}

void add_once(std::vector<std::string>& names, std::string name) {
  if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(std::move(name));
}

class Exporter {
 public:
  Exporter(ledger::Reader& reader, const ExportOptions& options, ledger::Period period)
      : reader_(reader), options_(options), period_(period) {}

  bool run(Export& out);
  std::uint64_t batch_to() const { return last_batch_; }
  std::string seal_hash() const {
    const auto found = hashes_.find(last_batch_);
    return found == hashes_.end() ? std::string() : to_hex(found->second);
  }

 private:
  bool whole() const { return options_.party.empty(); }
  bool fail(Export& out, std::string why) {
    out.error = std::move(why);
    return false;
  }
  Sheet sheet(std::string_view name, std::vector<std::string> columns) { return {options_.format, name, std::move(columns)}; }
  bool keep(Export& out, Sheet& sheet);

  bool concerns(const AttemptRow& attempt, const std::vector<Part>& parts) const;
  void detail_row(Sheet& sheet, const RequestRow& row);
  void detail_parts(Sheet& sheet, const RequestRow& row);
  void add_up(const RequestRow& row);
  bool detail(Export& out);
  bool summary(Export& out);
  bool lines(Export& out);
  bool trial_balance(Export& out);
  bool transfers(Export& out);
  std::string tie_out();

  ledger::Reader& reader_;
  const ExportOptions& options_;
  const ledger::Period period_;
  std::uint64_t bytes_ = 0;
  Amount charged_;
  std::map<std::string, PartyTotal> parties_;
  std::map<LineKey, PartyTotal> lines_;
  std::map<std::uint64_t, Sha256> hashes_;  // of batches
  std::uint64_t last_batch_ = 0;            // of the period
};

bool Exporter::keep(Export& out, Sheet& sheet) {
  bytes_ += sheet.size();
  if (bytes_ > options_.bytes_max) return fail(out, "the export is larger than " + std::to_string(options_.bytes_max) + " bytes; export one party at a time");
  out.files.push_back(sheet.take());
  return true;
}

bool Exporter::run(Export& out) {
  reader_.batches([&](const ledger::BatchRow& batch) {
    hashes_[batch.id] = batch.hash;
    if (batch.period_from <= period_ && period_ <= batch.period_to) last_batch_ = batch.id;
    return true;
  });
  if (!detail(out)) return false;
  if (auto why = tie_out(); !why.empty()) return fail(out, std::move(why));
  if (!summary(out) || !lines(out)) return false;
  if (whole() && (!trial_balance(out) || !transfers(out))) return false;
  return reader_.error().empty() || fail(out, reader_.error());
}

// An attempt is a party's business when it has a part of it; a site's also when nothing came of it.
bool Exporter::concerns(const AttemptRow& attempt, const std::vector<Part>& parts) const {
  if (whole() || options_.party == "site:" + attempt.sent.site) return true;
  return std::any_of(parts.begin(), parts.end(),
                     [&](const Part& p) { return p.attempt == attempt.sent.n && p.party == options_.party; });
}

bool Exporter::detail(Export& out) {
  Sheet rows = sheet("usage_detail",
                     {"request_id", "tenant", "site", "model", "outcome", "tokens_input", "tokens_cached_input", "tokens_output",
                      "source", "charge", "part_platform", "part_site", "part_vendor", "part_referrer", "attempts", "state",
                      "operation", "status", "tokens_cache_write", "tokens_reasoning", "bytes_delivered", "currency",
                      "admitted_at", "final_at", "period", "price_version", "contract_versions", "batch", "lsn", "leaf"});
  const bool walked = reader_.usage(period_, [&](const RequestRow& row) {
    const bool mine = whole() || std::any_of(row.attempts.begin(), row.attempts.end(),
                                             [&](const AttemptRow& a) { return concerns(a, row.parts); });
    if (mine) {
      detail_row(rows, row);
      add_up(row);
    }
    return rows.size() <= options_.bytes_max;
  });
  if (!walked) return fail(out, reader_.error());
  return keep(out, rows);
}

void Exporter::detail_row(Sheet& sheet, const RequestRow& request) {
  const ledger::UsageRow& row = request.row;
  std::vector<std::string> sites, contracts;
  metering::TokenCounts counts = whole() ? row.counts : metering::TokenCounts{};
  std::uint64_t attempts = 0, bytes = whole() ? row.bytes_delivered : 0;
  for (const AttemptRow& attempt : request.attempts) {
    if (!concerns(attempt, request.parts)) continue;
    ++attempts;
    const bool served = attempt.billed.total() > 0;
    const bool own_site = whole() || options_.party == "site:" + attempt.sent.site;
    if (own_site && (served || row.state != State::billed)) add_once(sites, attempt.sent.site);
    if (served) add_once(contracts, attempt.sent.contract + ":" + std::to_string(attempt.sent.contract_version));
    if (whole()) continue;
    ledger::add_counts(counts, attempt.billed);
    bytes += attempt.result.bytes;
  }
  const auto own = [&](Sheet& s, std::string_view text) { whole() ? s.text(text) : s.none(); };
  sheet.text(row.id.text());
  own(sheet, row.tenant);
  sheet.text(joined(sites)).text(row.model).text(metering::name(row.outcome));
  sheet.number(counts.input).number(counts.cached_input).number(counts.output).text(metering::name(row.source));
  detail_parts(sheet, request);
  sheet.number(attempts).text(ledger::name(row.state)).text(row.operation).number(row.status);
  sheet.number(counts.cache_write).number(counts.reasoning).number(bytes).text(currency);
  sheet.text(ledger::time_text(row.admit_ms)).text(ledger::time_text(row.final_ms)).text(ledger::period_text(row.period));
  sheet.number(row.price_version).text(joined(contracts)).number(row.batch).number(row.lsn).text(to_hex(row.leaf));
  sheet.end_row();
}

// Charge and parts. What is unknown is empty, which is not zero.
void Exporter::detail_parts(Sheet& sheet, const RequestRow& request) {
  const ledger::UsageRow& row = request.row;
  std::map<std::string, Amount> by_party, by_type;
  for (const Part& part : request.parts) {
    if (!whole() && part.party != options_.party) continue;
    by_party[part.party] += part.amount;
    by_type[type_and_id(part.party).first] += part.amount;
    sheet.add_credit(part.amount);
  }
  if (whole() && row.gross) {
    sheet.amount(*row.gross);
    sheet.add_debit(*row.gross);
  } else {
    sheet.none();
  }
  for (const char* type : {"platform", "site", "vendor", "referrer"}) {
    const bool visible = row.gross && (whole() || type_and_id(options_.party).first == type);
    visible ? sheet.amount(by_type[type]) : sheet.none();
  }
  std::string parts = "{";
  for (const auto& [party, amount] : by_party) {
    parts += parts.size() > 1 ? "," : "";
    json::quote(party, parts);
    parts += ":\"" + amount.text() + '"';
  }
  sheet.extra("parts", parts + '}');
}

void Exporter::add_up(const RequestRow& request) {
  const ledger::UsageRow& row = request.row;
  charged_ += row.gross.value_or(Amount{});
  std::set<std::string> seen;
  std::set<LineKey> seen_lines;
  for (const Part& part : request.parts) {
    if (!whole() && part.party != options_.party) continue;
    const auto attempt = std::find_if(request.attempts.begin(), request.attempts.end(),
                                      [&](const AttemptRow& a) { return a.sent.n == part.attempt; });
    if (attempt == request.attempts.end()) continue;  // tie_out() tells
    const bool may_see_site = whole() || part.party == "site:" + attempt->sent.site;
    const LineKey key{part.party,        ledger::day_text(row.final_ms), row.model,           may_see_site ? attempt->sent.site : "",
                      row.price_version, part.contract,                  part.contract_version};
    PartyTotal& party = parties_[part.party];
    PartyTotal& line = lines_[key];
    for (PartyTotal* total : {&party, &line}) {
      total->gross += attempt->gross;
      total->share += part.amount;
      total->tokens_in += tokens_in(attempt->billed);
      total->tokens_out += tokens_out(attempt->billed);
    }
    if (seen.insert(part.party).second) ++party.requests;
    if (seen_lines.insert(key).second) ++line.requests;
    if (party.batch_from == 0) party.batch_from = row.batch;
    party.batch_to = row.batch;
  }
}

// The ledger's legs of the period must say what the requests say.
std::string Exporter::tie_out() {
  std::map<std::string, Amount> shares;  // by account
  for (const auto& [party, total] : parties_) shares[ledger::party_account(party)] += total.share;
  Amount charged;
  const std::string customers = ledger::customer_account("");
  for (const auto& row : reader_.trial_balance(period_).accounts) {
    if (row.account.compare(0, customers.size(), customers) == 0) charged += row.debit_total;
    const auto share = shares.find(row.account);
    if (share == shares.end()) continue;
    if (row.credit_total - row.debit_total != share->second) {
      return "account " + row.account + " moved by " + (row.credit_total - row.debit_total).text() + ", the requests say " + share->second.text();
    }
    shares.erase(share);
  }
  for (const auto& [account, amount] : shares) {
    if (!amount.zero()) return "account " + account + " has no legs, the requests say " + amount.text();
  }
  if (whole() && charged != charged_) return "customers were charged " + charged.text() + ", the requests say " + charged_.text();
  return {};
}

bool Exporter::summary(Export& out) {
  Sheet rows = sheet("settlement_summary", {"period", "party_type", "party_id", "currency", "opening_carry", "gross_revenue",
                                            "share_base", "share_amount", "closing_carry", "requests", "tokens_in", "tokens_out",
                                            "batch_from", "batch_to", "seal_hash"});
  std::map<std::string, Amount> closing;
  for (const auto& row : reader_.trial_balance_after(period_).accounts) closing[row.account] = row.credit_total - row.debit_total;
  for (const auto& [party, total] : parties_) {
    const auto [type, id] = type_and_id(party);
    const Amount end = closing[ledger::party_account(party)];
    rows.text(ledger::period_text(period_)).text(type).text(id).text(currency).amount(end - total.share);
    for (int i = 0; i < 2; ++i) whole() ? rows.amount(total.gross) : rows.none();
    rows.amount(total.share).amount(end);
    rows.number(total.requests).number(total.tokens_in).number(total.tokens_out);
    rows.number(total.batch_from).number(total.batch_to).text(to_hex(hashes_[total.batch_to]));
    rows.add_debit(total.share);  // of what customers were charged
    rows.add_credit(total.share);
    rows.end_row();
  }
  return keep(out, rows);
}

bool Exporter::lines(Export& out) {
  Sheet rows = sheet("settlement_lines", {"period", "day", "party_type", "party_id", "model", "site", "price_version", "contract_id",
                                          "contract_version", "currency", "gross_revenue", "share_amount", "requests", "tokens_in",
                                          "tokens_out"});
  for (const auto& [key, total] : lines_) {
    const auto& [party, day, model, site, price, contract, version] = key;
    const auto [type, id] = type_and_id(party);
    rows.text(ledger::period_text(period_)).text(day).text(type).text(id).text(model).text(site);
    rows.number(price).text(contract).number(version).text(currency);
    whole() ? rows.amount(total.gross) : rows.none();
    rows.amount(total.share).number(total.requests).number(total.tokens_in).number(total.tokens_out);
    rows.add_debit(total.share);  // of what customers were charged
    rows.add_credit(total.share);
    rows.end_row();
  }
  return keep(out, rows);
}

bool Exporter::trial_balance(Export& out) {
  Sheet rows = sheet("ledger_trial_balance",
                     {"period", "account", "currency", "debit", "credit", "period_debit", "period_credit"});
  std::map<std::string, ledger::TrialRow> moved;
  for (auto& row : reader_.trial_balance(period_).accounts) moved[row.account] = row;
  for (const auto& row : reader_.trial_balance_after(period_).accounts) {
    rows.text(ledger::period_text(period_)).text(row.account).text(currency).amount(row.debit).amount(row.credit);
    rows.amount(moved[row.account].debit_total).amount(moved[row.account].credit_total);
    rows.add_debit(row.debit);
    rows.add_credit(row.credit);
    rows.end_row();
  }
  return keep(out, rows);
}

bool Exporter::transfers(Export& out) {
  Sheet rows = sheet("transfers", {"transfer_id", "batch", "code", "reason", "effective_at", "booked_at", "period", "currency",
                                   "amount", "reverses_id", "doc_id", "leaf"});
  Sheet legs = sheet("legs", {"transfer_id", "n", "account", "currency", "debit", "credit"});
  const bool walked = reader_.transfers(period_, [&](const ledger::TransferRow& row) {
    Amount whole_amount;
    std::uint64_t n = 0;
    for (const ledger::Leg& leg : row.legs) {
      const Amount debit = leg.amount.negative() ? Amount{} : leg.amount;
      const Amount credit = leg.amount.negative() ? -leg.amount : Amount{};
      legs.text(std::to_string(row.id)).number(++n).text(leg.account).text(currency).amount(debit).amount(credit);
      legs.add_debit(debit);
      legs.add_credit(credit);
      legs.end_row();
      whole_amount += debit;
    }
    rows.text(std::to_string(row.id)).number(row.batch).number(row.code).text(row.reason);
    rows.text(ledger::time_text(row.effective_at)).text(ledger::time_text(row.booked_at)).text(ledger::period_text(row.period));
    rows.text(currency).amount(whole_amount);
    row.reverses ? rows.text(std::to_string(*row.reverses)) : rows.none();
    rows.text(row.doc_id).text(to_hex(row.leaf));
    rows.add_debit(whole_amount);
    rows.add_credit(whole_amount);
    rows.end_row();
    return legs.size() <= options_.bytes_max;
  });
  if (!walked) return fail(out, reader_.error());
  return keep(out, rows) && keep(out, legs);
}

bool known_party(const std::string& party) {
  const auto [type, id] = type_and_id(party);
  return party.empty() || party == "platform" || ((type == "site" || type == "vendor" || type == "referrer") && party.size() > type.size() + 1);
}

}  // namespace

Export export_period(ledger::Reader& reader, const ExportOptions& options, const SigningKey& key) {
  Export out;
  const auto period = ledger::parse_period(options.period);
  if (!period) {
    out.error = "a period is YYYY-MM";
  } else if (!known_party(options.party)) {
    out.error = "a party is site:ID, vendor:ID, referrer:ID or platform";
  } else if (!reader.begin()) {
    out.error = "the store cannot be read";
  } else {
    Exporter exporter(reader, options, *period);
    if (exporter.run(out)) {
      const ManifestHead head{options.period, options.party, exporter.batch_to(), exporter.seal_hash()};
      out.files.push_back(make_manifest(head, out.files, key));
    }
    reader.end();
  }
  if (!out.error.empty()) out.files.clear();
  return out;
}

Export export_period(ledger::Ledger& ledger, const ExportOptions& options, const SigningKey& key) {
  Export out;
  const auto reader = ledger.reader(out.error);
  return reader ? export_period(*reader, options, key) : out;
}

}  // namespace trib::settlement
