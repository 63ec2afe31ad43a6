#include "gateway/ledger/terms.h"

#include <array>
#include <functional>

#include "gateway/base/json.h"
#include "gateway/ledger/contract_terms.h"
#include "gateway/ledger/period.h"
#include "gateway/base/json_writer.h"

namespace trib::ledger {
namespace {

using config::ContractConfig;

constexpr std::array<std::string_view, 3> on_cancel_names{"received", "delivered", "acknowledged"};
constexpr std::array<std::string_view, 3> on_break_names{"output_only", "all", "nothing"};

struct Fields {
  std::map<std::string, std::string> texts;
  std::map<std::string, std::int64_t> integers;

  const std::string& text(const std::string& key) const {
    static const std::string none;
    const auto found = texts.find(key);
    return found == texts.end() ? none : found->second;
  }
  std::optional<std::int64_t> integer(const std::string& key) const {
    const auto found = integers.find(key);
    return found == integers.end() ? std::nullopt : std::optional(found->second);
  }
};

std::optional<Fields> read_object(const std::string& terms) {
  json::Cursor cursor(terms, {.depth = 2, .unique_keys = true});
  if (!cursor.enter_object()) return std::nullopt;
  Fields out;
  std::string_view key;
  while (cursor.next_key(key)) {
    const std::string name(key);
    if (cursor.peek() == json::Type::string) {
      cursor.read_string(out.texts[name]);
    } else {
      cursor.read_integer(out.integers[name]);
    }
  }
  if (!cursor.finish()) return std::nullopt;
  return out;
}

struct PriceField {
  const char* key;
  money::Price config::PriceConfig::*from;
  money::Price PriceVersion::*to;
};
constexpr PriceField price_fields[] = {
    {"input", &config::PriceConfig::input, &PriceVersion::input},
    {"cached_input", &config::PriceConfig::cached_input, &PriceVersion::cached_input},
    {"cache_write", &config::PriceConfig::cache_write, &PriceVersion::cache_write},
    {"output", &config::PriceConfig::output, &PriceVersion::output},
    {"reasoning", &config::PriceConfig::reasoning, &PriceVersion::reasoning},
};

struct ShareField {
  const char* key;
  std::uint32_t config::Shares::*ppm;
};
constexpr ShareField share_fields[] = {
    {"platform", &config::Shares::platform},
    {"site", &config::Shares::site},
    {"vendor", &config::Shares::vendor},
    {"referrer", &config::Shares::referrer},
};

// Where a version with this `from` may stand after `versions`; empty when it may.
template <class Version>
std::string refuse_from(const std::vector<Version>& versions, const Version& next) {
  if (next.to_ms && *next.to_ms <= next.from_ms) return "`to` is not after `from`";
  if (versions.empty()) return {};
  const Version& last = versions.back();
  if (next.from_ms <= last.from_ms) {
    return "its `from` is not after that of the last published version (" + time_text(last.from_ms) + ")";
  }
  if (last.to_ms && next.from_ms < *last.to_ms) {
    return "it overlaps the version before, which runs to " + time_text(*last.to_ms);
  }
  return {};
}

std::string refuse_shares(const config::Shares& s, const ContractVersion& contract) {
  const std::uint64_t sum = std::uint64_t{s.platform} + s.site + s.vendor + s.referrer;
  if (sum != money::ppm_whole) return "its shares sum to " + std::to_string(sum) + " ppm, not 1000000";
  return s.referrer > 0 && contract.referrer_party.empty() ? "a referrer has a share but no party" : "";
}

template <class Version>
void append(std::vector<Version>& versions, Version next) {
  if (!versions.empty() && !versions.back().to_ms) versions.back().to_ms = next.from_ms;
  next.version = static_cast<std::uint32_t>(versions.size() + 1);
  versions.push_back(std::move(next));
}

}  // namespace

std::string price_terms(const std::string& model, const config::PriceConfig& price, std::int64_t from_ms) {
  auto out = json::object();
  out.text("model", model);
  out.integer("from", from_ms);
  for (const auto& field : price_fields) out.text(field.key, (price.*field.from).per_million_text());
  if (price.tax) out.integer("tax_percent", price.tax->percent).integer("tax_inclusive", price.tax->inclusive ? 1 : 0);
  return out.close('}').take();
}

std::optional<PriceVersion> read_price(const std::string& terms) {
  const auto fields = read_object(terms);
  if (!fields || fields->text("model").empty() || !fields->integer("from")) return std::nullopt;
  PriceVersion out;
  out.model = fields->text("model");
  out.from_ms = *fields->integer("from");
  for (const auto& field : price_fields) {
    const auto price = money::Price::parse_per_million(fields->text(field.key));
    if (!price) return std::nullopt;
    out.*field.to = *price;
  }
  if (const auto percent = fields->integer("tax_percent")) {
    const auto inclusive = fields->integer("tax_inclusive");
    if (*percent < 0 || *percent > 100 || !inclusive || *inclusive < 0 || *inclusive > 1) return std::nullopt;
    out.tax = config::PriceTax{static_cast<std::uint32_t>(*percent), *inclusive == 1};
  }
  out.terms_hash = to_hex(sha256(terms));
  return out;
}

namespace {

std::string contract_terms(const std::string& contract, std::int64_t from_ms, std::optional<std::int64_t> to_ms,
                           const config::ContractTerms& terms) {
  auto out = json::object();
  out.text("contract", contract).integer("from", from_ms).maybe("to", to_ms);
  for (const auto& field : share_fields) out.integer(field.key, terms.shares.*field.ppm);
  out.text("on_cancel", on_cancel_names[static_cast<std::size_t>(terms.policies.on_cancel)]);
  out.text("on_break", on_break_names[static_cast<std::size_t>(terms.policies.on_break)]);
  if (!terms.referrer_party.empty()) out.text("referrer_party", terms.referrer_party);
  out.maybe("referrer_until", terms.referrer_until_ms);
  return out.text("terms", whole_terms(contract, from_ms, to_ms, terms)).close('}').take();
}

}  // namespace

std::string contract_terms(const ContractConfig& contract) {
  return contract_terms(contract.id, contract.from_ms, contract.to_ms, contract);
}

std::optional<ContractVersion> read_contract(const std::string& terms) {
  const auto fields = read_object(terms);
  if (!fields || fields->text("contract").empty() || !fields->integer("from")) return std::nullopt;
  ContractVersion out;
  out.contract = fields->text("contract");
  out.from_ms = *fields->integer("from");
  out.to_ms = fields->integer("to");
  out.referrer_party = fields->text("referrer_party");
  out.referrer_until_ms = fields->integer("referrer_until");
  if (!read_whole_terms(fields->text("terms"), out)) return std::nullopt;
  // One text for one contract: what both halves say is the same, and nothing is in it that is not read.
  if (contract_terms(out.contract, out.from_ms, out.to_ms, out) != terms) return std::nullopt;
  out.terms = terms;
  out.terms_hash = to_hex(sha256(terms));
  return out;
}

std::string weights_text(const config::Shares& shares) {
  std::string out;
  for (const auto& field : share_fields) {
    if (!out.empty()) out += ' ';
    out += std::string(field.key) + '=' + std::to_string(shares.*field.ppm);
  }
  return out;
}

std::string topup_terms(const Topup& topup) {
  auto out = json::object();
  out.text("tenant", topup.tenant);
  out.text("amount", topup.amount.text());
  return out.close('}').take();
}

std::optional<Topup> read_topup(const std::string& terms) {
  const auto fields = read_object(terms);
  if (!fields || fields->text("tenant").empty()) return std::nullopt;
  const auto amount = money::Amount::parse(fields->text("amount"));
  if (!amount || amount->negative() || amount->zero()) return std::nullopt;
  return Topup{fields->text("tenant"), *amount};
}

std::string add(Book& book, PriceVersion price) {
  auto& versions = book.prices[price.model];
  if (auto why = refuse_from(versions, price); !why.empty()) return why;
  append(versions, std::move(price));
  ++book.revision_;
  return {};
}

std::string add(Book& book, ContractVersion contract) {
  if (auto why = refuse_shares(contract.shares, contract); !why.empty()) return why;
  for (const auto& step : contract.tiers.steps) {
    if (auto why = refuse_shares(step.shares, contract); !why.empty()) return "over " + step.over.text() + ": " + why;
  }
  auto& versions = book.contracts[contract.contract];
  if (auto why = refuse_from(versions, contract); !why.empty()) return why;
  append(versions, std::move(contract));
  ++book.revision_;
  return {};
}

}  // namespace trib::ledger
