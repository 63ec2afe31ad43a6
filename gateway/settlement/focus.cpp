#include "gateway/settlement/focus.h"

#include <array>

namespace trib::settlement {
namespace {

using ledger::Code;
using money::Amount;

struct TokenClass {
  const char* name;
  std::uint64_t metering::TokenCounts::*count;
  money::Price ledger::PriceVersion::*price;
};
constexpr std::array<TokenClass, 5> classes = {{{"Input Tokens", &metering::TokenCounts::input, &ledger::PriceVersion::input},
                                                {"Cached Input Tokens", &metering::TokenCounts::cached_input, &ledger::PriceVersion::cached_input},
                                                {"Cache Write Tokens", &metering::TokenCounts::cache_write, &ledger::PriceVersion::cache_write},
                                                {"Output Tokens", &metering::TokenCounts::output, &ledger::PriceVersion::output},
                                                {"Reasoning Tokens", &metering::TokenCounts::reasoning, &ledger::PriceVersion::reasoning}}};

const std::vector<std::string> columns = {
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity",
    "ConsumedUnit", "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "InvoiceId", "InvoiceIssuerName", "ListCost", "ListUnitPrice",
    "PricingCategory", "PricingCurrency", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "RegionId", "RegionName",
    "ResourceId", "ResourceName", "ResourceType", "ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceId",
    "SubAccountId", "SubAccountName", "Tags", "x_Chip", "x_PriceVersion", "x_SchemaVersion", "x_Site"};

constexpr const char* provider = "Tributary";

// FOCUS has its times in UTC.
std::string utc(std::int64_t wall_ms) { return ledger::time_text(wall_ms - ledger::shanghai_offset_ms).substr(0, 19) + "Z"; }

bool charge(Code code) { return code != Code::topup && code != Code::cash_refund && code != Code::payout && code != Code::late_usage && code != Code::statement_lock; }

std::string_view category(std::uint16_t code) {
  if (code == 0) return "Usage";
  return static_cast<Code>(code) == Code::goodwill ? "Credit" : static_cast<Code>(code) == Code::vat_trueup ? "Tax" : "Adjustment";
}

std::string name_of(const config::ExportsConfig& config, const std::string& party, const std::string& otherwise) {
  const auto* const legal = config.legal(party);
  return legal == nullptr ? otherwise : legal->legal_name;
}

}  // namespace

std::string FocusRows::add(const ledger::RequestRow& request, const ledger::Book& book) {
  const ledger::UsageRow& row = request.row;
  if (row.state != ledger::State::billed || (!customer_.empty() && row.tenant != customer_)) return {};
  const auto* const price = book.price(row.model, row.price_version);
  Amount sum;
  for (const ledger::AttemptRow& attempt : request.attempts) {
    for (std::size_t i = 0; i < classes.size(); ++i) {
      const std::uint64_t tokens = attempt.billed.*(classes[i].count);
      if (tokens == 0 || price == nullptr) continue;
      Sum& to = rows_[{row.tenant, ledger::day_text(row.final_ms), row.model, attempt.sent.site, attempt.sent.vendor, row.price_version, i, {}, 0}];
      to.tokens += tokens;
      to.cost += money::charge(tokens, price->*(classes[i].price));
      to.at_ms = row.final_ms;
      sum += money::charge(tokens, price->*(classes[i].price));
    }
  }
  if (sum == row.gross.value_or(Amount{})) return {};
  return "request " + row.id.text() + ": its tokens at its price are " + sum.text() + ", it was charged " + row.gross.value_or(Amount{}).text();
}

void FocusRows::add(const ledger::TransferRow& adjustment) {
  if (ledger::Code code{adjustment.code}; !charge(code)) return;
  for (const ledger::Leg& leg : adjustment.legs) {
    const std::string_view account = leg.account;
    if (!account.starts_with("L200/") && !account.starts_with("A110/")) continue;
    const std::string tenant(account.substr(5));
    if (!customer_.empty() && tenant != customer_) continue;
    Sum& to = rows_[{tenant, ledger::day_text(adjustment.effective_at), {}, {}, {}, 0, 0, adjustment.doc_id, adjustment.code}];
    to.cost += leg.amount;
    to.at_ms = adjustment.effective_at;
  }
}

void FocusRows::row(Sheet& sheet, const Key& key, const Sum& sum, const ledger::Book& book, const config::ExportsConfig& config) const {
  const std::int64_t begin = ledger::period_begin_ms(period_), end = ledger::period_end_ms(period_);
  const std::int64_t day_end = ledger::day_end_ms(sum.at_ms);
  const bool usage = key.code == 0;
  const auto code = static_cast<Code>(key.code);
  const bool correction = sum.at_ms < begin;  // of a month that was invoiced: what is of this month is none to FOCUS
  const auto* const price = usage ? book.price(key.model, key.price_version) : nullptr;
  const TokenClass& tokens = classes[key.token_class];
  const std::string account_name = name_of(config, "customer:" + key.tenant, key.tenant);
  const auto if_usage = [&](const std::string& value) { usage ? sheet.text(value) : sheet.none(); };
  const auto unit_price = [&] { usage ? sheet.decimal((price->*(tokens.price)).per_million_text()) : sheet.none(); };
  sheet.amount(sum.cost).text(key.tenant).text(account_name).text("Tenant").text(currency).text(utc(end)).text(utc(begin)).text(category(key.code));
  correction ? sheet.text("Correction") : sheet.none();
  sheet.text(usage ? key.model + ", " + tokens.name : std::string(ledger::reason(code)) + " " + key.doc);
  sheet.text(usage ? "Usage-Based" : "One-Time").text(utc(day_end)).text(utc(day_end - ledger::day_ms));
  usage ? sheet.number(sum.tokens) : sheet.none();
  if_usage("Tokens");
  sheet.amount(sum.cost);
  unit_price();
  const auto invoice = invoices_.find(key.tenant);
  sheet.amount(sum.cost).text_or_none(invoice == invoices_.end() ? "" : invoice->second).text(name_of(config, "platform", provider)).amount(sum.cost);
  unit_price();
  if_usage("Standard");
  sheet.text(currency);
  // Millions of tokens with six places: exact.
  usage ? sheet.decimal(Amount::pico(static_cast<money::int128>(sum.tokens) * 1'000'000).text()) : sheet.none();
  if_usage("1M Tokens");
  sheet.text(provider).text(name_of(config, "platform", provider)).none().none();
  if_usage(key.model);
  if_usage(key.model);
  if_usage("Model");
  sheet.text("AI and Machine Learning").text("Model Inference").text("Generative AI");
  if_usage(key.model + "/" + tokens.name);
  if_usage(tokens.name);
  if_usage(key.model + "/" + std::to_string(key.price_version) + "/" + tokens.name);
  sheet.none().none().none().text_or_none(key.chip);
  usage ? sheet.number(key.price_version) : sheet.none();
  sheet.number(export_schema_version).text_or_none(key.site);
  sheet.add_debit(sum.cost);
  sheet.add_credit(sum.cost);
  sheet.end_row();
}

ExportFile FocusRows::take(const SheetForm& form, const ledger::Book& book, const config::ExportsConfig& config, std::string& why) const {
  Sheet sheet(form, "focus", columns);
  for (const auto& [key, sum] : rows_) row(sheet, key, sum, book, config);
  return sheet.take(why);
}

}  // namespace trib::settlement
