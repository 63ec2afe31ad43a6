#include "gateway/ledger/book_tables.h"

#include <array>

#include "gateway/ledger/contract_terms.h"
#include "gateway/ledger/terms.h"

namespace trib::ledger {
namespace {

std::array<std::pair<std::string_view, money::Price>, price_units> units_of(const PriceVersion& price) {
  return {{{"input", price.input},
           {"cached_input", price.cached_input},
           {"cache_write", price.cache_write},
           {"output", price.output},
           {"reasoning", price.reasoning}}};
}

// Per cent of VAT: above zero inside the price, below it on top.
std::optional<std::int64_t> tax_column(const PriceVersion& price) {
  if (!price.tax) return std::nullopt;
  const std::int64_t percent = price.tax->percent;
  return price.tax->inclusive ? percent : -percent;
}

struct ContractColumns {
  std::optional<std::string> tiers, guarantee;
  std::optional<std::int64_t> holdback_ppm, holdback_days, min_payout_fen;
  std::optional<std::string> chargeback, penalties;
};

ContractColumns columns_of(const ContractVersion& c) {
  constexpr money::int128 fen = 10'000'000'000;
  const config::ContractTerms defaults;
  ContractColumns out;
  if (!c.tiers.steps.empty()) out.tiers = tiers_json(c.tiers);
  if (!c.guarantee.zero()) out.guarantee = c.guarantee.text();
  if (c.holdback != defaults.holdback) {
    out.holdback_ppm = c.holdback.ppm;
    out.holdback_days = c.holdback.days;
  }
  if (!c.min_payout.zero()) out.min_payout_fen = static_cast<std::int64_t>(c.min_payout.pico() / fen);
  if (c.chargeback != defaults.chargeback) out.chargeback = name(c.chargeback);
  if (!c.penalties.empty()) out.penalties = penalties_json(c.penalties);
  return out;
}

template <class Value>
void bind_maybe(Statement& to, const std::optional<Value>& value) {
  if (value) {
    to.bind(*value);
  } else {
    to.null();
  }
}

bool same(Statement& from, const std::optional<std::string>& value) {
  if (from.is_null()) {
    from.skip();
    return !value;
  }
  return value && from.text() == *value;
}

bool same(Statement& from, const std::optional<std::int64_t>& value) {
  if (from.is_null()) {
    from.skip();
    return !value;
  }
  return value && from.integer() == *value;
}

}  // namespace

const std::string add_price_sql =
    "INSERT INTO price_book(model, unit, version, from_ms, pico, tax_incl, terms_hash) VALUES(?, ?, ?, ?, ?, ?, ?)";
const std::string add_contract_sql =
    "INSERT INTO contract_version(contract, version, from_ms, to_ms, base_enum, weights, tiers, guarantee, holdback_ppm, "
    "holdback_days, min_payout_fen, chargeback_enum, penalty_rules, terms, terms_hash) "
    "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

bool put(Statement& add_price, const PriceVersion& price) {
  for (const auto& [unit, pico] : units_of(price)) {
    add_price.reset().bind(price.model).bind(unit).bind(price.version).bind(price.from_ms).bind(pico.pico());
    bind_maybe(add_price, tax_column(price));
    if (!add_price.bind(price.terms_hash).done()) return false;
  }
  return true;
}

bool put(Statement& add_contract, const ContractVersion& contract) {
  const ContractColumns columns = columns_of(contract);
  const std::string weights = weights_text(contract.shares);
  add_contract.reset().bind(contract.contract).bind(contract.version).bind(contract.from_ms);
  bind_maybe(add_contract, contract.to_ms);
  add_contract.bind(name(contract.base)).bind(weights);
  bind_maybe(add_contract, columns.tiers);
  bind_maybe(add_contract, columns.guarantee);
  bind_maybe(add_contract, columns.holdback_ppm);
  bind_maybe(add_contract, columns.holdback_days);
  bind_maybe(add_contract, columns.min_payout_fen);
  bind_maybe(add_contract, columns.chargeback);
  bind_maybe(add_contract, columns.penalties);
  return add_contract.bind(contract.terms).bind(contract.terms_hash).done();
}

std::string differing_unit(Connection& db, const PriceVersion& price) {
  Statement select = db.prepare(
      "SELECT from_ms, pico, terms_hash, to_ms IS NULL, tax_incl FROM price_book WHERE model = ? AND unit = ? AND version = ?");
  for (const auto& [unit, pico] : units_of(price)) {
    select.reset().bind(price.model).bind(unit).bind(price.version);
    const bool right = select.row() && select.integer() == price.from_ms && select.integer() == pico.pico() &&
                       select.text() == price.terms_hash && select.integer() == 1 && same(select, tax_column(price));
    if (!right) return std::string(unit);
  }
  return {};
}

bool same_row(Connection& db, const ContractVersion& contract) {
  const ContractColumns columns = columns_of(contract);
  Statement select = db.prepare(
      "SELECT from_ms, terms, terms_hash, base_enum, weights, coalesce(sig_platform, sig_party) IS NULL, tiers, guarantee, "
      "holdback_ppm, holdback_days, min_payout_fen, chargeback_enum, penalty_rules FROM contract_version "
      "WHERE contract = ? AND version = ?");
  select.reset().bind(contract.contract).bind(contract.version);
  return select.row() && select.integer() == contract.from_ms && select.text() == contract.terms &&
         select.text() == contract.terms_hash && select.text() == name(contract.base) &&
         select.text() == weights_text(contract.shares) && select.integer() == 1 && same(select, columns.tiers) &&
         same(select, columns.guarantee) && same(select, columns.holdback_ppm) && same(select, columns.holdback_days) &&
         same(select, columns.min_payout_fen) && same(select, columns.chargeback) && same(select, columns.penalties);
}

std::shared_ptr<const Book> read_book(Connection& db, std::string& why) {
  auto book = std::make_shared<Book>();
  Statement select = db.prepare(
      "SELECT kind, body FROM command WHERE kind IN ('publish_price', 'publish_contract') AND result = 'applied' "
      "ORDER BY shard, lsn");
  Statement::Step step{};
  while ((step = select.step()) == Statement::Step::row) {
    const bool is_price = select.text() == "publish_price";
    const std::string body(select.text());
    const auto price = is_price ? read_price(body) : std::nullopt;
    const auto contract = is_price ? std::nullopt : read_contract(body);
    if (price) why = add(*book, *price);
    if (contract) why = add(*book, *contract);
    if (!price && !contract) why = "it cannot be read";
    if (!why.empty()) {
      why = "a published version in the store is damaged: " + why + ": " + body;
      return nullptr;
    }
  }
  if (step == Statement::Step::done) return book;
  why = "reading the book: " + db.error();
  return nullptr;
}

}  // namespace trib::ledger
