#include "gateway/settlement/assignment.h"

#include <algorithm>

#include "gateway/base/json_writer.h"
#include "gateway/settlement/trueup.h"

namespace trib::settlement {
namespace {

constexpr std::string_view kind = "assignment";

struct Said {
  std::string site, contract;
};
std::optional<Said> read_said(const std::string& body) {
  json::Cursor in(body, {.depth = 1, .unique_keys = true});
  Said out;
  std::string_view key;
  if (!in.enter_object()) return std::nullopt;
  while (in.next_key(key))
    if (!in.read_string(key == "site" ? out.site : out.contract)) return std::nullopt;
  if (!in.finish() || out.site.empty()) return std::nullopt;
  return out;
}

// Site and contract of "early_exit:CONTRACT:VERSION:SITE", with "#2" where a refused document has used the name up.
constexpr std::string_view exit_prefix = "early_exit:";
std::optional<std::pair<std::string, std::string>> exit_of(const std::string& id) {
  const auto second = id.rfind(':'), first = id.rfind(':', second - 1);
  if (id.rfind(exit_prefix, 0) != 0 || first < exit_prefix.size()) return std::nullopt;
  const std::string site = id.substr(second + 1);
  return std::pair(site.substr(0, site.find('#')), id.substr(exit_prefix.size(), first - exit_prefix.size()));
}

std::map<std::string, std::vector<Assignment>> read_assigned(ledger::Reader& reader) {
  std::map<std::string, std::vector<Assignment>> out;
  reader.commands(kind, [&](const ledger::CommandRow& row) {
    const auto said = read_said(row.body);
    if (!said) return true;
    auto& all = out[said->site];
    std::int64_t from_ms = row.wall_ms;
    if (!all.empty()) {
      from_ms = std::max(from_ms, all.back().from_ms);  // the clock may have been put back
      all.back().to_ms = from_ms;
    }
    all.push_back({said->contract, from_ms, INT64_MAX});
    return true;
  });
  return out;
}

std::string id_of(const std::string& site, std::size_t n) { return "assigned:" + site + ":" + std::to_string(n); }

}  // namespace

Assignments::Assignments(ledger::Reader& reader) : by_site_(read_assigned(reader)) {
  reader.commands("document", [&](const ledger::CommandRow& row) {
    const bool undone = row.id.rfind("reverse_transfer:", 0) == 0;
    if (!undone && row.id.rfind(exit_prefix, 0) != 0) return true;
    const auto document = ledger::read_document(row.body);
    if (!document || document->transfers.empty()) return true;
    const auto& transfer = document->transfers[0];
    const auto key = exit_of(undone ? transfer.doc : row.id);
    if (!key) return true;
    if (undone) exits_.erase(*key);
    else exits_.emplace(*key, transfer.effective_at);
    return true;
  });
}

std::vector<Assignment> Assignments::of(const std::string& site, const std::string& contract) const {
  std::vector<Assignment> out;
  if (const auto found = by_site_.find(site); found != by_site_.end())
    std::copy_if(found->second.begin(), found->second.end(), std::back_inserter(out), [&](const Assignment& one) { return one.contract == contract; });
  if (out.empty()) out.push_back({contract, INT64_MIN, INT64_MAX});
  return out;
}

std::vector<std::pair<std::string, std::string>> Assignments::in(ledger::Period period) const {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& [site, all] : by_site_)
    for (const Assignment& one : all)
      if (!one.contract.empty() && one.from_ms < ledger::period_end_ms(period) && one.to_ms > ledger::period_begin_ms(period))
        out.emplace_back(site, one.contract);
  return out;
}

const ledger::ContractVersion* Assignments::version_of(const ledger::Book& book, const std::string& site, ledger::Period period) const {
  const auto found = by_site_.find(site);
  if (found == by_site_.end()) return nullptr;
  const ledger::ContractVersion* out = nullptr;
  for (const Assignment& one : found->second) {
    if (one.contract.empty() || one.from_ms >= ledger::period_end_ms(period) || one.to_ms <= ledger::period_begin_ms(period)) continue;
    if (const auto* const version = book.contract_at(one.contract, std::min(one.to_ms, ledger::period_end_ms(period)) - 1)) out = version;
  }
  return out;
}

const ledger::ContractVersion* Assignments::terms_of(const Turnover& turnover, const ledger::Book& book, const std::string& party,
                                                     ledger::Period period) const {
  const auto* const latest = latest_of(turnover, book, party);
  return latest == nullptr && party.rfind("site:", 0) == 0 ? version_of(book, party.substr(5), period) : latest;
}

money::Amount Assignments::guarantee(const ledger::Book& book, const std::string& site, const std::string& contract, ledger::Period period) const {
  money::Amount out;
  const auto exit = exits_.find({site, contract});
  if (exit != exits_.end() && exit->second < ledger::period_end_ms(period)) return out;
  const auto versions = book.contracts.find(contract);
  if (versions == book.contracts.end()) return out;
  for (const auto& version : versions->second)
    for (const Assignment& one : of(site, contract)) out += guarantee_due(version, period, one.from_ms, one.to_ms);
  return out;
}

std::string assign(ledger::Ledger& ledger, const std::map<std::string, std::string>& contract_by_site, std::int64_t wall_ms) {
  std::string why;
  const auto reader = ledger.reader(why);
  if (reader == nullptr) return why;
  const auto known = read_assigned(*reader);
  if (!reader->error().empty()) return reader->error();
  std::map<std::string, std::string> wanted = contract_by_site;
  for (const auto& [site, all] : known) wanted.emplace(site, "");
  for (const auto& [site, contract] : wanted) {
    const auto found = known.find(site);
    const std::size_t said = found == known.end() ? 0 : found->second.size();
    if (said == 0 ? contract.empty() : found->second.back().contract == contract) continue;
    const std::string body = json::object().text("contract", contract).text("site", site).close('}').take();
    const auto posting = ledger.submit({id_of(site, said + 1), std::string(kind), wall_ms, body});
    if (posting != ledger::Posting::posted && posting != ledger::Posting::repeated) return "site " + site + ": its contract could not be written down";
  }
  return {};
}

}  // namespace trib::settlement
