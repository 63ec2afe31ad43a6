#include "gateway/ledger/terms.h"

#include <array>
#include <functional>

#include "gateway/base/json.h"
#include "gateway/ledger/period.h"

namespace trib::ledger {
namespace {

using config::ContractConfig;

constexpr std::array on_cancel_names{"received", "delivered", "acknowledged"};
constexpr std::array on_break_names{"output_only", "all", "nothing"};

// A flat object of texts and integers, keys in the order they are added.
class ObjectWriter {
 public:
  void text(std::string_view key, std::string_view value) {
    add_key(key);
    json::quote(value, out_);
  }
  void integer(std::string_view key, std::int64_t value) {
    add_key(key);
    out_ += std::to_string(value);
  }
  void maybe(std::string_view key, std::optional<std::int64_t> value) {
    if (value) integer(key, *value);
  }
  std::string take() { return std::move(out_) + '}'; }

 private:
  void add_key(std::string_view key) {
    out_ += out_.size() > 1 ? "," : "";
    json::quote(key, out_);
    out_ += ':';
  }
  std::string out_ = "{";
};

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

template <class Names>
std::optional<std::size_t> index_of(const Names& names, const std::string& name) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (name == names[i]) return i;
  }
  return std::nullopt;
}

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

template <class Version>
void append(std::vector<Version>& versions, Version next) {
  if (!versions.empty() && !versions.back().to_ms) versions.back().to_ms = next.from_ms;
  next.version = static_cast<std::uint32_t>(versions.size() + 1);
  versions.push_back(std::move(next));
}

}  // namespace

std::string price_terms(const std::string& model, const config::PriceConfig& price, std::int64_t from_ms) {
  ObjectWriter out;
  out.text("model", model);
  out.integer("from", from_ms);
  for (const auto& field : price_fields) out.text(field.key, (price.*field.from).per_million_text());
  return out.take();
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
  out.terms_hash = to_hex(sha256(terms));
  return out;
}

std::string contract_terms(const ContractConfig& contract) {
  ObjectWriter out;
  out.text("contract", contract.id);
  out.integer("from", contract.from_ms);
  out.maybe("to", contract.to_ms);
  for (const auto& field : share_fields) out.integer(field.key, contract.shares.*field.ppm);
  out.text("on_cancel", on_cancel_names[static_cast<std::size_t>(contract.on_cancel)]);
  out.text("on_break", on_break_names[static_cast<std::size_t>(contract.on_break)]);
  if (!contract.referrer_party.empty()) out.text("referrer_party", contract.referrer_party);
  out.maybe("referrer_until", contract.referrer_until_ms);
  out.text("terms", contract.terms);
  return out.take();
}

std::optional<ContractVersion> read_contract(const std::string& terms) {
  const auto fields = read_object(terms);
  if (!fields || fields->text("contract").empty() || !fields->integer("from")) return std::nullopt;
  ContractVersion out;
  out.contract = fields->text("contract");
  out.from_ms = *fields->integer("from");
  out.to_ms = fields->integer("to");
  for (const auto& field : share_fields) {
    const auto ppm = fields->integer(field.key);
    if (!ppm || *ppm < 0 || *ppm > money::ppm_whole) return std::nullopt;
    out.shares.*field.ppm = static_cast<std::uint32_t>(*ppm);
  }
  const auto on_cancel = index_of(on_cancel_names, fields->text("on_cancel"));
  const auto on_break = index_of(on_break_names, fields->text("on_break"));
  if (!on_cancel || !on_break) return std::nullopt;
  out.on_cancel = static_cast<ContractConfig::OnCancel>(*on_cancel);
  out.on_break = static_cast<ContractConfig::OnBreak>(*on_break);
  out.referrer_party = fields->text("referrer_party");
  out.referrer_until_ms = fields->integer("referrer_until");
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
  ObjectWriter out;
  out.text("tenant", topup.tenant);
  out.text("amount", topup.amount.text());
  return out.take();
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
  const config::Shares& s = contract.shares;
  const std::uint64_t sum = std::uint64_t{s.platform} + s.site + s.vendor + s.referrer;
  if (sum != money::ppm_whole) return "its shares sum to " + std::to_string(sum) + " ppm, not 1000000";
  if (s.referrer > 0 && contract.referrer_party.empty()) return "a referrer has a share but no party";
  auto& versions = book.contracts[contract.contract];
  if (auto why = refuse_from(versions, contract); !why.empty()) return why;
  append(versions, std::move(contract));
  ++book.revision_;
  return {};
}

}  // namespace trib::ledger
