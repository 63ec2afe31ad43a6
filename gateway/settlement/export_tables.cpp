// The tables that csv, jsonl and xlsx have alike.
#include <algorithm>

#include "gateway/base/json_writer.h"
#include "gateway/settlement/export_call.h"

namespace trib::settlement {
namespace {

using ledger::AttemptRow;
using ledger::Part;
using money::Amount;

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

const std::vector<std::string> summary_columns = {
    "period",          "statement_no",     "version",          "party_type",       "party_id",      "legal_name",   "tax_no",
    "contract_id",     "contract_version", "currency",         "opening_carry",    "gross_revenue", "refunds",      "vat_excluded",
    "payment_fees",    "share_base",       "share_amount",     "tier_trueup",      "guarantee_topup", "penalties",  "chargebacks",
    "prior_period_adj", "reserve_withheld", "reserve_released", "net_payable",     "paid",          "closing_carry", "requests",
    "tokens_in",       "tokens_out",       "gpu_ms",           "batch_from",       "batch_to",      "seal_hash"};

bool of_gross(const StatementAmount& one) {
  return one.amount == &Statement::gross_revenue || one.amount == &Statement::refunds || one.amount == &Statement::vat_excluded ||
         one.amount == &Statement::payment_fees || one.amount == &Statement::share_base;
}

}  // namespace

bool Exporter::tables(Export& out) {
  if (!detail(out)) return false;
  if (auto why = read_statements(); !why.empty()) return fail(out, std::move(why));
  if (!summary(out) || !settlement_lines(out)) return false;
  return !whole() || (trial_balance(out) && transfers(out));
}

bool Exporter::detail(Export& out) {
  Sheet rows = sheet("usage_detail",
                     {"request_id", "tenant", "site", "model", "outcome", "tokens_input", "tokens_cached_input", "tokens_output",
                      "source", "charge", "part_platform", "part_site", "part_vendor", "part_referrer", "attempts", "state",
                      "operation", "status", "tokens_cache_write", "tokens_reasoning", "bytes_delivered", "currency",
                      "admitted_at", "final_at", "period", "price_version", "contract_versions", "batch", "lsn", "leaf"},
                     detail_format());
  if (!read_requests(&rows)) return fail(out, reader_.error());
  return keep(out, rows);
}

// An attempt is a party's business when it has a part of it; a site's also when nothing came of it.
bool Exporter::concerns(const AttemptRow& attempt, const std::vector<Part>& parts) const {
  if (whole() || options_.party == "site:" + attempt.sent.site) return true;
  return std::any_of(parts.begin(), parts.end(),
                     [&](const Part& p) { return p.attempt == attempt.sent.n && p.party == options_.party; });
}

void Exporter::detail_row(Sheet& sheet, const ledger::RequestRow& request) const {
  const ledger::UsageRow& row = request.row;
  std::vector<std::string> sites, contracts;
  metering::TokenCounts counts = whole() ? row.counts : metering::TokenCounts{};
  std::uint64_t attempts = 0, bytes = whole() ? row.bytes_delivered : 0;
  for (const AttemptRow& attempt : request.attempts) {
    if (!concerns(attempt, request.parts)) continue;
    ++attempts;
    const bool served = attempt.billed.total() > 0;
    const bool own_site = whole() || options_.party == "site:" + attempt.sent.site;
    if (own_site && (served || row.state != ledger::State::billed)) add_once(sites, attempt.sent.site);
    if (served) add_once(contracts, attempt.sent.contract + ":" + std::to_string(attempt.sent.contract_version));
    if (whole()) continue;
    ledger::add_counts(counts, attempt.billed);
    bytes += attempt.result.bytes;
  }
  sheet.text(row.id.text());
  whole() ? sheet.text(row.tenant) : sheet.none();
  sheet.text(joined(sites)).text(row.model).text(metering::name(row.outcome));
  sheet.number(counts.input).number(counts.cached_input).number(counts.output).text(metering::name(row.source));
  detail_parts(sheet, request);
  sheet.number(attempts).text(ledger::name(row.state)).text(row.operation).number(row.status);
  sheet.number(counts.cache_write).number(counts.reasoning).number(bytes).text(currency);
  sheet.text(ledger::time_text(row.admit_ms)).text(ledger::time_text(row.final_ms)).text(ledger::period_text(row.period));
  sheet.number(row.price_version).text(joined(contracts)).number(row.batch).number(row.lsn).text(to_hex(row.leaf));
  sheet.end_row();
}

// Charge and parts. What is unknown is empty, which is not zero. A party that may see what customers paid
// sees what they paid for the attempts that it has a part of.
void Exporter::detail_parts(Sheet& sheet, const ledger::RequestRow& request) const {
  const ledger::UsageRow& row = request.row;
  std::map<std::string, Amount> by_party, by_type;
  std::map<std::uint16_t, Amount> paid_for;
  bool shown = row.gross.has_value();
  for (const Part& part : request.parts) {
    if (!whole() && part.party != options_.party) continue;
    by_party[part.party] += part.amount;
    by_type[type_and_id(part.party).first] += part.amount;
    sheet.add_credit(part.amount);
    shown = shown && may_see_gross(part.contract, part.contract_version);
    for (const AttemptRow& attempt : request.attempts)
      if (attempt.sent.n == part.attempt) paid_for[part.attempt] = attempt.gross;
  }
  Amount charge = whole() ? row.gross.value_or(Amount{}) : Amount{};
  if (!whole()) {
    for (const auto& [attempt, gross] : paid_for) charge += gross;
    shown = shown && !paid_for.empty();
  }
  shown ? sheet.amount(charge) : sheet.none();
  if (shown) sheet.add_debit(charge);
  for (const char* type : {"platform", "site", "vendor", "referrer"}) {
    const bool visible = row.gross && (whole() || type_and_id(options_.party).first == type);
    visible ? sheet.amount(by_type[type]) : sheet.none();
  }
  json::Writer parts = json::object();
  for (const auto& [party, amount] : by_party) parts.text(party, amount.text());
  sheet.extra("parts", parts.close('}').take());
}

void Exporter::statement_head(Sheet& sheet, const Statement& one) const {
  const auto [type, id] = type_and_id(one.party);
  const auto* const legal = options_.config.legal(one.party);
  sheet.text(ledger::period_text(period_)).text_or_none(one.no).number(one.version).text(type).text(id);
  legal == nullptr ? sheet.none().none() : sheet.text_or_none(legal->legal_name).text_or_none(legal->tax_no);
}

void Exporter::statement_cells(Sheet& sheet, const Statement& one, Amount paid, bool gross) const {
  one.contract.empty() ? sheet.none().none() : sheet.text(one.contract).number(one.contract_version);
  sheet.text(currency);
  for (const StatementAmount& amount : statement_amounts) {
    if (amount.amount == &Statement::closing_carry) sheet.amount(paid);
    gross || !of_gross(amount) ? sheet.amount(one.*(amount.amount)) : sheet.none();
  }
  sheet.number(one.requests).number(one.tokens_in).number(one.tokens_out).none();  // GPU time: nobody measures it yet
  sheet.number(one.batch_from).number(one.batch_to).text_or_none(one.seal_hash);
  sheet.add_debit(one.share_amount);  // of what customers were charged
  sheet.add_credit(one.share_amount);
  sheet.end_row();
}

bool Exporter::summary(Export& out) {
  Sheet rows = sheet("settlement_summary", summary_columns, options_.format);
  for (const auto& [party, one] : statements_) {
    statement_head(rows, one);
    statement_cells(rows, one, paid(reader_, one), may_see_gross(one));
  }
  return keep(out, rows);
}

bool Exporter::settlement_lines(Export& out) {
  std::vector<std::string> columns = summary_columns;
  columns.insert(std::find(columns.begin(), columns.end(), "contract_id"), {"day", "model", "site", "price_version"});
  Sheet rows = sheet("settlement_lines", std::move(columns), options_.format);
  for (const auto& [party, statement] : statements_) {
    const bool gross = may_see_gross(statement);
    for (auto& [key, line] : lines_.running(statement, period_)) {
      line.contract = key.contract;
      line.contract_version = key.contract_version;
      statement_head(rows, line);
      rows.text(key.day).text_or_none(key.model).text_or_none(key.site);
      key.price_version == 0 ? rows.none() : rows.number(key.price_version);
      statement_cells(rows, line, line.net_payable.zero() ? Amount{} : paid(reader_, statement), gross);
    }
    if (rows.size() > options_.bytes_max) break;  // keep() refuses it
  }
  return keep(out, rows);
}

bool Exporter::trial_balance(Export& out) {
  Sheet rows = sheet("ledger_trial_balance", {"period", "account", "currency", "debit", "credit", "period_debit", "period_credit"},
                     options_.format);
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
                                   "amount", "reverses_id", "doc_id", "leaf"}, detail_format());
  Sheet legs = sheet("legs", {"transfer_id", "n", "account", "currency", "debit", "credit"}, detail_format());
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

}  // namespace trib::settlement
