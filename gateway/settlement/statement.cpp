#include "gateway/settlement/statement.h"

#include "gateway/base/json_writer.h"
#include "gateway/settlement/amounts.h"

namespace trib::settlement {
namespace {

using money::Amount;

struct Count {
  const char* name;
  std::uint64_t Statement::*count;
};
constexpr Count counts[] = {{"requests", &Statement::requests},     {"tokens_in", &Statement::tokens_in},
                            {"tokens_out", &Statement::tokens_out}, {"batch_from", &Statement::batch_from},
                            {"batch_to", &Statement::batch_to}};

struct Text {
  const char* name;
  std::string Statement::*text;
};
constexpr Text texts[] = {{"no", &Statement::no}, {"party", &Statement::party}, {"contract", &Statement::contract}, {"seal_hash", &Statement::seal_hash}};

template <class List, class Name>
auto* find(List& list, const Name& name) {
  for (auto& one : list)
    if (name == one.name) return &one;
  return decltype(&*std::begin(list)){nullptr};
}

bool read_member(json::Cursor& cursor, std::string_view key, Statement& out) {
  std::int64_t value = 0;
  std::string text;
  if (const auto* const amount = find(statement_amounts, key)) {
    const auto parsed = cursor.read_string(text) ? Amount::parse(text) : std::nullopt;
    if (parsed) out.*(amount->amount) = *parsed;
    return parsed.has_value();
  }
  if (const auto* const one = find(texts, key)) return cursor.read_string(out.*(one->text));
  if (!cursor.read_integer(value) || value < 0) return false;
  if (const auto* const one = find(counts, key)) {
    out.*(one->count) = static_cast<std::uint64_t>(value);
  } else if (key == "version") {
    out.version = static_cast<std::uint32_t>(value);
  } else if (key == "period") {
    out.period = static_cast<ledger::Period>(value);
  } else if (key == "contract_version") {
    out.contract_version = static_cast<std::uint32_t>(value);
  } else {
    return false;
  }
  return true;
}

}  // namespace

const std::vector<StatementAmount> statement_amounts = {
    {"opening_carry", &Statement::opening_carry},       {"gross_revenue", &Statement::gross_revenue},
    {"refunds", &Statement::refunds},                   {"vat_excluded", &Statement::vat_excluded},
    {"payment_fees", &Statement::payment_fees},         {"share_base", &Statement::share_base},
    {"share_amount", &Statement::share_amount},         {"tier_trueup", &Statement::tier_trueup},
    {"guarantee_topup", &Statement::guarantee_topup},   {"penalties", &Statement::penalties},
    {"chargebacks", &Statement::chargebacks},           {"prior_period_adj", &Statement::prior_period_adj},
    {"reserve_withheld", &Statement::reserve_withheld}, {"reserve_released", &Statement::reserve_released},
    {"net_payable", &Statement::net_payable},           {"closing_carry", &Statement::closing_carry}};

std::string statement_text(const Statement& statement) {
  json::Writer out;
  out.open('{');
  for (const auto& one : texts) out.key(one.name).text(statement.*(one.text));
  out.key("version").integer(statement.version).key("period").integer(statement.period);
  out.key("contract_version").integer(statement.contract_version);
  for (const auto& one : statement_amounts) out.key(one.name).text((statement.*(one.amount)).text());
  for (const auto& one : counts) out.key(one.name).integer(static_cast<std::int64_t>(statement.*(one.count)));
  return out.close('}').take();
}

std::optional<Statement> read_statement(const std::string& text) {
  json::Cursor cursor(text, {.depth = 2, .unique_keys = true});
  Statement out;
  if (!cursor.enter_object()) return std::nullopt;
  std::string_view key;
  while (cursor.next_key(key))
    if (!read_member(cursor, key, out)) return std::nullopt;
  if (!cursor.finish() || out.no.empty() || out.party.empty()) return std::nullopt;
  return out;
}

bool adds_up(const Statement& s) {
  const Amount base = s.gross_revenue + s.refunds + s.vat_excluded + s.payment_fees;
  const Amount owed = s.opening_carry + s.share_amount + s.tier_trueup + s.guarantee_topup + s.penalties + s.chargebacks +
                      s.prior_period_adj + s.reserve_withheld + s.reserve_released;
  return base == s.share_base && owed == s.net_payable + s.closing_carry && s.net_payable.pico() % pico_per_fen == 0;
}

std::vector<Statement> statements(ledger::Reader& reader, std::optional<ledger::Period> period) {
  std::vector<Statement> out;
  reader.commands("document", [&](const ledger::CommandRow& row) {
    const auto document = ledger::read_document(row.body);
    if (!document || document->kind != "statement") return true;
    auto statement = read_statement(document->attach);
    if (statement && (!period || statement->period == *period)) out.push_back(std::move(*statement));
    return true;
  });
  return out;
}

}  // namespace trib::settlement
