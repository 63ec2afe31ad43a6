// Publishing prices and contracts, of a configuration or one by one: planned whole on a copy of the book,
// then journaled, posted and only then in force.
#include <algorithm>
#include <functional>
#include <tuple>

#include "gateway/ledger/period.h"
#include "gateway/ledger/store.h"
#include "gateway/ledger/terms.h"

namespace trib::ledger {

using metering::Command;

// What a publication comes to.
struct Plan {
  Book book;  // as it will be
  std::vector<Command> commands;
  std::optional<PublishProblem> problem;
  std::int64_t first_start_ms = 0;
};

namespace {

constexpr const char* first_start_id = "first-start";
const std::string cannot_ask = "the store cannot be read: ";

// When a request was rated last under any version of a "price" or "contract", Unix ms. Asks the store.
using LastRated = std::function<std::optional<std::int64_t>(std::string_view kind, const std::string& id)>;

// One version of a price or a contract: nothing to do, a refusal, or a command. `rated` is asked for what is new alone.
template <class Version, class Rated>
void plan_version(Plan& plan, const std::vector<Version>* published, const std::optional<Version>& next, Rated&& rated,
                  const std::string& path, Command command) {
  if (plan.problem) return;
  if (!next) {
    plan.problem = {path, "its terms are out of bounds"};
    return;
  }
  const std::string from = "`from` " + time_text(next->from_ms);
  if (published) {
    const auto same = std::find_if(published->begin(), published->end(),
                                   [&](const Version& v) { return v.from_ms == next->from_ms; });
    if (same != published->end()) {
      if (same->terms_hash != next->terms_hash) {
        plan.problem = {path, "its terms changed under " + from + ", which is published; give the new terms a later `from`"};
      }
      return;
    }
  }
  const std::optional<std::int64_t> rated_ms = rated();
  if (rated_ms && next->from_ms <= *rated_ms) {
    plan.problem = {path, from + " lies before what was already rated, until " + time_text(*rated_ms) + "; choose a later one"};
    return;
  }
  if (auto why = add(plan.book, *next); !why.empty()) {
    plan.problem = {path, why};
    return;
  }
  plan.commands.push_back(std::move(command));
}

void plan_price(Plan& plan, const LastRated& rated, const std::string& model, const config::PriceConfig& price, std::int64_t from_ms,
                std::int64_t wall_ms) {
  const std::string terms = price_terms(model, price, from_ms);
  const auto found = plan.book.prices.find(model);
  const auto* published = found == plan.book.prices.end() ? nullptr : &found->second;
  plan_version(plan, published, read_price(terms), [&] { return rated("price", model); }, "models." + model + ".price",
               {"price:" + model + ":" + std::to_string(from_ms), "publish_price", wall_ms, terms});
}

void plan_prices(Plan& plan, const LastRated& rated, const config::ModelConfig& model, std::int64_t first_start_ms, std::int64_t wall_ms) {
  std::vector<std::pair<std::int64_t, const config::PriceConfig*>> by_from;
  for (const auto& price : model.prices) by_from.emplace_back(price.from_ms.value_or(first_start_ms), &price);
  std::sort(by_from.begin(), by_from.end());
  for (const auto& [from_ms, price] : by_from) plan_price(plan, rated, model.id, *price, from_ms, wall_ms);
}

void plan_contract(Plan& plan, const LastRated& rated, const config::ContractConfig& contract, std::int64_t wall_ms) {
  const std::string terms = contract_terms(contract);
  const auto found = plan.book.contracts.find(contract.id);
  const auto* published = found == plan.book.contracts.end() ? nullptr : &found->second;
  plan_version(plan, published, read_contract(terms), [&] { return rated("contract", contract.id); }, "contracts." + contract.id,
               {"contract:" + contract.id + ":" + std::to_string(contract.from_ms), "publish_contract", wall_ms, terms});
}

template <class A, class B>
bool overlap(const A& a, const B& b) {
  return (!b.to_ms || a.from_ms < *b.to_ms) && (!a.to_ms || b.from_ms < *a.to_ms);
}

// Net of an unknown tax nothing can be shared: while such a contract holds, every price says its tax.
void check_tax(Plan& plan) {
  if (plan.problem || plan.commands.empty()) return;
  for (const auto& [id, contracts] : plan.book.contracts) {
    for (const auto& contract : contracts) {
      if (contract.base != config::ShareBase::net_of_vat) continue;
      for (const auto& [model, prices] : plan.book.prices) {
        const auto untaxed = std::find_if(prices.begin(), prices.end(),
                                          [&](const PriceVersion& p) { return !p.tax && overlap(contract, p); });
        if (untaxed == prices.end()) continue;
        plan.problem = {"contracts." + id + ".base",
                        "net_of_vat from " + time_text(contract.from_ms) + " meets the price of " + model + " from " +
                            time_text(untaxed->from_ms) + ", which says no tax; publish that model's price with `tax: { percent: N }` "
                            "from then on first (0 is written out)"};
        return;
      }
    }
  }
}

}  // namespace

// Journals a plan and waits until it is in force. With `publish_mutex_` held.
std::optional<PublishProblem> Ledger::put_in_force(const std::vector<Command>& commands) {
  metering::Lsn last = 0;
  for (const Command& command : commands) {
    last = journal_.append(command);
    if (last == 0) return PublishProblem{"", "the journal takes no records"};
  }
  if (last != 0 && !await(last)) return PublishProblem{"", "the publication was not posted in time: " + failure()};
  for (const Command& command : commands) {
    const auto row = find_command(command.id);
    if (!row || row->body != command.body || row->result.compare(0, 7, "refused") == 0) {
      return PublishProblem{command.id, row ? row->result : "it was not posted"};
    }
  }
  return std::nullopt;
}

std::optional<PublishProblem> Ledger::publish(const config::ConfigSnapshot& config, std::int64_t wall_ms) {
  const std::lock_guard publishing(publish_mutex_);
  Plan plan = plan_all(config, wall_ms);
  if (!plan.problem && plan.commands.empty()) return std::nullopt;  // the store is not asked, nor waited for
  while (post_once()) {
  }
  const auto read_before = unread().times;
  plan = plan_all(config, wall_ms);
  if (const auto now = unread(); now.times != read_before) return PublishProblem{"", cannot_ask + now.why};
  if (plan.problem) return plan.problem;
  auto problem = put_in_force(plan.commands);
  if (!problem) first_start_ms_ = plan.first_start_ms;
  return problem;
}

std::optional<std::int64_t> Ledger::last_rated(std::string_view kind, const std::string& id) {
  const std::lock_guard lock(reader_mutex_);
  Statement select = reader_->connection().prepare("SELECT last_ms FROM rated WHERE kind = ? AND id = ?");
  if (!select.reset().bind(kind).bind(id).row()) return std::nullopt;
  return select.integer();
}

// With `publish_mutex_` held.
Plan Ledger::plan_all(const config::ConfigSnapshot& config, std::int64_t wall_ms) {
  Plan plan;
  plan.book = *book();
  // A price without a `from` starts with the gateway's first start, whenever it is published.
  if (!first_start_ms_) {
    if (const auto row = find_command(first_start_id)) first_start_ms_ = row->wall_ms;
    else plan.commands.push_back({first_start_id, "first_start", wall_ms, "{}"});
  }
  plan.first_start_ms = first_start_ms_.value_or(wall_ms);
  const LastRated rated = [this](std::string_view kind, const std::string& id) { return last_rated(kind, id); };
  for (const auto& model : config.models) plan_prices(plan, rated, model, plan.first_start_ms, wall_ms);
  std::vector<const config::ContractConfig*> contracts;
  for (const auto& contract : config.contracts) contracts.push_back(&contract);
  std::sort(contracts.begin(), contracts.end(),
            [](const auto* a, const auto* b) { return std::tie(a->from_ms, a->id) < std::tie(b->from_ms, b->id); });
  for (const auto* contract : contracts) plan_contract(plan, rated, *contract, wall_ms);
  check_tax(plan);
  return plan;
}

template <class Fill>
Published Ledger::publish_one(Fill&& fill) {
  const std::lock_guard publishing(publish_mutex_);
  while (post_once()) {
  }
  const auto read_before = unread().times;
  Plan plan;
  plan.book = *book();
  fill(plan, [this](std::string_view kind, const std::string& id) { return last_rated(kind, id); });
  check_tax(plan);
  // Nothing is planned on a store that does not say what was rated already.
  if (const auto now = unread(); now.times != read_before) return {Publishing::failed, cannot_ask + now.why, 0};
  if (plan.problem) return {Publishing::refused, plan.problem->path + ": " + plan.problem->why, 0};
  if (plan.commands.empty()) return {Publishing::repeated, {}, 0};
  if (const auto problem = put_in_force(plan.commands)) return {Publishing::failed, problem->why, 0};
  return {Publishing::published, {}, 0};
}

namespace {

template <class Version>
std::uint32_t number_of(const std::map<std::string, std::vector<Version>>& by_id, const std::string& id, std::int64_t from_ms) {
  const auto found = by_id.find(id);
  if (found == by_id.end()) return 0;
  const auto at = std::find_if(found->second.begin(), found->second.end(), [&](const Version& v) { return v.from_ms == from_ms; });
  return at == found->second.end() ? 0 : at->version;
}

}  // namespace

Published Ledger::publish(const config::ModelPrice& price, std::int64_t wall_ms) {
  const std::int64_t from_ms = price.price.from_ms.value_or(wall_ms);
  auto out = publish_one([&](Plan& plan, const LastRated& rated) { plan_price(plan, rated, price.model, price.price, from_ms, wall_ms); });
  out.version = number_of(book()->prices, price.model, from_ms);
  return out;
}

Published Ledger::publish(const config::ContractConfig& contract, std::int64_t wall_ms) {
  auto out = publish_one([&](Plan& plan, const LastRated& rated) { plan_contract(plan, rated, contract, wall_ms); });
  out.version = number_of(book()->contracts, contract.id, contract.from_ms);
  return out;
}

}  // namespace trib::ledger
