#include "gateway/ledger/market.h"

#include <algorithm>
#include <tuple>

#include "gateway/ledger/period.h"
#include "gateway/ledger/reader.h"
#include "gateway/ledger/store.h"
#include "gateway/base/json_writer.h"

namespace trib::ledger {
namespace {

constexpr const char* index_kind = "market_index";

money::Amount part_of(money::Amount amount, std::uint32_t ppm) {
  return money::Amount::pico(amount.pico() * ppm / money::ppm_whole);
}

// How many months lie after `first` up to and with `last`.
std::int64_t months_after(Period first, Period last) {
  return std::max<std::int64_t>(0, (last / 100 - first / 100) * 12 + last % 100 - first % 100);
}

const ContractVersion* in_force_or_next(const std::vector<ContractVersion>& versions, std::int64_t now_ms) {
  for (const auto& version : versions) {
    if (!version.to_ms || now_ms < *version.to_ms) return &version;
  }
  return nullptr;  // its term is over
}

// A version that ends because a later one begins is not a term that runs out.
std::optional<std::int64_t> term_end(const std::vector<ContractVersion>& versions) { return versions.back().to_ms; }

std::optional<money::Amount> remaining(const RiskFacts& facts, const ContractVersion& contract,
                                       std::optional<std::int64_t> end_ms, const std::string& site) {
  if (contract.guarantee.zero()) return money::Amount{};
  if (!end_ms) return std::nullopt;
  const bool running = contract.from_ms <= facts.now_ms;
  const Period first = period_of(std::max(facts.now_ms, contract.from_ms)), last = period_of(*end_ms - 1);
  money::Amount due = contract.guarantee;
  if (const auto accrued = facts.accrued.find(site); running && accrued != facts.accrued.end())
    due = std::max(money::Amount{}, due - accrued->second);
  return due + money::Amount::pico(contract.guarantee.pico() * months_after(std::max(first, facts.closed_through), last));
}

void watch_index(const RiskFacts& facts, ContractRisk& risk) {
  if (!risk.contract->index) return;
  const auto& watched = *risk.contract->index;
  for (const auto& value : facts.indexes) {  // in order of time
    if (value.name == watched.name && value.at_ms <= facts.now_ms) risk.index = value;
  }
  if (!risk.index) return;
  const money::int128 moved = risk.index->value.pico() - watched.reference.pico();
  const money::int128 magnitude = moved < 0 ? -moved : moved;
  // Compared as a product: a fraction that is cut off would hide a move just beyond the bound.
  risk.alarm = magnitude * money::ppm_whole > watched.reference.pico() * watched.alarm_ppm;
  risk.moved_ppm = static_cast<std::int64_t>(moved * money::ppm_whole / watched.reference.pico());
}

}  // namespace

std::string index_terms(const IndexValue& value) {
  auto out = json::object();
  return out.text("name", value.name).integer("at", value.at_ms).text("value", value.value.text()).close('}').take();
}

std::optional<IndexValue> read_index(const std::string& terms) {
  IndexValue out;
  std::string amount;
  json::Cursor in(terms, {.depth = 1, .unique_keys = true});
  std::string_view key;
  if (!in.enter_object()) return std::nullopt;
  while (in.next_key(key)) {
    const bool read = key == "name" ? in.read_string(out.name) : key == "at" ? in.read_integer(out.at_ms) : in.read_string(amount);
    if (!read) return std::nullopt;
  }
  const auto value = money::Amount::parse(amount);
  if (!in.finish() || out.name.empty() || !value || value->negative() || value->zero()) return std::nullopt;
  out.value = *value;
  if (index_terms(out) != terms) return std::nullopt;
  return out;
}

std::vector<IndexValue> index_values(Reader& reader) {
  std::vector<IndexValue> out;
  Statement select = reader.connection().prepare("SELECT body FROM command WHERE kind = 'market_index'");
  while (select.row()) {
    if (auto value = read_index(std::string(select.text()))) out.push_back(std::move(*value));
  }
  std::sort(out.begin(), out.end(), [](const IndexValue& a, const IndexValue& b) {
    return std::tie(a.name, a.at_ms) < std::tie(b.name, b.at_ms);
  });
  return out;
}

Posting Ledger::set_index(const IndexValue& value, std::int64_t wall_ms) {
  const std::string terms = index_terms(value);
  if (!read_index(terms)) return Posting::failed;
  return submit({"index:" + value.name + ":" + std::to_string(value.at_ms), index_kind, wall_ms, terms});
}

std::vector<IndexValue> Ledger::index_values() {
  const std::lock_guard lock(reader_mutex_);
  return ledger::index_values(*reader_);
}

std::vector<ContractRisk> contract_risks(const RiskFacts& facts) {
  std::vector<ContractRisk> out;
  for (const auto& [id, versions] : facts.book.contracts) {
    const ContractVersion* contract = in_force_or_next(versions, facts.now_ms);
    if (contract == nullptr) continue;
    std::vector<std::string> sites;
    for (const auto& [site, under] : facts.sites) {
      if (under == id) sites.push_back(site);
    }
    if (sites.empty()) sites.emplace_back();
    std::sort(sites.begin(), sites.end());
    for (auto& site : sites) {
      ContractRisk& risk = out.emplace_back();
      risk.contract = contract;
      watch_index(facts, risk);
      risk.remaining_guarantee = remaining(facts, *contract, term_end(versions), site);
      if (contract->early_exit && risk.remaining_guarantee)
        risk.early_exit_cost = part_of(*risk.remaining_guarantee, contract->early_exit->ppm);
      risk.site = std::move(site);
    }
  }
  return out;
}

}  // namespace trib::ledger
